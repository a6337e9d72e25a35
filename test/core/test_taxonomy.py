import pickle

import numpy as np
import pytest

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN, TAXONOMIES, UnknownLabelError, taxonomy_named

OFFICIAL = {
    0: 0, 1: 0, 10: 1, 11: 2, 13: 5, 15: 3, 16: 5, 18: 4, 20: 5, 30: 6, 31: 7, 32: 8, 40: 9, 44: 10, 48: 11,
    49: 12, 50: 13, 51: 14, 52: 0, 60: 9, 70: 15, 71: 16, 72: 17, 80: 18, 81: 19, 99: 0, 252: 1, 253: 7, 254: 6,
    255: 8, 256: 5, 257: 5, 258: 4, 259: 5,
}  # fmt: skip
OFFICIAL_MULTISCAN = {**OFFICIAL, 252: 20, 253: 21, 254: 22, 255: 23, 256: 24, 257: 24, 259: 24, 258: 25}

both = pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=lambda taxonomy: taxonomy.name)


@pytest.mark.parametrize(
    ("taxonomy", "expected"), [(SEMANTICKITTI, OFFICIAL), (SEMANTICKITTI_MULTISCAN, OFFICIAL_MULTISCAN)]
)
def test_every_raw_id_has_its_official_class(taxonomy, expected):
    assert set(expected) == set(taxonomy.raw_names)

    assert taxonomy.class_ids_from_raw(np.array(list(expected), np.uint32)).tolist() == list(expected.values())


@both
def test_instance_ids_in_the_high_bits_do_not_matter(taxonomy):
    with_instance = np.array([(77 << 16) | 252], np.uint32)

    assert taxonomy.class_ids_from_raw(with_instance) == taxonomy.class_ids_from_raw(np.array([252]))


@both
def test_classes_written_as_raw_ids_come_back_and_keep_their_name(taxonomy):
    class_ids = np.arange(taxonomy.num_classes)

    raw = taxonomy.raw_from_class_ids(class_ids)

    assert taxonomy.class_ids_from_raw(raw).tolist() == class_ids.tolist()
    assert [taxonomy.raw_names[int(raw_id)] for raw_id in raw] == list(taxonomy.names)


@both
def test_unknown_raw_ids_are_named_or_ignored_on_request(taxonomy):
    labels = np.array([10, 17, 17, 999], np.uint32)

    with pytest.raises(UnknownLabelError, match=r"17 \(2 points\), 999 \(1 point\)"):
        taxonomy.class_ids_from_raw(labels)
    assert taxonomy.class_ids_from_raw(labels, unknown="ignore").tolist() == [1, 0, 0, 0]


@both
def test_colours_are_rgb(taxonomy):
    assert (taxonomy.colours.shape, taxonomy.colours.dtype) == ((taxonomy.num_classes, 3), np.uint8)
    assert taxonomy.colours[taxonomy.id_of("car")].tolist() == [100, 150, 245]
    assert taxonomy.colours[taxonomy.id_of("traffic-sign")].tolist() == [255, 0, 0]


def test_the_multi_scan_task_adds_moving_classes_behind_the_others():
    moving = SEMANTICKITTI_MULTISCAN.names[20:]

    assert SEMANTICKITTI_MULTISCAN.names[:20] == SEMANTICKITTI.names
    assert [name.removeprefix("moving-") for name in moving] == [
        "car", "bicyclist", "person", "motorcyclist", "other-vehicle", "truck"
    ]  # fmt: skip
    for name in moving:
        still, moves = (SEMANTICKITTI_MULTISCAN.id_of(each) for each in (name.removeprefix("moving-"), name))
        assert (SEMANTICKITTI_MULTISCAN.colours[still] == SEMANTICKITTI_MULTISCAN.colours[moves]).all()


def test_ids_of_names_include_the_moving_kinds():
    assert SEMANTICKITTI.ids_of(("person", "car", "none such")) == (1, 6)
    assert SEMANTICKITTI_MULTISCAN.ids_of(("person", "car", "none such")) == (1, 6, 20, 22)


@pytest.mark.parametrize("name", ["cars", "unlabeled", ""])
def test_a_class_that_no_point_can_have_is_named(name):
    with pytest.raises(UserError, match=f"unknown class '{name}'.*known classes are .*car"):
        SEMANTICKITTI.id_of(name)


def test_taxonomies_are_found_by_name_and_unknown_ones_are_refused():
    assert [taxonomy_named(name) for name in TAXONOMIES] == [SEMANTICKITTI, SEMANTICKITTI_MULTISCAN]
    with pytest.raises(
        UserError, match=r"did you mean 'semantickitti'.*known taxonomies are .*semantickitti-multiscan"
    ):
        taxonomy_named("SemanticKITI")
    with pytest.raises(UserError, match="taxonomy is 19: expected one of semantickitti"):
        taxonomy_named(19)


@both
def test_a_taxonomy_reaches_other_processes(taxonomy):
    copied = pickle.loads(pickle.dumps(taxonomy))

    assert copied == taxonomy
    assert hash(copied) == hash(taxonomy)
    assert SEMANTICKITTI != SEMANTICKITTI_MULTISCAN
