"""Objects of simulated drives, moving ones among them, cut out and put onto later scans."""

import numpy as np
import pytest

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")
from bare_streets import bare_streets
from scipy.spatial import cKDTree

from pvd_core.taxonomy import SEMANTICKITTI
from training.data.instances.cut import cut_scan
from training.data.instances.fusion import fused
from training.data.instances.width import widest_of_classes
from training.simulate import simulate_sequence

HARD = (2, 3, 4, 5, 6, 7, 8)
WIDEST_C = widest_of_classes(SEMANTICKITTI)
RAW_MOVING = 252
LEAST_POINTS = 80


@pytest.fixture(scope="module")
def frames():
    """(points, class ids, instance ids, whether each point moves) of consecutive scans."""
    found = []
    with bare_streets():
        scans = list(simulate_sequence(13, 5))
    for frame in scans:
        class_ids = SEMANTICKITTI.class_ids_from_raw(frame.labels)
        found.append((frame.points, class_ids, frame.labels >> 16, (frame.labels & 0xFFFF) >= RAW_MOVING))
    return found


def test_past_scans_of_moving_objects_land_on_the_present_one(frames):
    *past, (points, class_ids, instances, is_moving) = frames
    cuts = [cut_scan(*frame[:3], HARD, WIDEST_C) for frame in reversed(past)]
    appended = fused(points, class_ids, instances, cuts, WIDEST_C)
    judged = []
    for class_id, instance in appended.objects():
        own = (class_ids == class_id) & (instances == instance)
        of_past = appended.points[(appended.class_ids == class_id) & (appended.instances == instance), :3]
        seen = [np.sum((cut.class_ids == class_id) & (cut.instances == instance)) for cut in cuts]
        assert len(of_past) == sum(seen)
        assert np.linalg.norm(of_past.mean(axis=0) - points[own, :3].mean(axis=0)) < 0.01
        if own.sum() > LEAST_POINTS:
            # The object's surface, and not only its middle, is where it is now.
            distances, _ = cKDTree(points[own, :3]).query(of_past)
            assert np.median(distances) < 0.25
            judged.append((SEMANTICKITTI.names[class_id], bool(is_moving[own].any())))
    assert {name for name, moves in judged if moves} >= {"truck", "other-vehicle", "person", "motorcyclist"}
    assert set(np.unique(appended.class_ids)) <= set(HARD)
    assert appended.instances.min() > 0


def test_without_the_shift_a_moving_object_would_be_smeared(frames):
    """So the test above would see a wrong shift."""
    points, class_ids, instances, _ = frames[-1]
    cut = cut_scan(*frames[0][:3], HARD, WIDEST_C)
    moved = [
        np.linalg.norm(
            cut.points[cut.instances == instance, :3].mean(axis=0)
            - points[(class_ids == class_id) & (instances == instance), :3].mean(axis=0)
        )
        for class_id, instance in cut.objects()
        if ((class_ids == class_id) & (instances == instance)).any()
    ]
    assert np.median(moved) > 0.5
