"""An output is never half and never replaced in silence; what a killed run left is continued or replaced."""

import os
import signal
from dataclasses import replace
from unittest import mock

import pytest
from bags import clouds_of, file_of, rows_of, write_drive
from forked_calls import ForkedCall
from forked_commands import start_pvd
from ros_clouds import rosbags_cloud
from ros_weights import TINY, tiny_weights

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.models.build import build_model
from pvd_core.segmenter import Segmenter
from pvd_ros.bags import BagError, LabelOptions, label_bag, read_clouds

NUM_CLOUDS = 24
# Enough points that their chunks have reached the file when the process is killed.
KILLED_AT = 18
RESUME = LabelOptions(resume=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def segmenter(weights):
    return Segmenter.from_weights(weights, device="cpu")


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """The fourth cloud has no coordinates."""
    clouds = clouds_of(NUM_CLOUDS, 2000)
    clouds[3] = rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32))
    return write_drive(tmp_path_factory.mktemp("bag") / "in", clouds)


@pytest.fixture(scope="module")
def whole(bag, segmenter, tmp_path_factory):
    """What a run that nobody disturbed writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    label_bag(bag, out, segmenter)
    return file_of(out).read_bytes()


def stopped(bag, out, segmenter, at=KILLED_AT):
    """A run that Ctrl-C ends."""

    def stop(done, _total):
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_bag(bag, out, segmenter, progress=stop)
    assert not out.exists()
    assert out.with_name(".out.unfinished").is_dir()


class Counting:
    """A Segmenter that counts the clouds it labels."""

    def __init__(self, segmenter):
        self._segmenter, self.num_clouds = segmenter, 0

    def segment(self, *given):
        self.num_clouds += 1
        return self._segmenter.segment(*given)

    def __getattr__(self, name):
        return getattr(self._segmenter, name)


def run_until_killed(line):
    def show(_steps, done, _total):
        if done == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    with mock.patch("pvd_cli.progress.Steps.show", show):
        run(line)


def test_a_killed_labelling_leaves_no_bag_and_is_continued_to_the_same_bytes(tmp_path, bag, weights, whole, capsys):
    out = tmp_path / "out"
    line = [str(word) for word in ("label-bag", bag, out, "--weights", weights)]
    code, output = ForkedCall(run_until_killed, line).wait()
    assert code == -signal.SIGKILL, output
    assert not out.exists()
    assert (tmp_path / ".out.unfinished").is_dir()

    assert run([*line, "--resume"]) == 3

    assert file_of(out).read_bytes() == whole
    assert os.listdir(tmp_path) == ["out"]
    printed = capsys.readouterr().out
    assert f"{NUM_CLOUDS - 1} of {NUM_CLOUDS} clouds labelled" in printed
    assert "of them by an earlier run" in printed


def test_clouds_of_the_earlier_run_are_not_labelled_again(tmp_path, bag, segmenter, whole):
    stopped(bag, tmp_path / "out", segmenter)
    counting = Counting(segmenter)
    report = label_bag(bag, tmp_path / "out", counting, options=RESUME)
    # One of the first ones had no coordinates.
    assert (report.resumed, counting.num_clouds) == (KILLED_AT - 1, NUM_CLOUDS - KILLED_AT)
    assert report.labelled == NUM_CLOUDS - 1
    assert [each.number for each in report.rejections] == [4]
    assert file_of(tmp_path / "out").read_bytes() == whole


def test_a_continued_run_that_is_stopped_sooner_loses_nothing(tmp_path, bag, segmenter, whole):
    stopped(bag, tmp_path / "out", segmenter)
    with pytest.raises(KeyboardInterrupt):
        label_bag(bag, tmp_path / "out", segmenter, options=RESUME, progress=interrupt)
    report = label_bag(bag, tmp_path / "out", segmenter, options=RESUME)
    assert report.resumed == KILLED_AT - 1
    assert file_of(tmp_path / "out").read_bytes() == whole


def interrupt(_done, _total):
    raise KeyboardInterrupt


def test_a_full_disk_leaves_what_was_labelled_and_resume_goes_on_to_the_same_bytes(
    tmp_path, bag, weights, whole, capsys
):
    out = tmp_path / "out"
    line = [str(word) for word in ("label-bag", bag, out, "--weights", weights)]
    code, output = start_pvd(*line, most_bytes=len(whole) * 3 // 4).wait()
    assert code == 2, output
    assert "the part written is kept; free space and go on with --resume" in output
    assert not out.exists()

    assert run([*line, "--resume"]) == 3

    assert "of them by an earlier run" in capsys.readouterr().out
    assert file_of(out).read_bytes() == whole


def test_with_another_storage_too_what_a_killed_run_left_is_not_lost(tmp_path, bag, segmenter, whole):
    stopped(bag, tmp_path / "out", segmenter)
    with pytest.raises(UserError, match="--resume continues it"):
        label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(storage="sqlite3"))
    with pytest.raises(UserError, match=f"^{tmp_path}/out was labelled with other settings"):
        label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(storage="sqlite3", resume=True))
    label_bag(bag, tmp_path / "out", segmenter, options=RESUME)
    assert file_of(tmp_path / "out").read_bytes() == whole


def test_without_resume_what_a_killed_run_left_is_refused_and_overwritten_only_if_told(
    tmp_path, bag, segmenter, whole, caplog
):
    stopped(bag, tmp_path / "out", segmenter)
    for _ in range(2):
        with pytest.raises(UserError, match="--resume continues it, --overwrite starts anew"):
            label_bag(bag, tmp_path / "out", segmenter)
    report = label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(overwrite=True))
    assert report.resumed == 0
    assert "half a bag that a killed process left is replaced" in caplog.text
    assert file_of(tmp_path / "out").read_bytes() == whole


def test_nothing_is_taken_from_a_run_with_other_weights_or_options(tmp_path, bag, segmenter):
    stopped(bag, tmp_path / "out", segmenter)
    other = Segmenter(build_model(TINY))
    with pytest.raises(UserError, match=r"other settings \(--weights\); use those again, or --overwrite"):
        label_bag(bag, tmp_path / "out", other, options=RESUME)
    with pytest.raises(UserError, match=r"other settings \(--intensity-scale\)"):
        label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(resume=True, intensity_scale=0.5))
    assert label_bag(bag, tmp_path / "out", segmenter, options=RESUME).resumed == KILLED_AT - 1


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_complete_bag_is_left_as_it_is_when_resumed(tmp_path, bag, segmenter, storage):
    resume = LabelOptions(resume=True, storage=storage)
    first = label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(storage=storage))
    before = file_of(tmp_path / "out").stat().st_mtime_ns
    again = label_bag(bag, tmp_path / "out", segmenter, options=resume)
    assert file_of(tmp_path / "out").stat().st_mtime_ns == before
    assert again.was_complete
    assert "complete already, left as it is" in again.text()
    assert (again.clouds, again.labelled, again.points) == (first.clouds, first.labelled, first.points)
    assert not again.is_whole
    with pytest.raises(UserError, match=r"other settings \(--start\)"):
        label_bag(bag, tmp_path / "out", segmenter, options=replace(resume, start_s=1))


def test_an_existing_output_stays_as_it_is(tmp_path, bag, segmenter):
    out = write_drive(tmp_path / "out", clouds_of(1))
    before = file_of(out).read_bytes()
    with pytest.raises(BagError, match=r"exists already and is not overwritten; .* with --overwrite"):
        label_bag(bag, out, segmenter)
    assert file_of(out).read_bytes() == before


def test_overwrite_replaces_a_bag_once_the_new_one_is_complete(tmp_path, bag, segmenter, whole):
    out = write_drive(tmp_path / "out", clouds_of(1))
    before = rows_of(out)
    options = LabelOptions(overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        label_bag(bag, out, segmenter, options=options, progress=interrupt)
    assert rows_of(out) == before
    label_bag(bag, out, segmenter, options=options)
    assert file_of(out).read_bytes() == whole
    assert os.listdir(tmp_path) == ["out"]


def test_overwrite_replaces_nothing_but_bags(tmp_path, bag, segmenter):
    out = tmp_path / "holidays"
    out.mkdir()
    (out / "beach.jpg").write_bytes(b"x")
    with pytest.raises(BagError, match=r"is no folder of a bag .* not overwritten"):
        label_bag(bag, out, segmenter, options=LabelOptions(overwrite=True))
    assert (out / "beach.jpg").exists()


def test_a_bag_is_not_replaced_by_its_own_labels(bag, segmenter):
    for out in (bag, bag.parent, bag.parent / "x" / ".." / bag.name):
        with pytest.raises(UserError, match="is the bag to label, or holds it"):
            label_bag(bag, out, segmenter, options=LabelOptions(overwrite=True))
    assert len(rows_of(bag, "/lidar")) == NUM_CLOUDS


def test_resume_and_overwrite_exclude_each_other():
    with pytest.raises(UserError, match="choose one of them"):
        LabelOptions(resume=True, overwrite=True)


def test_sqlite3_starts_anew_where_it_was_killed(tmp_path, bag, segmenter):
    options = LabelOptions(resume=True, storage="sqlite3", end_s=1)
    with pytest.raises(KeyboardInterrupt):
        label_bag(bag, tmp_path / "out", segmenter, options=options, progress=interrupt)
    report = label_bag(bag, tmp_path / "out", segmenter, options=options)
    assert (report.resumed, report.labelled) == (0, 9)
    assert len(list(read_clouds(tmp_path / "out", "/lidar/labelled"))) == 9
