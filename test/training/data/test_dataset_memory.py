"""What the check of a data set remembers, and when it must not."""

import os
import time

import numpy as np
import pytest
from tiny_dataset import write_dataset

from training.data.checking import check
from training.data.checking.check import TRAIN, Part, check_dataset

_LONG_AGO = time.time() - 1000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PVD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    root = write_dataset(tmp_path / "data", {"00": 4})
    for path in root.rglob("*.*"):
        settle(path)
    return root


def settle(path, when=_LONG_AGO):
    os.utime(path, (when, when))


@pytest.fixture
def num_read(monkeypatch):
    """A function that checks a data set and returns (how many scans were read, the report)."""
    read = []
    real = check.examine
    monkeypatch.setattr(check, "examine", lambda scan, *rest: read.append(scan) or real(scan, *rest))

    def checked(root, columns="4"):
        read.clear()
        report = check_dataset(root, [Part(TRAIN, ["00"])], columns)
        return len(read), report

    return checked


def label_path(root, number):
    return root / "sequences" / "00" / "labels" / f"{number:06d}.label"


def test_files_that_did_not_change_are_read_once_and_judged_the_same(root, num_read):
    np.full(2000, 90, "<u4").tofile(label_path(root, 2))
    settle(label_path(root, 2))
    (first, before), (second, after) = num_read(root), num_read(root)
    assert (first, second) == (4, 0)
    assert before.errors == after.errors
    assert len(after.errors) == 1
    assert before.sequences == after.sequences


def test_changed_file_is_read_again(root, num_read):
    num_read(root)
    label_path(root, 1).write_bytes(bytes(8000))
    settle(label_path(root, 1), _LONG_AGO + 1)
    read, report = num_read(root)
    assert read == 1
    assert report.sequences["00"].num_labelled == 6000


def test_file_that_changed_a_moment_ago_is_not_remembered(root, num_read):
    settle(label_path(root, 1), time.time())
    num_read(root)
    assert num_read(root)[0] == 1


def test_other_columns_do_not_find_what_four_columns_left(root, num_read):
    assert num_read(root)[0] == 4
    assert num_read(root)[0] == 0
    num_read(root, "5")
    assert num_read(root)[0] == 0


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\x00", b'{"00/000000": 3}', b"[" * 100_000, b'{"00/000000": [[1, 2], "x"]}']
)
def test_broken_cache_is_ignored_and_replaced(root, num_read, cache, content):
    num_read(root)
    (path,) = (cache / "datasets").iterdir()
    path.write_bytes(content)
    read, report = num_read(root)
    assert (read, report.findings) == (4, [])
    assert num_read(root)[0] == 0


def test_cache_with_nonsense_in_an_entry_is_not_believed(root, num_read, cache):
    num_read(root)
    (path,) = (cache / "datasets").iterdir()
    path.write_text(path.read_text().replace("2000", "-5"))
    read, report = num_read(root)
    assert read == 4
    assert report.sequences["00"].num_points == 8000


def test_cache_that_cannot_be_written_is_no_error(root, num_read, cache):
    cache.write_text("a file where the folder should be")
    assert num_read(root)[1].findings == []
    assert num_read(root)[0] == 4


def test_nothing_is_written_into_the_data_set(root, num_read):
    before = sorted(root.rglob("*"))
    num_read(root)
    assert sorted(root.rglob("*")) == before
