"""Player and recorder as processes: pace, stamps, and what they say when something is wrong."""

import json
import time

import numpy as np
import pytest
from pose_messages import START_NS, STEP_NS, drive_clouds, odometry_rows
from pose_messages import write_bag as write_odometry_bag
from ros_clouds import xyzi_cloud
from ros_processes import ROOT

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from pvd_ros import play, record
from pvd_ros.bags import BagWriter, read_clouds
from pvd_ros.codec import stamp_of

STAMP_NS = 1_700_000_000_000_000_000


def write_bag(folder, count=5, gap_ns=200_000_000):
    with BagWriter(folder / "in") as bag:
        for index in range(count):
            points = np.random.default_rng(index).normal(size=(100, 4)).astype(np.float32)
            bag.write_cloud("/lidar", xyzi_cloud(points, STAMP_NS + index), STAMP_NS + index * gap_ns)
    return folder / "in"


def play_and_record(ros, bag, count, *play_options, record_options=()):
    """(reports of player and recorder, recorded clouds)"""
    out, reports = ros.folder / "out", (ros.folder / "play.json", ros.folder / "record.json")
    limits = ["--max-clouds", count, "--timeout", 180, "--report", reports[1]]
    recorder = ros.fork("pvd_ros.record", out, "--topic", "/lidar", *limits, *record_options, ready="recording")
    player = ros.fork("pvd_ros.play", bag, "--wait-for-subscribers", 1, "--report", reports[0], *play_options)
    assert recorder.wait() == 0, recorder.text()
    played_on = player.stop() if "--loop" in play_options else player.wait()
    assert played_on == 0, player.text()
    return *(json.loads(path.read_text()) for path in reports), list(read_clouds(out))


def test_clouds_arrive_as_recorded_at_the_pace_asked_for(ros):
    bag = write_bag(ros.folder)
    played, recorded, clouds = play_and_record(ros, bag, 5, "--reliable", "--keep-stamps", "--rate", "2")
    assert [stamp_of(cloud.message) for cloud in clouds] == [STAMP_NS + index for index in range(5)]
    for cloud, given in zip(clouds, read_clouds(bag), strict=True):
        assert cloud.message.header == given.message.header
        np.testing.assert_array_equal(cloud.message.data, given.message.data)
    arrivals = [arrival for _, arrival in recorded["arrivals"]]
    assert [cloud.log_time_ns for cloud in clouds] == arrivals
    # Four gaps of 200 ms at twice the speed; a busy machine may only be slower.
    assert arrivals[-1] - arrivals[0] > 0.35e9
    assert (played["clouds"], played["unreadable"]) == (5, 0)


def test_restamped_clouds_leave_with_the_present_time_and_the_report_maps_the_stamps(ros):
    before = time.time_ns()
    played, _, clouds = play_and_record(ros, write_bag(ros.folder), 5, "--reliable")
    assert [original for original, _ in played["stamps"]] == [STAMP_NS + index for index in range(5)]
    assert [stamp_of(cloud.message) for cloud in clouds] == [published for _, published in played["stamps"]]
    assert all(before < stamp_of(cloud.message) <= cloud.log_time_ns for cloud in clouds)


def test_odometry_is_played_beside_the_clouds_with_stamps_that_still_fit(ros, peer):
    pytest.importorskip("nav_msgs.msg", reason="needs nav_msgs: pip install 'pvd_ros[ros]'")
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import PointCloud2

    rows = odometry_rows(0.4, rate_hz=20)
    bag = write_odometry_bag(ros.folder / "in", drive_clouds(3), rows)
    heard = peer.hear(Odometry, "/odom")
    # Once the player has found the peer's other subscription too, odometry cannot come before the peer is known.
    peer.hear(PointCloud2, "/lidar")
    options = ("--reliable", "--rate", "0.5", "--also", "/odom", "--wait-for-subscribers", 2)
    played, _, clouds = play_and_record(ros, bag, 3, *options)
    last_s = (stamp_of(rows[-1][2]) - START_NS) / 1e9
    assert played["others"] == len(rows)
    first_ns, last_ns = (stamp_of(clouds[place].message) for place in (0, -1))
    assert last_ns - first_ns == 2 * 2 * STEP_NS
    peer.spin_until(lambda: heard and stamp_of(heard[-1]) - first_ns == round(2 * last_s * 1e9))


def test_other_topics_that_are_not_there_are_named(ros):
    player = ros.fork("pvd_ros.play", write_bag(ros.folder), "--also", "/odom")
    assert player.wait() == 2
    assert "no topic /odom in" in player.text()
    assert "it has: /lidar" in player.text()


def test_a_loop_goes_on_until_it_is_stopped(ros):
    bag = write_bag(ros.folder, count=2, gap_ns=20_000_000)
    played, _, clouds = play_and_record(ros, bag, 7, "--reliable", "--loop", "--keep-stamps")
    assert played["clouds"] >= 7
    assert {stamp_of(cloud.message) for cloud in clouds} == {STAMP_NS, STAMP_NS + 1}


def test_messages_that_are_no_clouds_are_named_and_the_rest_is_played(ros):
    bag = ros.folder / "in"
    with BagWriter(bag) as writer:
        for index in range(3):
            points = np.random.default_rng(index).normal(size=(100, 4)).astype(np.float32)
            writer.write_cloud("/lidar", xyzi_cloud(points, STAMP_NS + index), STAMP_NS + 2 * index)
            writer.write_cloud_bytes("/lidar", b"\x00\x01\x00\x00rubbish", STAMP_NS + 2 * index + 1)
    played, _, clouds = play_and_record(ros, bag, 3, "--reliable")
    assert len(clouds) == played["clouds"] == 3
    assert (played["unreadable"], played["total"]) == (3, 6)
    assert [text.split(":")[0] for text in played["not_read"]] == ["cloud 2", "cloud 4", "cloud 6"]


def test_a_cut_bag_is_not_played_in_silence_and_what_is_whole_is_played_on_request(ros):
    bag = write_bag(ros.folder)
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:-100])
    player = ros.fork("pvd_ros.play", bag)
    assert player.wait() == 2
    assert "is cut or damaged at byte" in player.text()
    assert "5 clouds can be read: `--salvage`" in player.text()
    played, _, clouds = play_and_record(ros, bag, 5, "--reliable", "--salvage")
    assert len(clouds) == 5
    assert "is cut or damaged" in played["not_read"][0]


def test_pvd_play_bag_ends_with_3_where_clouds_could_not_be_read(ros):
    with BagWriter(ros.folder / "in") as writer:
        writer.write_cloud("/lidar", xyzi_cloud(np.ones((5, 4), np.float32), STAMP_NS), STAMP_NS)
        writer.write_cloud_bytes("/lidar", b"\x00\x01\x00\x00rubbish", STAMP_NS + 1)
    player = ros.start("pvd_cli", "play-bag", ros.folder / "in")
    assert player.wait() == 3, player.text()
    assert "played 1 cloud on /lidar, 0 late, 1 unreadable\nnot played: cloud 2: " in player.text()


def test_a_best_effort_recorder_hears_a_best_effort_player(ros):
    bag = write_bag(ros.folder, count=20, gap_ns=50_000_000)
    _, recorded, clouds = play_and_record(ros, bag, 10, record_options=["--best-effort"])
    assert len(clouds) == recorded["clouds"] == 10


def test_a_player_without_listeners_gives_up_with_a_clear_error(ros):
    arguments = ["--wait-for-subscribers", 1, "--wait-timeout", 0.2]
    player = ros.fork("pvd_ros.play", write_bag(ros.folder), *arguments)
    assert player.wait() == 2
    assert "0 subscribers on /lidar after 0.2 s, expected 1" in player.text()


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        (play, ["{in}", "--topic", "/radar"], "no topic /radar"),
        (play, ["{in}", "--rate", "0"], "rate is 0.0, expected more than 0"),
        (play, ["/nowhere"], "no bag at /nowhere"),
        (record, ["{in}", "--topic", "/lidar"], "exists already"),
        (record, ["{out}", "--topic", "no topic"], "is no topic name"),
        (play, ["{in}", "--publish-as", "no topic"], "is no topic name"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(tmp_path, module, arguments, words, capsys):
    paths = {"{in}": str(write_bag(tmp_path)), "{out}": str(tmp_path / "new")}
    assert module.main([paths.get(word, word) for word in arguments]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert len(message.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("module", ["pvd_ros.play", "pvd_ros.record"])
def test_player_and_recorder_are_programs_that_do_without_torch(ros, module):
    """Torch takes seconds to import."""
    script = ros.folder / "without_torch.py"
    script.write_text(
        f"import runpy, sys\nsys.modules['torch'] = None\nsys.argv = sys.argv[1:]\n"
        f"runpy.run_module({module!r}, run_name='__main__')\n"
    )
    ros.environment["PYTHONPATH"] = str(ROOT)
    program = ros.start_script(script, module, "--help")
    assert program.wait() == 0, program.text()
    assert "usage: python -m" in program.text()
