"""A damaged bag is never labelled in silence: one clear error, or with `salvage` what is whole and what is not."""

import shutil
import struct

import pytest
import yaml
from bags import START_NS, clouds_of, file_of, rows_of, write_drive
from mcap.writer import MCAP0_MAGIC
from ros_clouds import STORE
from ros_weights import tiny_weights
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from pvd_core.segmenter import Segmenter
from pvd_ros.bags import BagError, LabelOptions, label_bag, open_bag, read_clouds, topics_of
from pvd_ros.codec import CLOUD_TYPE

STORAGES = ("mcap", "sqlite3")


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter.from_weights(tiny_weights(tmp_path_factory.mktemp("weights")), device="cpu")


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """{storage: bag of nine clouds of 160 kB, so that an MCAP has two chunks}"""
    folder = tmp_path_factory.mktemp("drives")
    return {storage: write_drive(folder / storage / "drive", clouds_of(9, 10_000), storage) for storage in STORAGES}


@pytest.fixture
def copy_of(drives, tmp_path):
    return lambda storage: shutil.copytree(drives[storage], tmp_path / "drive")


def error_of(path):
    with pytest.raises(BagError) as caught:
        rows_of(path)
    return str(caught.value)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_cut_anywhere_is_one_clear_error(copy_of, storage):
    bag = copy_of(storage)
    whole = file_of(bag).read_bytes()
    for size in (0, 7, 100, len(whole) // 3, len(whole) // 2, len(whole) - 5000, len(whole) - 1):
        file_of(bag).write_bytes(whole[:size])
        error = error_of(bag)
        assert "cut" in error or "is no " in error
        assert ("--salvage" in error) != ("copy it again" in error)


@pytest.mark.parametrize("storage", STORAGES)
def test_what_is_whole_of_a_cut_bag_is_labelled_on_request(copy_of, tmp_path, segmenter, storage):
    bag = copy_of(storage)
    whole = rows_of(bag)
    file_of(bag).write_bytes(file_of(bag).read_bytes()[:-20_000])
    report = label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(salvage=True))
    assert report.damage
    assert not report.is_whole
    assert "not read: " in report.text()
    copied = [row for row in rows_of(tmp_path / "out") if row[0] != "/lidar/labelled"]
    assert 0 < len(copied) < len(whole)
    assert set(copied) <= set(whole)
    assert report.labelled == len(rows_of(tmp_path / "out", "/lidar"))


@pytest.mark.parametrize("storage", STORAGES)
def test_the_way_out_that_an_error_of_a_bag_cut_in_the_middle_names_works(copy_of, tmp_path, segmenter, storage):
    bag = copy_of(storage)
    whole = file_of(bag).read_bytes()
    file_of(bag).write_bytes(whole[: int(0.8 * len(whole))])
    with pytest.raises(BagError, match=r"is cut.* \d clouds can be read: `--salvage` of `pvd label-bag`") as caught:
        label_bag(bag, tmp_path / "out", segmenter)
    assert not (tmp_path / "out").exists()
    report = label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(salvage=True))
    assert 0 < report.labelled < 9
    assert f"{report.labelled} clouds can be read" in str(caught.value)


def test_any_changed_byte_of_an_mcap_with_checksums_is_seen(copy_of):
    file = file_of(copy_of("mcap"))
    whole = file.read_bytes()
    for position in range(0, len(whole), len(whole) // 40):
        changed = bytearray(whole)
        changed[position] ^= 0x10
        file.write_bytes(changed)
        error_of(file)


def test_a_chunk_with_a_wrong_checksum_is_left_out_whole_on_request(copy_of, tmp_path, segmenter):
    bag = copy_of("mcap")
    changed = bytearray(file_of(bag).read_bytes())
    changed[1_000_000] ^= 1
    file_of(bag).write_bytes(changed)
    with pytest.raises(BagError, match="checksum does not match"):
        label_bag(bag, tmp_path / "out", segmenter)
    report = label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(salvage=True))
    assert report.labelled == 2
    assert "checksum does not match" in report.text()


def without_checksums(folder):
    """rosbags writes none into MCAP."""
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/lidar", CLOUD_TYPE, typestore=STORE)
        writer.write(connection, START_NS, STORE.serialize_cdr(clouds_of(1)[0], CLOUD_TYPE))
    return folder


def test_a_bag_without_checksums_is_labelled_and_that_is_said(copy_of, tmp_path, segmenter):
    for number, bag in enumerate((without_checksums(tmp_path / "bag"), copy_of("sqlite3"))):
        report = label_bag(bag, tmp_path / f"out{number}", segmenter)
        assert f"note: {bag} without checksums; bytes that have changed would not be noticed" in report.text()
    labelled = label_bag(
        tmp_path / "out0", tmp_path / "again", segmenter, "/lidar", LabelOptions(labelled_topic="/seen")
    )
    assert not any("without checksums" in remark for remark in labelled.remarks)


def test_bytes_after_the_end_of_an_mcap_are_an_error(copy_of):
    file = file_of(copy_of("mcap"))
    whole = file.read_bytes()
    file.write_bytes(whole + whole)
    assert f"{len(whole):,} bytes follow after its end" in error_of(file)


def test_a_file_of_another_kind_says_how_it_begins(tmp_path):
    for name in ("a.mcap", "b.db3"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 a zip")
        assert "begins with b'PK" in error_of(tmp_path / name)
        (tmp_path / name).write_bytes(b"")
        assert "it is empty" in error_of(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mcap", "b.db3", "c.bag", "d.mcap.zstd"])
def test_a_pointer_of_git_lfs_is_named(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "git lfs pull" in error_of(tmp_path / name)


def edit_metadata(bag, change):
    file = bag / "metadata.yaml"
    content = yaml.safe_load(file.read_text())
    change(content["rosbag2_bagfile_information"])
    file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("storage", STORAGES)
def test_metadata_that_declare_more_than_there_is_are_an_error(copy_of, storage):
    bag = copy_of(storage)
    edit_metadata(bag, lambda facts: facts.update(message_count=20))
    assert "declares 20 messages, its files hold 18" in error_of(bag)
    assert len(rows_of(bag, salvage=True)) == 18


@pytest.mark.parametrize("storage", STORAGES)
def test_metadata_that_declare_less_lose_nothing(copy_of, storage):
    bag = copy_of(storage)
    edit_metadata(bag, lambda facts: facts.update(message_count=4))
    assert len(rows_of(bag)) == 18
    with open_bag(bag) as opened:
        assert any("declares 4 messages, its files hold 18: all of them are read" in each for each in opened.remarks)


def test_a_file_that_metadata_list_and_that_is_missing_is_named(copy_of, tmp_path, segmenter):
    bag = copy_of("mcap")
    edit_metadata(bag, lambda facts: facts["relative_file_paths"].append("drive_1.mcap"))
    assert f"drive_1.mcap of {bag} is missing, which metadata.yaml lists. 9 clouds can be read" in error_of(bag)
    report = label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(salvage=True))
    assert report.labelled == 9
    assert "drive_1.mcap" in report.damage[0]


def test_a_file_that_metadata_do_not_list_is_named_and_both_ways_out_work(copy_of):
    bag = copy_of("mcap")
    more = write_drive(bag.parent / "more" / "drive", clouds_of(2))
    shutil.copy(file_of(more), bag / "drive_1.mcap")
    assert "metadata.yaml does not list drive_1.mcap" in error_of(bag)
    (bag / "metadata.yaml").rename(bag.parent / "metadata.yaml")
    assert len(rows_of(bag)) == 22
    (bag.parent / "metadata.yaml").rename(bag / "metadata.yaml")
    (bag / "drive_1.mcap").unlink()
    assert len(rows_of(bag)) == 18


def test_a_file_that_was_renamed_and_its_name_in_the_metadata_are_both_named(copy_of):
    bag = copy_of("mcap")
    file_of(bag).rename(bag / "other.mcap")
    assert "lists drive_0.mcap, which is not there (renamed?), and does not list other.mcap" in error_of(bag)


NAMES = "rosbag2_bagfile_information: {relative_file_paths: [drive_0.mcap], message_count: "


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is empty"),
        ("# nothing", "it is empty"),
        ("a: [", "expected the node content"),
        ("[]", "it has no entry rosbag2_bagfile_information with facts in it"),
        ("rosbag2_bagfile_information: 3", "it has no entry rosbag2_bagfile_information with facts in it"),
        ("rosbag2_bagfile_information: {message_count: 3}", "relative_file_paths is null, expected a list of files"),
        (NAMES + ".inf}", "message_count is inf, expected a whole number"),
        (NAMES + "}", "message_count is null, expected a whole number"),
        ("\x00", "special characters are not allowed"),
    ],
)
def test_unreadable_metadata_are_named_and_the_bag_is_read_without(copy_of, content, why):
    bag = copy_of("mcap")
    (bag / "metadata.yaml").write_text(content)
    assert "metadata.yaml is no metadata of a bag: " in error_of(bag)
    assert why in error_of(bag)
    assert "move it out of the folder and the files are read without it" in error_of(bag)
    (bag / "metadata.yaml").unlink()
    assert len(rows_of(bag)) == 18


def test_files_outside_the_folder_are_never_read(copy_of):
    bag = copy_of("mcap")
    write_drive(bag.parent / "secret", clouds_of(1))
    edit_metadata(bag, lambda facts: facts.update(relative_file_paths=["../secret/secret_0.mcap"]))
    with pytest.raises(BagError, match=r"does not list drive_0\.mcap"):
        rows_of(bag)


def test_an_empty_bag_says_that_it_has_no_topics(tmp_path):
    bag = write_drive(tmp_path / "empty", [])
    with pytest.raises(BagError, match=r"no topic of type .* it has: no topics"):
        list(read_clouds(bag))
    assert topics_of(bag) == {}


def test_a_compressed_message_that_is_damaged_is_an_error_or_left_out_with_a_word(tmp_path, segmenter):
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3)
    writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/lidar", CLOUD_TYPE, typestore=STORE)
        for index, cloud in enumerate(clouds_of(3)):
            writer.write(connection, START_NS + index, STORE.serialize_cdr(cloud, CLOUD_TYPE))
    file = file_of(tmp_path / "bag")
    second = rows_positions(file.read_bytes())[1]
    changed = bytearray(file.read_bytes())
    changed[second + 4 : second + 12] = b"\xff" * 8
    file.write_bytes(changed)
    with pytest.raises(BagError, match=r"a message of /lidar cannot be read: zstd .*`--salvage` leaves such"):
        label_bag(tmp_path / "bag", tmp_path / "out", segmenter)
    report = label_bag(tmp_path / "bag", tmp_path / "out", segmenter, options=LabelOptions(salvage=True))
    assert (report.labelled, len(report.damage)) == (2, 1)


def rows_positions(content):
    """Where the zstd frames of a database begin, in the order of its messages."""
    magic, found, position = b"\x28\xb5\x2f\xfd", [], 0
    while (position := content.find(magic, position)) >= 0:
        found.append(position)
        position += 1
    return sorted(found, reverse=True)


def test_a_compressed_file_that_is_cut_is_an_error(tmp_path):
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.FILE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/lidar", CLOUD_TYPE, typestore=STORE)
        writer.write(connection, START_NS, STORE.serialize_cdr(clouds_of(1, 5000)[0], CLOUD_TYPE))
    file = file_of(tmp_path / "bag")
    file.write_bytes(file.read_bytes()[:-3000])
    assert "is cut or damaged: zstd cannot decompress it" in error_of(tmp_path / "bag")


def test_a_record_that_claims_more_than_memory_holds_is_refused(tmp_path):
    huge = struct.pack("<BQ", 6, 2**62)
    (tmp_path / "huge.mcap").write_bytes(MCAP0_MAGIC + huge + bytes(100))
    assert "is cut or damaged at byte 8 of 117" in error_of(tmp_path / "huge.mcap")
    chunk = struct.pack("<QQQIIQ", 0, 0, 2**20, 0, 0, 2**63)
    (tmp_path / "huge.mcap").write_bytes(MCAP0_MAGIC + struct.pack("<BQ", 6, len(chunk)) + chunk)
    assert f"a field of {2**63:,} bytes has only 0" in error_of(tmp_path / "huge.mcap")
