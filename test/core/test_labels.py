import numpy as np
import pytest

from pvd_core.taxonomy import (
    CLASS_COLOURS,
    CLASS_NAMES,
    RAW_NAMES,
    UnknownLabelError,
    class_ids_from_raw,
    raw_from_class_ids,
)


def test_every_raw_id_has_its_official_class():
    expected = {
        0: 0, 1: 0, 10: 1, 11: 2, 13: 5, 15: 3, 16: 5, 18: 4, 20: 5, 30: 6, 31: 7, 32: 8, 40: 9, 44: 10, 48: 11,
        49: 12, 50: 13, 51: 14, 52: 0, 60: 9, 70: 15, 71: 16, 72: 17, 80: 18, 81: 19, 99: 0, 252: 1, 253: 7, 254: 6,
        255: 8, 256: 5, 257: 5, 258: 4, 259: 5,
    }  # fmt: skip
    assert set(expected) == set(RAW_NAMES)

    assert class_ids_from_raw(np.array(list(expected), np.uint32)).tolist() == list(expected.values())


def test_instance_ids_in_the_high_bits_do_not_matter():
    assert class_ids_from_raw(np.array([(77 << 16) | 252], np.uint32)).tolist() == [1]


def test_classes_written_as_raw_ids_come_back_and_keep_their_name():
    raw = raw_from_class_ids(np.arange(20))

    assert class_ids_from_raw(raw).tolist() == list(range(20))
    assert [RAW_NAMES[int(raw_id)] for raw_id in raw] == list(CLASS_NAMES)


def test_unknown_raw_ids_are_named_or_ignored_on_request():
    labels = np.array([10, 17, 17, 999], np.uint32)

    with pytest.raises(UnknownLabelError, match=r"17 \(2 points\), 999 \(1 point\)"):
        class_ids_from_raw(labels)
    assert class_ids_from_raw(labels, unknown="ignore").tolist() == [1, 0, 0, 0]


def test_colours_are_rgb():
    assert CLASS_COLOURS.shape == (20, 3)
    assert CLASS_COLOURS[CLASS_NAMES.index("car")].tolist() == [100, 150, 245]
    assert CLASS_COLOURS[CLASS_NAMES.index("traffic-sign")].tolist() == [255, 0, 0]
