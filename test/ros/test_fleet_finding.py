"""Which bags of a folder or a list are labelled, and where their results go."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from bags import clouds_of, file_of, write_drive

from pvd_core.borders.errors import UserError
from pvd_ros.fleet import find_bags
from pvd_ros.fleet.records import record_path, write_record


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def names_of(source, out):
    return [bag.name for bag in find_bags(source, out).bags]


def test_bags_of_all_kinds_are_found_below_a_folder_and_keep_their_folders(tmp_path):
    write_drive(tmp_path / "in/monday/drive", clouds_of(1))
    write_drive(tmp_path / "in/tuesday/drive", clouds_of(1))
    for name in ("a.mcap", "b.DB3", "c.bag", "d.mcap.zstd", "e.1.mcap", "notes.txt", "scan.bin"):
        touch(tmp_path / "in/files" / name)
    bags = find_bags(tmp_path / "in", tmp_path / "out").bags
    files = ["files/a", "files/b", "files/c", "files/d", "files/e.1"]
    assert [bag.name for bag in bags] == [*files, "monday/drive", "tuesday/drive"]
    assert bags[1].path == tmp_path / "in/files/b.DB3"
    assert bags[-1].path == tmp_path / "in/tuesday/drive"


def test_files_of_a_folder_without_metadata_are_one_bag_only_if_they_are_named_after_it(tmp_path):
    for name in ("drive/drive_0.db3", "drive/drive_1.db3", "many/a_0.mcap", "many/a_1.mcap"):
        touch(tmp_path / "in" / name)
    assert names_of(tmp_path / "in", tmp_path / "out") == ["drive", "many/a_0", "many/a_1"]


def test_a_folder_or_file_that_is_a_bag_itself_has_its_own_name(tmp_path):
    bag = write_drive(tmp_path / "drive", clouds_of(1))
    assert names_of(bag, tmp_path / "out") == ["drive"]
    assert names_of(file_of(bag), tmp_path / "out") == ["drive_0"]


def test_results_inside_the_folder_and_what_is_hidden_are_not_taken_for_bags(tmp_path):
    for name in ("a.mcap", "labelled/a/a_0.mcap", ".b.unfinished/b/b_0.mcap", ".hidden.mcap"):
        touch(tmp_path / "in" / name)
    found = find_bags(tmp_path / "in", tmp_path / "in/labelled")
    assert [bag.name for bag in found.bags] == ["a"]
    assert "results go there" in found.remarks[0]
    with pytest.raises(UserError, match="is the folder of the bags to label"):
        find_bags(tmp_path / "in", tmp_path / "in/../in")


def test_results_of_an_earlier_run_in_another_folder_are_not_taken_for_bags_but_may_be_named(tmp_path):
    for name in ("a.mcap", "labelled/a/a_0.mcap"):
        touch(tmp_path / "in" / name)
    write_record(record_path(tmp_path / "in/labelled", "a"), {})
    found = find_bags(tmp_path / "in", tmp_path / "out")
    assert [bag.name for bag in found.bags] == ["a"]
    assert found.remarks == [f"{tmp_path}/in/labelled is left out: it holds results of an earlier `pvd label-bags`"]
    assert names_of(tmp_path / "in/labelled", tmp_path / "out") == ["a"]


def test_links_that_run_in_a_circle_or_lead_to_the_same_bag_are_followed_once(tmp_path):
    touch(tmp_path / "in/a/one.mcap")
    touch(tmp_path / "elsewhere/two.mcap")
    (tmp_path / "in/a/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/c.mcap").symlink_to(tmp_path / "in/a/one.mcap")
    (tmp_path / "in/self").symlink_to("self")
    found = find_bags(tmp_path / "in", tmp_path / "out")
    assert len(found.bags) == 2
    assert {bag.path.resolve().name for bag in found.bags} == {"one.mcap", "two.mcap"}
    assert sum("is taken already" in remark for remark in found.remarks) == 2


@contextmanager
def another_user():
    """Root may read everything."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_found(tmp_path):
    with tempfile.TemporaryDirectory() as top:  # the other user may not look into tmp_path
        os.chmod(top, 0o755)
        touch(Path(top, "in/a.mcap"))
        touch(Path(top, "in/locked/b.mcap"))
        Path(top, "in/locked").chmod(0o700)
        with another_user():
            bags = find_bags(Path(top, "in"), tmp_path / "out").bags
    named = [(bag.name, bag.problem) for bag in bags]
    assert named == [("a", ""), ("locked", "the folder cannot be read: Permission denied")]


def test_where_there_is_no_bag_the_error_says_what_is_expected(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match=r"no bags in .*: expected rosbag2 folders, .mcap, .db3 or .bag files"):
        find_bags(tmp_path / "in", tmp_path / "out")
    with pytest.raises(UserError, match="does not exist: expected a folder with bags, or a text file"):
        find_bags(tmp_path / "missing", tmp_path / "out")


def test_a_list_may_have_windows_lines_blanks_comments_and_repetitions(tmp_path, monkeypatch):
    for name in ("a.mcap", "deep/b.mcap"):
        touch(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    text = f"\ufeff# monday\r\n\r\na.mcap\r\n  deep/b.mcap  \r\n{tmp_path}/a.mcap\r\n#c.mcap\r\nmissing.mcap\r\n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8", newline="")
    found = find_bags(tmp_path / "list.txt", tmp_path / "out")
    assert [(bag.name, bool(bag.problem)) for bag in found.bags] == [
        ("a", False),
        ("deep/b", False),
        ("missing", True),
    ]
    assert f"there is nothing at this path (line 7 of {tmp_path / 'list.txt'})" == found.bags[2].problem
    assert found.remarks == [f"1 line of {tmp_path / 'list.txt'} name bags that others name already"]


def test_paths_of_a_list_begin_where_the_command_runs_or_beside_the_list(tmp_path, monkeypatch):
    beside, here = touch(tmp_path / "lists/a.mcap"), touch(tmp_path / "here/b.mcap")
    (tmp_path / "lists/list.txt").write_text(f"a.mcap\nb.mcap\n{tmp_path}/lists/../here/c.mcap\n")
    touch(tmp_path / "here/c.mcap")
    monkeypatch.chdir(tmp_path / "here")
    bags = find_bags(tmp_path / "lists/list.txt", tmp_path / "out").bags
    assert [bag.path.resolve() for bag in bags[:2]] == [beside, here]
    assert bags[2].name == f"{tmp_path}/here/c".lstrip("/")
    touch(tmp_path / "here/a.mcap")
    with pytest.raises(UserError, match=r"list.txt line 1 may be .*: write the whole path"):
        find_bags(tmp_path / "lists/list.txt", tmp_path / "out")


@pytest.mark.parametrize("content", [b"\x89MCAP0\r\n\xff\xfe", b"drive\0more"])
def test_a_file_that_is_no_list_is_refused(tmp_path, content):
    (tmp_path / "list.dat").write_bytes(content)
    with pytest.raises(UserError, match="is no text file with one bag a line"):
        find_bags(tmp_path / "list.dat", tmp_path / "out")


@pytest.mark.parametrize("other", ["drive.db3", "drive/b.mcap"])
def test_two_bags_with_one_place_for_their_results_are_refused(tmp_path, other):
    touch(tmp_path / "in/drive.mcap")
    touch(tmp_path / "in" / other)
    with pytest.raises(UserError, match="would both be written to 'drive' in the folder of the results"):
        find_bags(tmp_path / "in", tmp_path / "out")
