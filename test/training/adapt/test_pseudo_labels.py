"""The surest labels of each class are learnt from, the others are not."""

import numpy as np
import pytest

from pvd_core.segmenter import Segmentation
from pvd_core.taxonomy import SEMANTICKITTI
from training.adapt.pseudo_labels import LevelledLabels, SurestLabels

CAR, ROAD = SEMANTICKITTI.id_of("car"), SEMANTICKITTI.id_of("road")


def levelled(labels, confidence):
    return LevelledLabels.of(Segmentation(np.array(labels, np.uint8), np.array(confidence, np.float32), {}))


def test_half_of_each_class_is_learnt_from_however_sure_another_class_is():
    scans = [
        levelled([CAR, CAR, ROAD, ROAD, 0], [0.3, 0.2, 0.9, 1.0, 0]),
        levelled([CAR, ROAD, CAR, ROAD], [0.1, 0.8, 0.25, 0.7]),
    ]
    surest = SurestLabels(SEMANTICKITTI, 0.5)
    for scan in scans:
        surest.add(scan)
    assert [surest.chosen(scan).tolist() for scan in scans] == [[CAR, 0, ROAD, ROAD, 0], [0, 0, CAR, 0]]
    report = surest.report()
    assert set(report) == {"car", "road"}
    assert report["car"] == {"points": 4, "learnt": 2, "least_confidence": pytest.approx(0.25, abs=1 / 256)}


@pytest.mark.parametrize("share", [0.01, 0.3, 0.77, 1.0])
def test_at_least_the_share_is_learnt_from_and_no_less_sure_point_before_a_surer_one(share):
    generator = np.random.default_rng(0)
    scan = levelled(generator.integers(0, 20, 5000), generator.beta(4, 2, 5000))
    surest = SurestLabels(SEMANTICKITTI, share)
    surest.add(scan)
    chosen = surest.chosen(scan)
    assert set(chosen[scan.labels == 0]) == {0}
    for number in range(1, 20):
        levels, is_chosen = scan.levels[scan.labels == number], chosen[scan.labels == number] == number
        assert is_chosen.sum() >= share * len(levels)
        # Points of the least level are taken together.
        assert (levels[is_chosen] > levels[is_chosen].min()).sum() < share * len(levels)
        assert is_chosen.all() or levels[~is_chosen].max() < levels[is_chosen].min()


def test_no_point_of_any_class_below_the_least_confidence_is_learnt_from():
    scan = levelled([CAR, CAR, ROAD, ROAD], [0.3, 0.49, 0.6, 0.9])
    surest = SurestLabels(SEMANTICKITTI, 1.0, least_confidence=0.5)
    surest.add(scan)
    assert surest.chosen(scan).tolist() == [0, 0, ROAD, ROAD]
    assert surest.report()["car"]["learnt"] == 0


def test_a_class_that_was_not_found_and_no_scan_at_all_are_no_harm():
    surest = SurestLabels(SEMANTICKITTI, 0.5)
    assert surest.report() == {}
    assert surest.chosen(levelled([], [])).tolist() == []
