"""Thousands of damaged bags: no traceback, and no cloud is lost or changed without a word. Every draw is seeded."""

import contextlib
import random
import shutil

import pytest
from bag_mutations import damaged
from bags import START_NS, STRING, cloud_bytes, clouds_of, file_of, rows_of, string_bytes, write_drive
from ros_clouds import STORE
from ros_weights import tiny_weights
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from pvd_cli.main import run
from pvd_ros.bags import BagError, Channel, open_bag
from pvd_ros.bags.mcap_writer import McapWriter
from pvd_ros.codec import CLOUD_TYPE

CLOUDS = clouds_of(6, 12)


def checked(folder):
    return write_drive(folder / "checked", CLOUDS)


def database(folder):
    return write_drive(folder / "database", CLOUDS, "sqlite3")


def without_metadata(folder):
    return shutil.copy(file_of(write_drive(folder / "alone", CLOUDS)), folder / "alone.mcap")


def split(folder):
    bag = write_drive(folder / "split", CLOUDS[:3])
    more = McapWriter(bag / "split_1.mcap")
    number = more.add_channel(Channel("/lidar", CLOUD_TYPE))
    for index, cloud in enumerate(CLOUDS[3:]):
        more.write(number, START_NS + 10**10 + index, cloud_bytes(cloud), 0)
    more.close()
    metadata = bag / "metadata.yaml"
    text = metadata.read_text().replace("- split_0.mcap", "- split_0.mcap\n  - split_1.mcap")
    metadata.write_text(text.replace("  message_count: 6\n  topics", "  message_count: 9\n  topics"))
    return bag


def by_rosbags(name, plugin, mode):
    def write(folder):
        writer = Writer(folder / name, version=9, storage_plugin=plugin)
        if mode:
            writer.set_compression(mode, CompressionFormat.ZSTD)
        with writer:
            clouds = writer.add_connection("/lidar", CLOUD_TYPE, typestore=STORE)
            notes = writer.add_connection("/notes", STRING, typestore=STORE)
            for index, cloud in enumerate(CLOUDS):
                writer.write(clouds, START_NS + 10 * index, cloud_bytes(cloud))
                writer.write(notes, START_NS + 10 * index + 5, string_bytes(f"cloud {index}"))
        return folder / name

    return write


def ros1(folder):
    store = get_typestore(Stores.ROS1_NOETIC)
    with Ros1Writer(folder / "old.bag") as writer:
        notes = writer.add_connection("/notes", STRING, typestore=store)
        for index in range(12):
            writer.write(notes, START_NS + index, store.serialize_ros1(store.types[STRING](f"cloud {index}"), STRING))
    return folder / "old.bag"


WITH_CHECKSUMS = (checked, without_metadata, split)
BAGS = {
    "checked": checked,
    "without_metadata": without_metadata,
    "split": split,
    "database": database,
    "plain": by_rosbags("plain", StoragePlugin.MCAP, None),
    "chunks": by_rosbags("chunks", StoragePlugin.MCAP, CompressionMode.STORAGE),
    "file": by_rosbags("file", StoragePlugin.SQLITE3, CompressionMode.FILE),
    "message": by_rosbags("message", StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    "ros1": ros1,
}


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """{name: (bag, its messages)}"""
    folder = tmp_path_factory.mktemp("bags")
    written = {name: write(folder) for name, write in BAGS.items()}
    return {name: (bag, rows_of(bag)) for name, bag in written.items()}


def check_reading(bag, whole, has_checksums):
    """Either an error, or everything; with salvage, whatever is missing is said."""
    with contextlib.suppress(BagError):
        rows = rows_of(bag)
        assert len(rows) >= len(whole), "messages were lost without a word"
        if has_checksums:
            assert rows == whole, "messages changed without a word"
        else:
            with open_bag(bag) as opened:
                assert any("without checksums" in remark for remark in opened.remarks)
    with contextlib.suppress(BagError), open_bag(bag, salvage=True) as opened:
        num_salvaged = sum(1 for _ in opened.messages())
        assert num_salvaged >= len(whole) or opened.damage, "salvage lost messages without a word"


def fuzz(bags, folder, seed, num_each):
    generator = random.Random(seed)
    for name, (bag, whole) in bags.items():
        for number in range(num_each):
            copy = damaged(bag, folder, generator)
            try:
                check_reading(copy, whole, BAGS[name] in WITH_CHECKSUMS)
            except Exception as error:
                raise AssertionError(f"{name}, seed {seed}, damage {number}: {error!r}, kept in {copy}") from error


def test_damaged_bags_of_each_kind_lose_nothing_without_a_word(bags, tmp_path):
    fuzz(bags, tmp_path, seed=1, num_each=15)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 14))
def test_ten_thousand_damaged_bags_lose_nothing_without_a_word(bags, tmp_path, seed):
    fuzz(bags, tmp_path, seed, num_each=100)


@pytest.mark.slow
def test_no_damaged_bag_ends_label_bag_with_a_traceback(bags, tmp_path, capsys):
    weights, generator = tiny_weights(tmp_path), random.Random(99)
    for name, (bag, _) in bags.items():
        for number in range(15):
            copy, out = damaged(bag, tmp_path, generator), tmp_path / f"out_{name}_{number}"
            more = ["--salvage"] if number % 2 else []
            code = run(["label-bag", str(copy), str(out), "--weights", str(weights), "--topic", "/lidar", *more])
            printed = capsys.readouterr()
            assert code in (0, 2, 3)
            assert out.is_dir() == (code != 2)
            assert printed.err.startswith("error: ") == (code == 2)
            if code == 0 and BAGS[name] in WITH_CHECKSUMS:
                assert "6 of 6 clouds labelled" in printed.out
