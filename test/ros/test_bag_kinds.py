"""Bags as other programs write them are labelled whole, and what is beside the clouds is copied as it is."""

import os
import shutil
import sqlite3
import struct
import subprocess
import sys

import pytest
from bags import START_NS, STEP_NS, STRING, cloud_bytes, clouds_of, file_of, rows_of, string_bytes, write_drive
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as LibraryWriter
from ros_clouds import STORE
from ros_weights import tiny_weights
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from pvd_core.segmenter import Segmenter
from pvd_ros.bags import BagError, Channel, LabelOptions, label_bag, open_bag, read_clouds
from pvd_ros.bags.mcap_writer import McapWriter
from pvd_ros.codec import CLOUD_TYPE, stamp_of

LIDAR = Channel("/lidar", CLOUD_TYPE)
CLOUDS = clouds_of(5)
STAMPS = [START_NS + index * STEP_NS for index in range(5)]


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter.from_weights(tiny_weights(tmp_path_factory.mktemp("weights")), device="cpu")


def stamps_in(path, topic="/lidar"):
    return [stamp_of(cloud.message) for cloud in read_clouds(path, topic)]


def write_by_rosbags(path, plugin=StoragePlugin.MCAP, mode=None):
    """The clouds, written by rosbags, which knows the compressions of ROS 2."""
    writer = Writer(path, version=9, storage_plugin=plugin)
    if mode:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/lidar", CLOUD_TYPE, typestore=STORE)
        for stamp, cloud in zip(STAMPS, CLOUDS, strict=True):
            writer.write(connection, stamp, STORE.serialize_cdr(cloud, CLOUD_TYPE))
    return path


def check_labelled(bag, out, segmenter):
    report = label_bag(bag, out, segmenter, "/lidar")
    assert (report.clouds, report.labelled, report.damage) == (5, 5, [])
    assert stamps_in(out, "/lidar/labelled") == stamps_in(out) == STAMPS


def test_two_channels_of_one_topic_are_labelled_and_become_one_in_order(tmp_path, segmenter):
    file = McapWriter(tmp_path / "two.mcap")
    numbers = [file.add_channel(LIDAR) for _ in range(2)]
    for index, cloud in enumerate(CLOUDS):
        file.write(numbers[index % 2], STAMPS[index], cloud_bytes(cloud), 0)
    file.close()
    check_labelled(tmp_path / "two.mcap", tmp_path / "out", segmenter)
    with open_bag(tmp_path / "out") as bag:
        assert [channel.topic for channel in bag.channels] == ["/lidar", "/lidar/labelled"]


OTHERS = [
    (Channel("/state", "State", "json", b'{"type": "object"}', "jsonschema"), b'{"speed": 3}'),
    (Channel("/tracks", "track.List", "protobuf", b"\x0a\x02\xff\x00", "protobuf"), b"\x08\x96\x01"),
    (Channel("/old", "std_msgs/String", "ros1", b"string data\n", "ros1msg"), b"\x02\x00\x00\x00hi"),
    (Channel("/raw", "", "", b"", ""), b"\x00\xff"),
    (Channel("/own", "my_msgs/msg/Own"), b"\x00\x01\x00\x00\x07"),
    (Channel("/odd", "my_msgs/msg/Odd", "cdr", b"no definition at all {", "ros2msg"), b"\x00\x01\x00\x00\x08"),
    (Channel("/notes", STRING), string_bytes("a note")),
]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_topics_of_any_encoding_are_copied_as_they_are(tmp_path, segmenter, storage):
    file = McapWriter(tmp_path / "mixed.mcap")
    clouds = file.add_channel(LIDAR)
    numbers = [file.add_channel(channel) for channel, _ in OTHERS]
    for index, cloud in enumerate(CLOUDS):
        file.write(clouds, STAMPS[index], cloud_bytes(cloud), 0)
        for number, (_, raw) in zip(numbers, OTHERS, strict=True):
            file.write(number, STAMPS[index] + 1, raw, 0)
    file.close()
    label_bag(tmp_path / "mixed.mcap", tmp_path / "out", segmenter, options=LabelOptions(storage=storage))
    copied = [row for row in rows_of(tmp_path / "out") if row[0] != "/lidar/labelled"]
    assert copied == rows_of(tmp_path / "mixed.mcap")
    with open_bag(tmp_path / "out") as bag:
        kinds = [channel.kind for channel in bag.channels]
        if storage == "mcap":
            found = {channel.topic: (channel.definition_encoding, channel.definition) for channel in bag.channels}
            for channel, _ in OTHERS[:-1]:
                assert found[channel.topic] == (channel.definition_encoding, channel.definition)
    assert kinds == [LIDAR.kind, *(channel.kind for channel, _ in OTHERS), ("/lidar/labelled", CLOUD_TYPE, "cdr")]


def test_clouds_of_another_encoding_are_named_not_labelled(tmp_path):
    file = McapWriter(tmp_path / "old.mcap")
    file.write(file.add_channel(Channel("/lidar", "sensor_msgs/PointCloud2", "ros1")), 1, b"", 0)
    file.close()
    with pytest.raises(BagError, match=r"no topic of type .*/lidar \(sensor_msgs/PointCloud2, encoded as ros1\)"):
        list(read_clouds(tmp_path / "old.mcap"))


def killed_recorder(folder):
    """A database whose last two clouds are in its write-ahead log alone, and no metadata.yaml."""
    whole = file_of(write_by_rosbags(folder / "whole", StoragePlugin.SQLITE3))
    (folder / "killed").mkdir()
    database = sqlite3.connect(whole)
    rows = database.execute("SELECT * FROM messages ORDER BY id").fetchall()
    database.execute("DELETE FROM messages WHERE id > 3")
    database.commit()
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows[3:])
    database.commit()
    for name in (whole.name, f"{whole.name}-wal"):
        shutil.copy(whole.parent / name, folder / "killed" / name)
    database.close()
    return folder / "killed"


def test_the_write_ahead_log_of_a_killed_recorder_is_read_and_left_alone(tmp_path, segmenter):
    bag = killed_recorder(tmp_path)
    before = {file.name: file.read_bytes() for file in bag.iterdir()}
    check_labelled(bag, tmp_path / "out", segmenter)
    assert {file.name: file.read_bytes() for file in bag.iterdir()} == before
    with open_bag(bag) as opened:
        assert any("-wal is read too" in remark for remark in opened.remarks)


def test_a_write_ahead_log_is_read_from_a_place_that_cannot_be_written(tmp_path, project_root):
    """By a process without rights, for root may write everywhere."""
    bag = killed_recorder(tmp_path)
    for file in (bag, *bag.iterdir()):
        file.chmod(0o555 if file is bag else 0o444)
    for folder in (tmp_path, *tmp_path.parents) if os.geteuid() == 0 else ():
        if folder.stat().st_mode & 0o777 == 0o700:  # pytest keeps its folders to itself
            folder.chmod(0o755)
    script = """
import os, sys
from pvd_ros.bags import read_clouds, types
types.typestore()
os.geteuid() or os.setuid(65534)
assert not os.access(sys.argv[1], os.W_OK)
print(len(list(read_clouds(sys.argv[1]))))
"""
    found = subprocess.run([sys.executable, "-c", script, bag], cwd=project_root, capture_output=True, text=True)
    assert found.stdout == "5\n", found.stderr


def test_a_log_without_room_for_a_copy_is_an_error_that_says_so(tmp_path, monkeypatch):
    bag = killed_recorder(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pvd_ros.bags.sqlite_file.shutil.copyfile", full)
    with pytest.raises(BagError, match=r"must be copied to be read.*No space left on device; set TMPDIR"):
        list(read_clouds(bag))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_folder_without_metadata_and_a_single_file_are_read(tmp_path, segmenter, storage):
    drive = write_drive(tmp_path / "drive", CLOUDS, storage)
    (drive / "metadata.yaml").unlink()
    check_labelled(drive, tmp_path / "out", segmenter)
    check_labelled(file_of(drive), tmp_path / "out2", segmenter)


@pytest.mark.parametrize("has_metadata", [True, False])
def test_the_files_of_a_split_bag_are_read_in_their_order(tmp_path, segmenter, has_metadata):
    """Eleven files, whose order by name is not that of their numbers."""
    folder = tmp_path / "drive"
    folder.mkdir()
    for index in range(11):
        file = McapWriter(folder / f"drive_{index}.mcap")
        # All at one time, so that only the order of the files can tell.
        file.write(file.add_channel(LIDAR), START_NS, cloud_bytes(clouds_of(11, 20)[index]), 0)
        file.close()
    if has_metadata:
        names = "".join(f"  - drive_{index}.mcap\n" for index in range(11))
        text = f"rosbag2_bagfile_information:\n  message_count: 11\n  relative_file_paths:\n{names}"
        (folder / "metadata.yaml").write_text(text)
    report = label_bag(folder, tmp_path / "out", segmenter)
    assert report.labelled == 11
    assert stamps_in(tmp_path / "out", "/lidar/labelled") == [START_NS + index * STEP_NS for index in range(11)]


@pytest.mark.parametrize(
    ("plugin", "mode"),
    [
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
        (StoragePlugin.MCAP, CompressionMode.FILE),
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
        (StoragePlugin.MCAP, CompressionMode.MESSAGE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    ],
)
def test_bags_compressed_with_zstd_are_read(tmp_path, segmenter, plugin, mode):
    check_labelled(write_by_rosbags(tmp_path / "bag", plugin, mode), tmp_path / "out", segmenter)


def write_by_the_library(path, **options):
    """The clouds, written by the library `mcap` alone."""
    with path.open("wb") as file:
        writer = LibraryWriter(file, **options)
        writer.start()
        clouds = writer.register_channel("/lidar", "cdr", writer.register_schema(CLOUD_TYPE, "ros2msg", b""))
        for stamp, cloud in zip(STAMPS, CLOUDS, strict=True):
            writer.add_message(clouds, stamp, cloud_bytes(cloud), stamp)
        writer.add_attachment(0, 0, "map.png", "image/png", b"a picture")
        writer.finish()
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"compression": CompressionType.LZ4},
        {"compression": CompressionType.ZSTD},
        {"use_chunking": False, "index_types": IndexType.NONE, "use_statistics": False},
    ],
)
def test_an_mcap_of_another_program_is_read(tmp_path, segmenter, options):
    check_labelled(write_by_the_library(tmp_path / "theirs.mcap", **options), tmp_path / "out", segmenter)


def test_what_of_an_mcap_is_left_out_is_said(tmp_path):
    file = write_by_the_library(tmp_path / "theirs.mcap")
    content, own = file.read_bytes(), struct.pack("<BQ", 0x80, 3) + b"own"
    file.write_bytes(content[:8] + own + content[8:])
    with open_bag(file) as bag:
        assert bag.remarks == [f"{file}: 1 record of an unknown kind left out", f"{file}: 1 attachment left out"]


def test_an_unknown_compression_of_chunks_is_named(tmp_path):
    file = write_by_the_library(tmp_path / "theirs.mcap", compression=CompressionType.LZ4)
    file.write_bytes(file.read_bytes().replace(b"lz4", b"lzo"))
    with pytest.raises(BagError, match="unknown compression 'lzo'; lz4 and zstd are known"):
        rows_of(file)


def write_ros1(path, compression=None, clouds=CLOUDS):
    store = get_typestore(Stores.ROS1_NOETIC)
    writer = Ros1Writer(path)
    if compression:
        writer.set_compression(compression)
    with writer:
        lidar = writer.add_connection("/lidar", CLOUD_TYPE, typestore=store)
        notes = writer.add_connection("/notes", STRING, typestore=store, latching=1)
        for index, (stamp, cloud) in enumerate(zip(STAMPS, clouds, strict=True)):
            header = store.types["std_msgs/msg/Header"](index, cloud.header.stamp, cloud.header.frame_id)
            fields = vars(cloud) | {"header": header}
            fields.pop("__msgtype__", None)
            raw = store.serialize_ros1(store.types[CLOUD_TYPE](**fields), CLOUD_TYPE)
            writer.write(lidar, stamp, raw)
            writer.write(notes, stamp + 1, store.serialize_ros1(store.types[STRING](f"cloud {index}"), STRING))
    return path


@pytest.mark.parametrize("compression", [None, Ros1Writer.CompressionFormat.BZ2, Ros1Writer.CompressionFormat.LZ4])
def test_a_bag_of_ros_1_is_labelled_into_one_of_ros_2(tmp_path, segmenter, compression):
    check_labelled(write_ros1(tmp_path / "drive.bag", compression), tmp_path / "out", segmenter)
    for cloud, given in zip(read_clouds(tmp_path / "out", "/lidar"), CLOUDS, strict=True):
        assert cloud_bytes(cloud.message) == cloud_bytes(given)
    notes = rows_of(tmp_path / "out", "/notes")
    assert notes == [("/notes", stamp + 1, string_bytes(f"cloud {n}")) for n, stamp in enumerate(STAMPS)]
    with open_bag(tmp_path / "out") as bag:
        (channel,) = (channel for channel in bag.channels if channel.topic == "/notes")
        assert channel.type_hash == STORE.hash_rihs01(STRING)
        assert [profile.durability.name for profile in channel.qos] == ["TRANSIENT_LOCAL"]


def test_a_folder_with_one_bag_of_ros_1_is_that_bag_and_with_two_the_choice_is_left(tmp_path):
    folder = tmp_path / "bags"
    folder.mkdir()
    write_ros1(folder / "a.bag")
    assert stamps_in(folder) == STAMPS
    write_ros1(folder / "b.bag")
    with pytest.raises(BagError, match=r"several bags may be in it: a\.bag, b\.bag; give one of the files"):
        stamps_in(folder)


def test_the_way_out_that_an_error_of_a_bag_of_ros_1_cut_in_the_middle_names_works(tmp_path, segmenter):
    # As large as to be in two chunks.
    path = write_ros1(tmp_path / "drive.bag", clouds=clouds_of(5, 20_000))
    path.write_bytes(path.read_bytes()[: int(0.9 * path.stat().st_size)])
    with pytest.raises(BagError, match=r"\d clouds? can be read: `--salvage` of `pvd label-bag`") as caught:
        list(read_clouds(path))
    report = label_bag(path, tmp_path / "out", segmenter, options=LabelOptions(salvage=True))
    assert 0 < report.labelled < len(CLOUDS)
    assert f" {report.labelled} cloud" in str(caught.value)


def test_a_damaged_bag_of_ros_1_is_named_as_such(tmp_path):
    path = write_ros1(tmp_path / "drive.bag")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BagError, match=r"a bag of ROS 1, is cut or damaged: at byte .*`--salvage`"):
        list(read_clouds(path))
