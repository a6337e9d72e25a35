"""The official IoU protocol, against counts made point by point."""

import numpy as np
import pytest

from pvd_core.taxonomy import SEMANTICKITTI
from training.judge.metrics import ConfusionMatrix


def matrix_of(predicted, truth):
    matrix = ConfusionMatrix(SEMANTICKITTI)
    matrix.update(np.array(predicted), np.array(truth))
    return matrix


def iou_point_by_point(predicted, truth, class_id):
    hits = misses = false_alarms = 0
    for p, t in zip(predicted, truth, strict=True):
        if t == 0:
            continue
        hits += p == class_id and t == class_id
        misses += p != class_id and t == class_id
        false_alarms += p == class_id and t != class_id
    return hits / (hits + misses + false_alarms + 1e-15)


def test_iou_matches_counting_point_by_point():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 20, size=3000)
    predicted = np.where(generator.random(3000) < 0.6, truth, generator.integers(0, 20, size=3000))
    iou = matrix_of(predicted, truth).iou()
    assert iou[0] == 0
    for class_id in range(1, 20):
        assert iou[class_id] == pytest.approx(iou_point_by_point(predicted, truth, class_id), abs=1e-12)


def test_points_without_true_label_never_count():
    matrix = matrix_of([1, 1, 1, 2], [1, 0, 0, 0])
    assert matrix.iou()[1] == pytest.approx(1)
    assert matrix.iou()[2] == 0
    assert matrix.num_points == 1


def test_labelled_point_predicted_as_unlabeled_is_a_miss():
    matrix = matrix_of([0, 1, 1, 1], [1, 1, 1, 1])
    assert matrix.iou()[1] == pytest.approx(0.75)


def test_absent_classes_count_as_zero_in_the_official_mean_only():
    matrix = matrix_of([1, 2, 2], [1, 2, 2])
    assert matrix.miou() == pytest.approx(2 / 19)
    assert matrix.miou(present_only=True) == pytest.approx(1)


def test_class_predicted_but_not_in_the_truth_is_left_out_of_the_mean_over_present_classes():
    matrix = matrix_of([1, 1, 5, 5], [1, 1, 1, 1])
    assert matrix.miou(present_only=True) == pytest.approx(0.5)


def test_accuracy_leaves_points_predicted_as_unlabeled_out():
    # The official sum runs over the predictions of real classes.
    assert matrix_of([1, 2, 0], [1, 1, 1]).accuracy() == pytest.approx(0.5)


def test_scans_add_up_in_one_matrix():
    generator = np.random.default_rng(1)
    predicted, truth = generator.integers(0, 20, size=(2, 1000))
    at_once, scan_by_scan = matrix_of(predicted, truth), ConfusionMatrix(SEMANTICKITTI)
    for part in np.array_split(np.arange(1000), 7):
        scan_by_scan.update(predicted[part].astype(np.uint8), truth[part].astype(np.uint8))
    assert (at_once.counts == scan_by_scan.counts).all()
    assert at_once.counts.sum() == 1000


def test_nothing_counted_gives_zeros():
    matrix = matrix_of([], [])
    assert matrix.miou() == matrix.miou(present_only=True) == matrix.accuracy() == 0
    assert matrix.num_points == 0


def test_iou_by_name_has_the_19_classes():
    by_name = matrix_of([1, 19], [1, 19]).iou_by_name()
    assert list(by_name) == list(SEMANTICKITTI.names[1:])
    assert by_name["car"] == by_name["traffic-sign"] == pytest.approx(1)


@pytest.mark.parametrize(("predicted", "truth"), [([1, 2], [1]), ([20], [1]), ([1], [255]), ([-1], [1])], ids=str)
def test_mismatched_or_unknown_ids_are_refused(predicted, truth):
    with pytest.raises(ValueError, match="expected"):
        matrix_of(predicted, truth)


def test_counts_by_name_say_what_each_class_is_taken_for():
    # In truth: two cars, one taken for a truck; a truck; a road labelled 0; a point without truth.
    counts = matrix_of([1, 4, 4, 0, 1], [1, 1, 4, 9, 0]).counts_by_name()

    assert {name: labels for name, labels in counts.items() if labels} == {
        "car": {"car": 1, "truck": 1},
        "truck": {"truck": 1},
        "road": {"unlabeled": 1},
    }
    assert list(counts) == list(SEMANTICKITTI.names[1:])
