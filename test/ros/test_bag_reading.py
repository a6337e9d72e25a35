"""Bags come back as written; a bag that is missing, damaged or holds something else is one clear error."""

import numpy as np
import pytest
from ros_clouds import STORE

from pvd_core.borders.errors import UserError
from pvd_ros.bags import BagError, BagWriter, read_clouds, topics_of, write_scans
from pvd_ros.codec import MalformedCloudError, decode, stamp_of


def scans(count, num_points=50):
    generator = np.random.default_rng(5)
    for index in range(count):
        yield generator.normal(size=(num_points, 4)).astype(np.float32), 10**18 + index * 100_000_000


def write_strings(path, topic="/notes"):
    text = STORE.types["std_msgs/msg/String"](data="hello")
    definition, _ = STORE.generate_msgdef("std_msgs/msg/String", ros_version=2)
    with BagWriter(path) as bag:
        bag.add_topic(topic, "std_msgs/msg/String", definition, STORE.hash_rihs01("std_msgs/msg/String"))
        bag.write_bytes(topic, STORE.serialize_cdr(text, "std_msgs/msg/String"), 5)
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


def test_a_folder_without_metadata_is_a_clear_error(tmp_path):
    with pytest.raises(BagError, match=r"no metadata\.yaml"):
        list(read_clouds(tmp_path))


def test_an_unknown_topic_lists_what_the_bag_has(tmp_path):
    write_scans(tmp_path / "bag", scans(1), topic="/lidar")
    with pytest.raises(BagError, match=r"no topic /radar .*it has: /lidar \(sensor_msgs/msg/PointCloud2\)"):
        list(read_clouds(tmp_path / "bag", "/radar"))


def test_a_topic_of_another_type_names_the_type(tmp_path):
    with pytest.raises(BagError, match=r"/notes .* is of type std_msgs/msg/String"):
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


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_cut_anywhere_is_one_clear_error(tmp_path, storage):
    write_scans(tmp_path / "bag", scans(5), storage=storage)
    file = next(path for path in (tmp_path / "bag").iterdir() if path.suffix in (".mcap", ".db3"))
    whole = file.read_bytes()
    for size in (0, 7, 100, len(whole) // 3, len(whole) // 2, len(whole) - 5000):
        file.write_bytes(whole[:size])
        with pytest.raises(BagError, match="truncated"):
            list(read_clouds(tmp_path / "bag"))


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


def test_what_is_left_of_a_recording_is_not_replaced(tmp_path):
    (tmp_path / ".bag.unfinished").mkdir()
    with pytest.raises(BagError, match="mcap recover"), BagWriter(tmp_path / "bag", keeps_leftovers=True):
        pass
    assert (tmp_path / ".bag.unfinished").exists()


def test_one_process_at_a_time_writes_a_bag(tmp_path):
    with BagWriter(tmp_path / "bag"):
        with pytest.raises(UserError, match="another process is writing the bag"), BagWriter(tmp_path / "bag"):
            pass
        assert not (tmp_path / "bag").exists()
    assert (tmp_path / "bag/metadata.yaml").is_file()
