"""Bags come back as written; a bag that is missing, damaged or holds something else is one clear error."""

import shutil

import numpy as np
import pytest
from bags import STRING, file_of, string_bytes
from ros_clouds import STORE
from rosbags.rosbag2 import Reader

from pvd_core.borders.errors import UserError
from pvd_ros.bags import BagError, BagWriter, Channel, NoCloudsError, open_bag, read_clouds, topics_of, write_scans
from pvd_ros.bags.types import cloud_from_points
from pvd_ros.codec import CLOUD_TYPE, MalformedCloudError, decode, stamp_of


def scans(count, num_points=50):
    generator = np.random.default_rng(5)
    for index in range(count):
        yield generator.normal(size=(num_points, 4)).astype(np.float32), 10**18 + index * 100_000_000


def write_strings(path, topic="/notes"):
    with BagWriter(path) as bag:
        bag.write(Channel(topic, STRING), string_bytes("hello"), 5)
    return path


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_written_scans_come_back_bit_for_bit_at_their_stamps(tmp_path, storage):
    assert write_scans(tmp_path / "bag", scans(4), topic="/lidar", frame_id="roof", storage=storage) == 4
    read = list(read_clouds(tmp_path / "bag"))
    assert len(read) == 4
    for cloud, (points, stamp_ns) in zip(read, scans(4), strict=True):
        assert (cloud.topic, cloud.log_time_ns, stamp_of(cloud.message)) == ("/lidar", stamp_ns, stamp_ns)
        assert cloud.message.header.frame_id == "roof"
        np.testing.assert_array_equal(decode(cloud.message).points, points)


def test_a_bare_mcap_file_reads_like_its_folder(tmp_path):
    write_scans(tmp_path / "bag", scans(2))
    assert len(list(read_clouds(next((tmp_path / "bag").glob("*.mcap"))))) == 2


def test_an_existing_bag_is_never_overwritten(tmp_path):
    write_scans(tmp_path / "bag", scans(1))
    with pytest.raises(BagError, match="exists already"):
        write_scans(tmp_path / "bag", scans(1))
    assert len(list(read_clouds(tmp_path / "bag"))) == 1


def test_a_bag_that_fails_half_way_leaves_nothing_behind(tmp_path):
    def failing():
        yield from scans(2)
        raise RuntimeError("the scanner broke")

    with pytest.raises(RuntimeError, match="scanner"):
        write_scans(tmp_path / "bag", failing())
    assert not (tmp_path / "bag").exists()


def test_a_folder_that_cannot_be_created_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BagError, match="cannot create bag"):
        write_scans(tmp_path / "file" / "bag", scans(1))


def test_an_unknown_storage_names_the_known_ones(tmp_path):
    with pytest.raises(BagError, match="mcap, sqlite3"):
        BagWriter(tmp_path / "bag", "zip")


def test_a_missing_bag_is_a_clear_error(tmp_path):
    with pytest.raises(BagError, match="no bag at"):
        list(read_clouds(tmp_path / "nothing"))


@pytest.mark.parametrize("suffix", [".bin", ".PCD"])
def test_a_scan_is_no_bag_and_goes_to_predict(tmp_path, suffix):
    scan = tmp_path / f"scan{suffix}"
    scan.write_bytes(bytes(160))
    with pytest.raises(BagError, match=r"is a scan, not a bag; .*pvd predict"):
        topics_of(scan)


def test_a_folder_that_is_no_bag_is_a_clear_error(tmp_path):
    with pytest.raises(BagError, match=r"is no bag: it has neither metadata\.yaml nor \.mcap or \.db3 files"):
        list(read_clouds(tmp_path))


def test_a_file_that_is_no_bag_is_a_clear_error(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BagError, match=r"notes\.txt is no bag; expected a rosbag2 folder"):
        topics_of(tmp_path / "notes.txt")


@pytest.mark.parametrize(("storage", "name"), [("mcap", "bag_0.mcap"), ("sqlite3", "bag_0.db3")])
def test_files_have_the_names_that_ros2_bag_reindex_takes(tmp_path, storage, name):
    write_scans(tmp_path / "bag", scans(1), storage=storage)
    assert file_of(tmp_path / "bag").name == name


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_another_reader_finds_the_same_in_a_written_bag(tmp_path, storage):
    write_scans(tmp_path / "bag", scans(3), storage=storage)
    with open_bag(tmp_path / "bag") as bag, Reader(tmp_path / "bag") as other:
        ours = [(message.channel.topic, message.log_time_ns, message.raw) for message in bag.messages()]
        assert [(c.topic, time, bytes(raw)) for c, time, raw in other.messages()] == ours
        (connection,) = other.connections
        (channel,) = bag.channels
        assert (connection.msgcount, connection.msgdef.data.encode()) == (3, channel.definition)
        assert connection.digest == channel.type_hash == STORE.hash_rihs01(CLOUD_TYPE)


def test_an_unknown_topic_lists_what_the_bag_has(tmp_path):
    write_scans(tmp_path / "bag", scans(1), topic="/lidar")
    with pytest.raises(BagError, match=r"no topic /radar .*it has: /lidar \(sensor_msgs/msg/PointCloud2\)"):
        list(read_clouds(tmp_path / "bag", "/radar"))


@pytest.mark.parametrize("topic", ["lidar", "/lidr", "//lidar"])
def test_a_misspelt_topic_is_answered_with_the_closest(tmp_path, topic):
    write_scans(tmp_path / "bag", scans(1), topic="/lidar")
    with pytest.raises(BagError, match=rf"no topic {topic} .*; did you mean /lidar\? it has: /lidar"):
        list(read_clouds(tmp_path / "bag", topic))


def test_a_bag_without_clouds_says_so_whatever_topic_is_asked_for(tmp_path):
    with pytest.raises(NoCloudsError, match=r"no topic of type .*it has: /notes"):
        list(read_clouds(write_strings(tmp_path / "bag"), "lidar"))


def test_a_topic_of_another_type_names_the_type(tmp_path):
    with pytest.raises(
        BagError, match=r"/notes .* is not of type sensor_msgs/msg/PointCloud2 alone; .*std_msgs/msg/String"
    ):
        list(read_clouds(write_strings(tmp_path / "bag"), "/notes"))


def test_a_bag_without_clouds_says_so(tmp_path):
    with pytest.raises(BagError, match=r"no topic of type .*it has: /notes"):
        list(read_clouds(write_strings(tmp_path / "bag")))


def test_two_cloud_topics_must_be_chosen_between(tmp_path):
    write_scans(tmp_path / "one", scans(1), topic="/front")
    with BagWriter(tmp_path / "bag") as bag:
        for topic in ("/front", "/rear"):
            for cloud in read_clouds(tmp_path / "one"):
                bag.write_cloud(topic, cloud.message)
    with pytest.raises(BagError, match="/front, /rear; choose one"):
        list(read_clouds(tmp_path / "bag"))
    assert len(list(read_clouds(tmp_path / "bag", "/rear"))) == 1


def test_a_recorded_bag_of_packets_with_an_unknown_type_says_it_has_no_clouds(shared_data):
    with pytest.raises(BagError, match=r"/velodyne_packets \(velodyne_msgs/msg/VelodyneScan\)"):
        list(read_clouds(shared_data / "rosbag2_packets_vlp16"))
    assert topics_of(shared_data / "rosbag2_packets_vlp16") == {"/velodyne_packets": "velodyne_msgs/msg/VelodyneScan"}


def test_a_message_that_is_no_cloud_is_malformed_not_a_crash(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_cloud_bytes("/lidar", b"\x00\x01\x00\x00rubbish", 1)
    with pytest.raises(MalformedCloudError) as caught:
        list(read_clouds(tmp_path / "bag"))
    assert caught.value.reason == "unreadable_message"


NAMES = [
    "/points",
    "/a/b_2/_c",
    "points",
    "~/points",
    "/",
    "",
    "/2a",
    "/a/2",
    "/a//b",
    "/a/",
    "/a-b",
    "/a b",
    "/\u00e4",
]


@pytest.mark.parametrize("name", [*NAMES, "/" + "a" * 246, "/" + "a" * 247])
def test_topic_names_are_checked_by_the_rules_of_ros(tmp_path, name):
    pytest.importorskip("rclpy")
    from rclpy.exceptions import InvalidTopicNameException
    from rclpy.validate_full_topic_name import validate_full_topic_name

    try:
        validate_full_topic_name(name)
    except InvalidTopicNameException:
        with pytest.raises(UserError, match="topic"):
            write_scans(tmp_path / "bag", scans(1), topic=name)
        assert list(tmp_path.iterdir()) == []
    else:
        assert write_scans(tmp_path / "bag", scans(1), topic=name) == 1


def test_what_a_killed_process_left_is_replaced_and_said(tmp_path, caplog):
    unfinished = tmp_path / ".bag.unfinished"
    (unfinished / "bag").mkdir(parents=True)
    (unfinished / "bag/bag.mcap").write_bytes(b"half")
    write_scans(tmp_path / "bag", scans(2))
    assert len(list(read_clouds(tmp_path / "bag"))) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "bag"]
    assert f"{unfinished}: half a bag that a killed process left is replaced" in caplog.text


def test_what_is_left_of_a_recording_is_not_replaced_and_can_be_read(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        for points, stamp_ns in scans(10, 10_000):
            bag.write_cloud("/lidar", cloud_from_points(points, stamp_ns, "velodyne"))
        # As if the process were killed here.
        shutil.copytree(tmp_path / ".bag.unfinished", tmp_path / "kept")
    shutil.rmtree(tmp_path / "bag")
    (tmp_path / "kept").rename(tmp_path / ".bag.unfinished")
    with pytest.raises(BagError, match="can be read with `--salvage`"), BagWriter(tmp_path / "bag", leftovers="refuse"):
        pass
    with open_bag(file_of(tmp_path / ".bag.unfinished/bag"), salvage=True) as left:
        assert left.count("/lidar") == 7
        assert "is cut or damaged" in left.damage[0]


def test_one_process_at_a_time_writes_a_bag(tmp_path):
    with BagWriter(tmp_path / "bag"):
        with pytest.raises(UserError, match="another process is writing the bag"), BagWriter(tmp_path / "bag"):
            pass
        assert not (tmp_path / "bag").exists()
    assert (tmp_path / "bag/metadata.yaml").is_file()
