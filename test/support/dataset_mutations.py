"""Small mutations of a data set in SemanticKITTI's layout, as disks, copies and converters make them."""

import os
import shutil

import numpy as np


def cut(path, random):
    path.write_bytes(path.read_bytes()[: random.integers(0, path.stat().st_size + 1)])


def lengthen(path, random):
    path.write_bytes(path.read_bytes() + random.bytes(random.choice([1, 3, 4, 8, 16, 20, 64])))


def flip_bytes(path, random):
    content = bytearray(path.read_bytes())
    for place in random.integers(0, max(1, len(content)), random.integers(1, 20)):
        if content:
            content[place] = random.integers(256)
    path.write_bytes(bytes(content))


def spoil_numbers(path, random):
    numbers = np.frombuffer(path.read_bytes()[: path.stat().st_size // 4 * 4], "<f4").copy()
    places = random.integers(0, len(numbers), random.integers(1, len(numbers) + 1)) if len(numbers) else []
    numbers[places] = random.choice([0, np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, 1e5, 256, -1])
    path.write_bytes(numbers.tobytes())


def spoil_ids(path, random):
    ids = np.frombuffer(path.read_bytes()[: path.stat().st_size // 4 * 4], "<u4").copy()
    ids[random.random(len(ids)) < random.random()] = random.choice([0, 1, 90, 259, 65535, 10 | 7 << 16, 2**32 - 1])
    path.write_bytes(ids.tobytes())


def change_type(path, random):
    numbers = np.frombuffer(
        path.read_bytes()[: path.stat().st_size // 4 * 4], "<f4" if path.suffix == ".bin" else "<u4"
    )
    with np.errstate(all="ignore"):
        numbers.astype(random.choice(["<f8", "<i8", "<u2", "u1", "<i4", ">f4", ">u4", "<f2"])).tofile(path)


def add_column(path, random):
    numbers = np.frombuffer(path.read_bytes()[: path.stat().st_size // 16 * 16], "<f4").reshape(-1, 4)
    np.c_[numbers, np.zeros((len(numbers), random.integers(1, 5)), "<f4")].astype("<f4").tofile(path)


def empty(path, random):
    path.write_bytes(b"")


def become_text(path, random):
    path.write_text("x y z intensity\n1.0 2.0 3.0 0.5\n" * int(random.integers(1, 40)))


def few_points(path, random):
    number = int(random.integers(0, 4))
    of_scan = path.parents[1] / "labels" / f"{path.stem}.label"
    path.write_bytes(path.read_bytes()[: 16 * number])
    if of_scan.is_file():
        of_scan.write_bytes(of_scan.read_bytes()[: 4 * number])


def remove(path, random):
    path.unlink()


def rename(path, random):
    names = [
        "0.bin",
        "x.label",
        "-1.bin",
        "a b.bin",
        "\u00fc.bin",
        "000000.BIN",
        ".hidden.bin",
        "000000",
        "00\n1.bin",
        "\udcff.bin",
    ]
    path.rename(path.with_name(str(random.choice(names))))


def become_folder(path, random):
    path.unlink()
    path.mkdir()


def become_link(path, random):
    target = str(random.choice(["/nowhere/at/all", str(path), str(path.parent), "/dev/null", "../velodyne/000000.bin"]))
    path.unlink()
    path.symlink_to(target)


def become_pipe(path, random):
    path.unlink()
    os.mkfifo(path)


def forbid(path, random):
    path.chmod(0)


def lose_folder(path, random):
    shutil.rmtree(path.parent)


def folder_becomes_file(path, random):
    shutil.rmtree(path.parent)
    path.parent.write_bytes(b"")


def lose_sequence(path, random):
    shutil.rmtree(path.parents[1])


def odd_sequence(path, random):
    path.parents[1].rename(path.parents[2] / str(random.choice(["0", "000", "x", "11", "99", "08 ", "\u00fc"])))


def spoil_side_file(path, random):
    name = str(random.choice(["poses.txt", "times.txt", "calib.txt"]))
    target = path.parents[1] / name
    content = str(random.choice(["", "nan\n", "1 2 x\n", "\u00fc\n", "0.1\n0.0\n", "1e999 " * 12 + "\n"]))
    target.write_bytes(random.bytes(50)) if random.random() < 0.2 else target.write_text(content)


def simulation_file(path, random):
    content = str(
        random.choice(["", "[]", "{", '{"intensity_max": "x"}', '{"intensity_max": 255}', '{"intensity_max": 1e999}'])
    )
    (path.parents[3] / "simulation.json").write_text(content)


MUTATIONS = (
    cut, lengthen, flip_bytes, spoil_numbers, spoil_ids, change_type, add_column, empty, become_text, few_points,
    remove, rename, become_folder, become_link, become_pipe, forbid, lose_folder, folder_becomes_file, lose_sequence,
    odd_sequence, spoil_side_file, simulation_file,
)  # fmt: skip


def mutated(root, random):
    """Changes one file or two; returns the names of what was done."""
    done = []
    for _ in range(random.choice([1, 1, 2])):
        files = sorted(path for path in root.rglob("*") if path.suffix in (".bin", ".label") and path.is_file())
        files = [path for path in files if path.parent.name in ("velodyne", "labels")]
        if files:
            mutation, path = MUTATIONS[random.integers(len(MUTATIONS))], files[random.integers(len(files))]
            try:
                mutation(path, random)
            except OSError:  # an earlier mutation is in the way
                continue
            done.append(f"{mutation.__name__} {path.relative_to(root)}")
    return done
