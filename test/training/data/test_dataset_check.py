"""The check of a data set: every doubtful file at once, before anything is read for real."""

import os

import numpy as np
import pytest
from tiny_dataset import random_scan, write_dataset, write_scan

from pvd_core.borders.errors import UserError
from training.data.checking.check import LABEL, SCORE, TRAIN, Part, check_dataset
from training.data.checking.whole_folder import check_folder
from training.data.dataset import ScanFolder


def path_of(root, frame, kind="bin", sequence="00"):
    return root / "sequences" / sequence / ("velodyne" if kind == "bin" else "labels") / f"{frame:06d}.{kind}"


def checked(root, use=TRAIN, sequences=("00",), columns="4"):
    return check_dataset(root, [Part(use, list(sequences))], columns)


def kinds(findings):
    return sorted(finding.kind for finding in findings)


def rewritten(root, number, points=None, labels=None):
    """Writes a scan anew, with numbers of any type."""
    if points is not None:
        points.tofile(path_of(root, number))
    if labels is not None:
        labels.tofile(path_of(root, number, "label"))


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "data", {"00": 6, "08": 1})


def streets(root, num_scans, change):
    """Scans of different lengths whose successive points are close in space, as a sensor gives them; `change(points,
    labels)` makes what is written."""
    for number in range(num_scans):
        angle = np.linspace(0, 8 * np.pi, 1201 + 7 * number)
        ground = np.full_like(angle, -1.7)
        points = np.stack((20 * np.cos(angle), 20 * np.sin(angle), ground, np.cos(angle) ** 2), axis=1).astype("<f4")
        labels = np.repeat([40, 50], (len(angle) - 300, 300)).astype("<u4")
        path_of(root, number).parent.mkdir(parents=True, exist_ok=True)
        path_of(root, number, "label").parent.mkdir(parents=True, exist_ok=True)
        rewritten(root, number, *change(points, labels))
    return root


def test_good_data_set_has_no_finding(root):
    report = check_dataset(root, [Part(TRAIN, ["00"]), Part(SCORE, "valid")])
    assert report.findings == []
    assert (report.sequences["00"].num_scans, report.sequences["00"].num_points) == (6, 12000)
    assert report.left_out == []


def test_every_doubtful_file_is_listed_at_once(root):
    content = path_of(root, 0).read_bytes()
    path_of(root, 0).write_bytes(content[:-5])
    path_of(root, 1, "label").write_bytes(path_of(root, 1, "label").read_bytes()[:-8])
    path_of(root, 2, "label").unlink()
    rewritten(root, 3, labels=np.full(2000, 90, "<u4"))
    rewritten(root, 4, points=np.random.default_rng(0).integers(0, 2**32, (2000, 4), dtype=np.uint32))
    path_of(root, 5).unlink()
    path_of(root, 5).mkdir()
    report = checked(root)
    expected = ["label count", "label ids", "no labels", "numbers", "size", "unreadable"]
    assert kinds(report.errors) == expected
    text = "\n".join(report.error_lines())
    assert "000000.bin: 31995 bytes, expected a multiple of 16" in text
    assert "000001.label: 1,998 labels for 2,000 points" in text
    assert "000002.label: is not there" in text
    assert "000003.label: unknown raw label ids 90 (2,000 points)" in text
    assert "000004.bin: no point cloud" in text
    assert "000005.bin: is a folder" in text


def test_more_errors_than_are_shown_are_counted_and_no_kind_is_hidden(root):
    for number in range(5):
        path_of(root, number, "label").unlink()
    path_of(root, 5).write_bytes(b"123")
    lines = checked(root).error_lines(most=2)
    assert "000000.label" in lines[0]
    assert "000005.bin: 3 bytes" in lines[1]
    assert lines[2] == "and 4 more: in all 5 no labels, 1 size"
    shown = []
    with pytest.raises(UserError, match=r"6 errors: .*`pvd dataset check"):
        checked(root).say(shown.append)
    assert len(shown) == 6
    assert all(line.startswith("error: ") for line in shown)


@pytest.mark.parametrize(
    ("change", "option", "what"),
    [
        (lambda p, k: (p[:, :3], k), "3", "3 columns of float32"),
        (lambda p, k: (p[:, :3].astype("<f8"), k), "3xfloat64", "3 columns of float64"),
        (lambda p, k: (np.c_[p, np.zeros(len(p))].astype("<f4"), k), "5", "5 columns of float32"),
        (lambda p, k: (np.c_[p, p[:, :2]].astype("<f4"), k), "6", "6 columns of float32"),
        (lambda p, k: (p.astype("<f8"), k), "4xfloat64", "4 columns of float64"),
        (lambda p, k: (np.c_[p / 3, np.ones(len(p))].astype("<f8"), k), "5xfloat64", "5 columns of float64"),
    ],
)
def test_width_of_a_data_set_is_recognised_and_the_option_that_is_named_reads_it(tmp_path, change, option, what):
    root = streets(tmp_path, 4, change)
    report = checked(root)
    assert kinds(report.errors) == ["columns"]
    assert f"hold {what}" in str(report.errors[0])
    assert f"--columns {option} " in str(report.errors[0])
    assert checked(root, columns=option).findings == []
    points, labels = ScanFolder(root, ["00"], option).labelled_points(1)
    assert points.dtype == np.float32
    assert points.shape == (1208, 4)
    assert len(labels) == len(ScanFolder(root, ["00"], option).class_ids(1)) == 1208
    # And the other way round: four columns with this option.
    others = streets(tmp_path / "four", 4, lambda p, k: (p, k))
    assert "--columns 4 " in str(checked(others, columns=option).errors[0])


def test_width_is_recognised_without_labels_and_in_spite_of_a_damaged_file(tmp_path):
    root = streets(tmp_path, 12, lambda p, k: (np.c_[p, np.zeros(len(p))].astype("<f4"), k))
    path_of(root, 3).write_bytes(path_of(root, 3).read_bytes()[:-3])
    report = checked(root, LABEL)
    assert kinds(report.errors) == ["columns", "size"]
    assert "000003.bin" in str(next(error for error in report.errors if error.kind == "size"))


@pytest.mark.parametrize("name", ["int64", "uint16", "uint8"])
def test_labels_of_another_type_are_recognised_with_the_line_that_converts_them(tmp_path, name):
    root = streets(tmp_path, 4, lambda p, k: (p, k.astype(name)))
    report = checked(root)
    assert kinds(report.errors) == ["label type"]
    assert f"hold {name} numbers" in str(report.errors[0])
    for number in range(4):
        path = path_of(root, number, "label")
        np.fromfile(path, name).astype("uint32").tofile(path)
    assert checked(root).findings == []


def test_int64_labels_with_instances_are_recognised(tmp_path):
    root = streets(tmp_path, 4, lambda p, k: (p, (k + (np.arange(len(k)) << 16)).astype("<i8")))
    report = checked(root)
    assert kinds(report.errors) == ["label type"]
    assert "hold int64 numbers" in str(report.errors[0])


@pytest.mark.parametrize(("dtype", "found"), [("<f2", "float16 or int16"), (">f4", "float32, big endian")])
def test_scans_of_other_types_are_named_in_a_data_set(tmp_path, dtype, found):
    root = streets(tmp_path, 4, lambda p, k: (p.astype(dtype), k))
    report = checked(root)
    assert kinds(report.errors) == ["numbers"] * 4
    assert f"numbers that look like {found}; write it again" in str(report.errors[0])


def test_columns_that_the_user_is_sure_of_are_not_doubted(tmp_path):
    root = streets(tmp_path, 4, lambda p, k: (np.c_[p, -3 * p].astype("<f4"), np.repeat(k, 2)))
    assert kinds(checked(root, LABEL).errors) == ["columns"]
    assert checked(root, LABEL, columns="4!").errors == []


def test_pointers_of_git_lfs_are_named_and_may_become_files(root):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    for number, kind in ((1, "bin"), (2, "label")):
        path_of(root, number, kind).write_text(pointer)
    errors = checked(root).errors
    assert ["git lfs pull" in str(error) for error in errors] == [True, True]
    with pytest.raises(UserError, match="git lfs pull"):
        ScanFolder(root, ["00"]).points(1)


def test_float64_scans_with_int64_labels_have_the_sizes_of_usual_ones_and_are_recognised(tmp_path):
    root = streets(tmp_path, 4, lambda p, k: (p.astype("<f8"), k.astype("<i8")))
    assert kinds(checked(root).errors) == ["columns", "label type"]


def test_empty_and_tiny_scans_are_left_out_of_the_training_and_named(root):
    points, labels = random_scan(np.random.default_rng(0))
    write_scan(root, "00", "000001", points[:0], labels[:0])
    write_scan(root, "00", "000002", points[:1], labels[:1])
    write_scan(root, "00", "000003", np.zeros((500, 4)), np.full(500, 40))
    report = checked(root)
    assert report.errors == []
    assert report.left_out == ["00/000001", "00/000002", "00/000003"]
    assert kinds(report.remarks) == ["too few points"] * 3
    assert report.remark_lines()[0].endswith("it is left out of the training (2 more of this kind)")
    assert checked(root, SCORE).left_out == []


def test_data_without_a_labelled_or_a_usable_point_is_refused(root):
    for number in range(6):
        rewritten(root, number, labels=np.zeros(2000, "<u4"))
    assert kinds(checked(root).errors) == kinds(checked(root, SCORE).errors) == ["no labelled point"]
    assert checked(root, LABEL).errors == []
    for number in range(6):
        write_scan(root, "00", f"{number:06d}", np.zeros((1, 4)), np.full(1, 40))
    assert kinds(checked(root).errors) == ["no labelled point"]
    for number in range(6):
        write_scan(root, "00", f"{number:06d}", np.ones((1, 4)), np.full(1, 40))
    assert kinds(checked(root).errors) == ["no usable scan"]


def test_points_that_are_not_finite_are_remarked_on(root):
    points, labels = random_scan(np.random.default_rng(0))
    points[:3, 0], points[3, 3] = np.nan, np.inf
    write_scan(root, "00", "000001", points, labels)
    report = checked(root)
    assert report.errors == []
    assert "4 points of 2,000 not finite" in report.remark_lines()[0]
    assert report.sequences["00"].num_labelled == 12000 - 3


def test_intensity_that_no_sensor_sends_is_an_error(root):
    points, labels = random_scan(np.random.default_rng(0))
    points[7, 3] = 3e38
    write_scan(root, "00", "000001", points, labels)
    assert "an intensity of 3e+38" in checked(root).error_lines()[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read_are_listed(root):
    path_of(root, 1).chmod(0)
    assert "Permission denied" in checked(root).error_lines()[0]


def test_links_are_followed_and_broken_ones_named(root):
    target = root / "elsewhere.bin"
    path_of(root, 1).rename(target)
    path_of(root, 1).symlink_to(target)
    assert checked(root).findings == []
    target.unlink()
    assert f"is a link to {target}, which is not there" in checked(root).error_lines()[0]


def test_names_that_are_no_text_are_errors_that_can_be_printed(root):
    path_of(root, 1).rename(path_of(root, 1).with_name("\udcff.bin"))
    path_of(root, 1, "label").rename(path_of(root, 1, "label").with_name("\udcff.label"))
    report = checked(root)
    assert kinds(report.errors) == ["file name"]
    assert r"\udcff.bin: has a name with bytes that are no text" in report.error_lines()[0]
    report.error_lines()[0].encode()


def test_file_that_may_not_fit_into_memory_is_not_read(root):
    with open(path_of(root, 1), "r+b") as file:
        file.truncate(5 << 30)  # takes no space on the disk
    assert "5.4 GB, expected a single scan" in checked(root).error_lines()[0]


def test_only_the_scans_that_are_used_are_checked(root):
    path_of(root, 5).write_bytes(b"123")
    assert check_dataset(root, [Part(TRAIN, ["00"], max_scans=2)]).errors == []


def test_scans_to_score_that_are_copies_of_training_scans_are_named(root):
    for number, copied in ((1, 4), (2, 5)):
        points = np.fromfile(path_of(root, copied), "<f4").reshape(-1, 4)
        write_scan(root, "08", f"{number:06d}", points, np.full(len(points), 40))
    report = check_folder(root)
    assert report.errors == []
    (line,) = [line for line in report.remark_lines() if "trained on" in line]
    assert "08/velodyne/000001.bin: holds the same points as 00/000004, which is trained on" in line
    assert line.endswith("(1 more of this kind)")
    # Empty scans are all alike.
    for sequence, number in (("00", 0), ("08", 1), ("08", 2)):
        write_scan(root, sequence, f"{number:06d}", points[:0], np.full(0, 40))
    assert "trained on" not in kinds(check_folder(root).remarks)


def test_whole_folder_is_checked_with_the_files_beside_the_scans(root):
    for sequence in ("11", "12"):
        write_dataset(root, {sequence: 2})
    for number in range(2):
        path_of(root, number, "label", "11").unlink()
    path_of(root, 0, "label", "12").unlink()
    folder = root / "sequences" / "00"
    (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 nan\n" * 6)
    (folder / "times.txt").write_text("0.0\n0.1\n")
    (folder / "labels" / "000099.label").write_bytes(b"")
    report = check_folder(root)
    assert kinds(report.errors) == ["no labels"]
    assert report.errors[0].sequence == "12"
    remarks = "\n".join(report.remark_lines())
    assert "poses.txt: holds numbers that are not finite" in remarks
    assert "times.txt: holds 2 lines for 6 scans" in remarks
    assert "1 label file without a scan, the first is 000099.label" in remarks
    assert "sequences 01, 02, 03, 04, 05, 06, 07, 09, 10 of split 'train' are not there" in remarks
    assert check_folder(root, sequences=["11"]).errors == []
    assert report.as_dict()["num_errors"] == 1


def test_sequence_without_scans_is_listed_beside_other_errors(root):
    (root / "sequences" / "03" / "velodyne").mkdir(parents=True)
    path_of(root, 1).write_bytes(b"1")
    assert kinds(check_dataset(root, [Part(TRAIN, "train")]).errors) == ["no scans", "size"]


def test_hidden_files_are_no_scans(root):
    (root / "sequences" / "00" / "velodyne" / "._000000.bin").write_bytes(b"Mac OS X")
    assert checked(root).findings == []
    assert len(ScanFolder(root, ["00"])) == 6
