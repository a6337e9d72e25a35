"""Writes simulated drives as a SemanticKITTI data set: velodyne, labels, poses, calib, times (spec 2.1)."""

import json
import os
from pathlib import Path

import numpy as np

from pvd_core.errors import UserError
from training.simulate.drive import Drive
from training.simulate.sensors import sensor_named

TRAIN_SEQUENCES = ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
VALID_SEQUENCES = ("08",)
_FACTS_FILE = "simulation.json"
_WORLD_VERSION = 1

# Camera: x right, y down, z forward; it sits below and ahead of the LiDAR.
_CAMERA_FROM_LIDAR = np.array([[0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]], dtype=np.float64)
_PROJECTION = np.array([[718.0, 0, 607.0, 0], [0, 718.0, 185.0, 0], [0, 0, 1, 0]])
_CAMERA_OFFSETS_M = (0.0, 0.54, -0.06, 0.48)


def write_dataset(
    out_dir,
    train_sequences=TRAIN_SEQUENCES,
    valid_sequences=VALID_SEQUENCES,
    num_scans=100,
    seed=0,
    progress=None,
    *,
    num_valid_scans=None,
    scan_interval_s=0.1,
    sensor="hdl64e",
):
    """Simulates one drive a sequence, each through a street of its own, into `out_dir/sequences/SS`.

    A run that was interrupted goes on where it stopped when called again with the same arguments, and ends with the
    same bytes as one that was not; a folder that holds anything else is refused with UserError. `progress(done, total,
    path)` is called after each scan. Returns the Path of the data set.
    """
    out_dir = Path(out_dir)
    lengths = _sequence_lengths(train_sequences, valid_sequences, num_scans, num_valid_scans)
    facts = {
        "made_by": "pvd simulate",
        "world_version": _WORLD_VERSION,
        "seed": int(seed),
        "sensor": sensor,
        "scan_interval_s": float(scan_interval_s),
        "sequences": lengths,
    }
    _check_settings(facts)
    _open_folder(out_dir, facts)
    total, done = sum(lengths.values()), 0
    for name, count in lengths.items():
        drive = Drive(sequence_seed(seed, name), count, sensor, scan_interval_s)
        for path in _write_sequence(out_dir / "sequences" / name, drive):
            done += 1
            if progress is not None:
                progress(done, total, path)
    _write_bytes(out_dir / _FACTS_FILE, _facts_bytes({**facts, "complete": True}))
    return out_dir


def sequence_seed(seed, name):
    """The seed of one sequence's world, so that no two sequences share a street."""
    return int(seed) * 100 + int(name)


def _sequence_lengths(train_sequences, valid_sequences, num_scans, num_valid_scans):
    lengths = {}
    for role, names, known, count in (
        ("train", train_sequences, TRAIN_SEQUENCES, num_scans),
        ("validation", valid_sequences, VALID_SEQUENCES, num_scans if num_valid_scans is None else num_valid_scans),
    ):
        for name in names:
            if name not in known:
                raise UserError(f"{name!r} is no {role} sequence; {role} sequences are {', '.join(known)}")
            lengths[name] = int(count)
    if not lengths:
        raise UserError("no sequences to simulate; name at least one")
    return dict(sorted(lengths.items()))


def _check_settings(facts):
    for name, count in facts["sequences"].items():
        if not 1 <= count <= 999_999:
            raise UserError(f"sequence {name} would have {count} scans; a sequence has 1 to 999999")
    if not 0 < facts["scan_interval_s"] <= 10:
        raise UserError(f"scan_interval_s is {facts['scan_interval_s']}; expected more than 0 and at most 10 seconds")
    sensor_named(facts["sensor"])
    if facts["seed"] < 0:
        raise UserError(f"the seed is {facts['seed']}; expected 0 or more")


def _open_folder(out_dir, facts):
    """Makes the folder, or accepts one where the same simulation was interrupted."""
    facts_path = out_dir / _FACTS_FILE
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in out_dir.iterdir() if path.name != _FACTS_FILE + ".part")
    except OSError as error:
        raise UserError(f"cannot write the data set to {out_dir}: {error.strerror}; choose another folder") from error
    if not found:
        _write_bytes(facts_path, _facts_bytes({**facts, "complete": False}))
        return
    if _FACTS_FILE not in found:
        raise UserError(f"{out_dir} is not empty (it holds {found[0]!r}); choose a new or empty folder")
    try:
        before = json.loads(facts_path.read_text())
        is_complete = before.pop("complete")
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{facts_path} is damaged ({error}); delete the folder or choose another") from error
    if is_complete:
        raise UserError(f"{out_dir} already holds a finished simulation; choose another folder")
    different = [key for key in facts if before.get(key) != facts[key]]
    if different:
        key = different[0]
        raise UserError(
            f"{out_dir} holds an interrupted simulation with {key} = {before.get(key)!r}, this one has {facts[key]!r}; "
            "repeat its settings to continue it, or choose another folder"
        )


def _write_sequence(folder, drive):
    """Writes what is missing of a sequence; yields each scan's path, also of those that were there."""
    for name in ("velodyne", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    indices = range(drive.num_scans)
    _write_bytes(folder / "calib.txt", _calibration_text().encode())
    _write_bytes(folder / "times.txt", "".join(f"{drive.stamp_s(index):.6e}\n" for index in indices).encode())
    _write_bytes(folder / "poses.txt", "".join(_pose_line(drive.pose(index)) for index in indices).encode())
    scans = [(folder / "velodyne" / f"{i:06d}.bin", folder / "labels" / f"{i:06d}.label") for i in indices]
    first_missing = next((i for i, pair in enumerate(scans) if not all(path.exists() for path in pair)), len(scans))
    for scan_path, _ in scans[:first_missing]:
        yield scan_path
    for (scan_path, label_path), frame in zip(scans[first_missing:], drive.frames(first_missing), strict=True):
        _write_bytes(scan_path, frame.points.astype("<f4", copy=False).tobytes())
        _write_bytes(label_path, frame.labels.astype("<u4", copy=False).tobytes())
        yield scan_path


def _write_bytes(path, content):
    """All or nothing: an interrupt leaves either no file or a whole one."""
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; what is written stays and can be continued") from error


def _facts_bytes(facts):
    return (json.dumps(facts, indent=2) + "\n").encode()


def _pose_line(lidar_pose):
    camera_pose = _CAMERA_FROM_LIDAR @ lidar_pose @ np.linalg.inv(_CAMERA_FROM_LIDAR)
    return " ".join(f"{value:.9e}" for value in camera_pose[:3].ravel()) + "\n"


def _calibration_text():
    lines = []
    for index, offset in enumerate(_CAMERA_OFFSETS_M):
        projection = _PROJECTION.copy()
        projection[0, 3] = -offset * projection[0, 0]
        lines.append((f"P{index}", projection))
    lines.append(("Tr", _CAMERA_FROM_LIDAR[:3]))
    return "".join(f"{name}: " + " ".join(f"{v:.12e}" for v in matrix.ravel()) + "\n" for name, matrix in lines)
