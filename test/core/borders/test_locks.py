"""Locks between processes: where their files lie, that nobody can misuse them, and that nothing stays."""

import os
import threading

import pytest

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import held_alone
from pvd_core.borders.locks import locked, run_time_folder


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A run-time folder of this test's own."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


def test_a_lock_lies_in_the_users_run_time_folder_and_is_removed_after_use(own_folder, tmp_path):
    with held_alone(tmp_path / "work", "training"):
        (lock,) = own_folder.iterdir()
        assert lock.suffix == ".lock"
        assert lock.stat().st_mode & 0o022 == 0
    assert list(own_folder.iterdir()) == []


def test_without_a_run_time_folder_a_private_one_is_made_and_a_shared_one_refused(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared))
    monkeypatch.setattr("pvd_core.borders.locks.tempfile.gettempdir", lambda: str(tmp_path))
    if os.path.isdir(f"/run/user/{os.getuid()}"):
        pytest.skip("this user has a run-time folder of the system's")
    folder = run_time_folder()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(UserError, match="is no folder that you alone may write"):
        run_time_folder()
    folder.rmdir()
    folder.symlink_to(shared)
    with pytest.raises(UserError, match="is no folder that you alone may write"):
        run_time_folder()


def test_a_planted_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "a.lock").symlink_to(victim)
    (tmp_path / "b.lock").symlink_to(tmp_path / "new")
    for name in ("a.lock", "b.lock"):
        with pytest.raises(UserError, match="it is a symbolic link"), locked(tmp_path / name):
            pass
    assert victim.read_text() == "kept"
    assert not (tmp_path / "new").exists()


def test_a_lock_that_cannot_be_opened_is_not_another_process_at_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot lock .*file/a\.lock: "), locked(tmp_path / "file" / "a.lock"):
        pass


def test_a_file_that_exists_is_locked_without_being_emptied(tmp_path):
    (tmp_path / "a.lock").write_text("kept")
    with locked(tmp_path / "a.lock") as is_ours:
        assert is_ours
        assert (tmp_path / "a.lock").read_text() == "kept"


def test_one_at_a_time_holds_a_lock_though_each_removes_it(tmp_path):
    path, holders, most = tmp_path / "a.lock", [], []

    def hold_often():
        for _ in range(100):
            with locked(path, waits=True) as is_ours:
                holders.append(is_ours)
                most.append(len(holders))
                with locked(path) as is_ours_too:
                    most.append(len(holders) + is_ours_too)
                holders.pop()

    threads = [threading.Thread(target=hold_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 800
    assert list(tmp_path.iterdir()) == []
