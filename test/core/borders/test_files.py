"""Folders that one process uses at a time, and what that protects."""

import subprocess
import sys

import numpy as np
import pytest

from pvd_cli.demo.domain import free_domain
from pvd_cli.demo.drive import given_drive
from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output, check_output_folder, held_alone
from pvd_core.clouds import CloudFileError, read_cloud
from pvd_ros.bags import BagError, BagWriter, write_scans

HOLD = """
import sys, time
from pvd_core.borders.files import check_output, held_alone
with held_alone(sys.argv[1], "training"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_held_by_another_process_is_refused_until_that_ends(tmp_path, project_root):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, cwd=project_root)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another process is training in"), held_alone(tmp_path, "training"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with held_alone(tmp_path, "training"):
        pass


def test_a_bag_inside_the_demo_folder_is_not_removed_but_refused(tmp_path):
    bag = tmp_path / "demo" / "labelled"
    write_scans(bag, [(np.ones((3, 4), np.float32), 10**9)])

    with pytest.raises(UserError, match="which the demo empties first"):
        given_drive(bag, None, tmp_path / "demo")


@pytest.mark.parametrize("suffix", [".bin", ".npy"])
def test_intensity_is_scaled_in_every_kind_of_file(tmp_path, suffix):
    points = np.random.default_rng(0).uniform(1, 200, (500, 4)).astype(np.float32)
    path = tmp_path / f"scan{suffix}"
    points.tofile(path) if suffix == ".bin" else np.save(path, points)

    result = read_cloud(path, intensity_scale=0.5)

    assert np.array_equal(result[:, :3], points[:, :3])
    assert np.array_equal(result[:, 3], points[:, 3] * np.float32(0.5))
    for scale in (float("nan"), -1.0):
        with pytest.raises(CloudFileError, match="intensity scale"):
            read_cloud(path, intensity_scale=scale)


def test_a_bag_that_cannot_be_written_to_the_end_is_removed_with_a_clear_error(tmp_path, monkeypatch):
    def full_disk(*_arguments):
        raise OSError(28, "No space left on device")

    def write():
        with BagWriter(tmp_path / "bag") as bag:
            monkeypatch.setattr(bag._writer, "write", full_disk)
            bag.write_cloud_bytes("/points", b"\x00", 1)

    with pytest.raises(BagError, match="No space left on device; it is removed"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_demos_at_the_same_time_take_different_domains():
    with free_domain() as first, free_domain() as second:
        assert first != second
        with free_domain() as third:
            assert third not in (first, second)


def test_a_file_that_could_not_be_written_is_refused_beforehand(tmp_path):
    (tmp_path / "file").write_text("kept")
    check_output(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
    check_output_folder(tmp_path / "other/new/folders")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(UserError, match="is a folder; name a file in it"):
        check_output(tmp_path)
    for folder in ("file", "new/folders"):
        with pytest.raises(UserError, match=rf"cannot write .*: there is no folder .*/{folder}; make it"):
            check_output(tmp_path / folder / "result.json")
    with pytest.raises(UserError, match=r"cannot write /proc/result\.json: no file can be made there"):
        check_output("/proc/result.json")
    with pytest.raises(UserError, match=r"cannot write into .*Not a directory"):
        check_output_folder(tmp_path / "file/new")
