"""What two networks say of the same scans, counted."""

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan

from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from training.adapt.comparison import Comparison, opinion_of


def network(seed):
    torch.manual_seed(seed)
    return build_model(TINY_MODEL).eval()


@pytest.fixture(scope="module")
def scan():
    points, raw = random_scan(np.random.default_rng(0))
    points[::50] = 0  # no return
    return points, SEMANTICKITTI.class_ids_from_raw(raw)


def compared(before, after, scan, truth=None):
    comparison = Comparison(network(before), network(after), {}, torch.device("cpu"))
    return comparison.add(scan[0], truth), comparison.report()


def test_an_opinion_has_the_labels_and_the_confidence_of_the_segmenter(scan):
    segmenter = Segmenter(network(0))
    expected, found = segmenter.segment(scan[0]), opinion_of(segmenter, scan[0])
    assert np.array_equal(found.labels, expected.labels)
    assert found.confidence == pytest.approx(expected.confidence.sum(), rel=1e-4)
    assert 0 < found.entropy < np.count_nonzero(found.labels)


def test_equal_networks_agree_everywhere(scan):
    _, report = compared(0, 0, scan)
    assert report["agreement"] == 1
    assert report["changed"] == []
    assert report["points"] == 1960
    assert report["entropy"]["before"] == report["entropy"]["after"]
    assert report["truth"] is None


def test_classes_count_what_each_network_found_and_both(scan):
    (before, after), report = compared(0, 1, scan)
    is_measured = before > 0
    assert report["agreement"] == pytest.approx(np.mean(before[is_measured] == after[is_measured]))
    for name, each in report["classes"].items():
        class_id = SEMANTICKITTI.id_of(name)
        is_before, is_after = before == class_id, after == class_id
        found = {"before": is_before.sum(), "after": is_after.sum(), "kept": (is_before & is_after).sum()}
        assert each == found
    pairs = {name: sorted((each["before"], each["after"])) for name, each in report["classes"].items()}
    assert report["changed"] == [name for name, (less, more) in pairs.items() if more > 2 * less and more > 1.96]
    assert report["changed"]


def test_the_truth_tells_which_network_is_worse(scan):
    points, truth = scan
    own = np.where(points.any(axis=1), Segmenter(network(0)).segment(points).labels, truth)
    _, report = compared(0, 1, scan, own)
    assert report["truth"]["is_worse"]
    assert report["truth"]["before"]["accuracy"] == 1
    _, report = compared(1, 0, scan, own)
    assert not report["truth"]["is_worse"]
