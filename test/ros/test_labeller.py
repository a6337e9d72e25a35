"""Clouds labelled from the bytes of their messages, by programs, are those labelled from decoded points."""

import numpy as np
import pytest
from ros_clouds import rosbags_cloud, slow_column, xyzi_cloud
from ros_processes import wait_until
from ros_weights import tiny_weights
from wide_scans import fine_weights, wide_points

from pvd_core.clouds.mounting import Mounting
from pvd_core.clouds.stream import CloudStream
from pvd_core.segmenter import Segmenter
from pvd_ros.bags.types import rosbags_cloud_types
from pvd_ros.codec import MalformedCloudError
from pvd_ros.labeller import CloudLabeller
from pvd_ros.node.worker import LabellingWorker
from pvd_ros.report.counters import CloudCounters
from pvd_ros.report.latency import STAGES, LatencyWindow

UINT8, UINT16, FLOAT32, FLOAT64 = 2, 4, 7, 8
FORMATS = {UINT8: "u1", UINT16: "u2", FLOAT32: "f4", FLOAT64: "f8"}


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory):
    """The same network without programs and with them, run eagerly."""
    weights = tiny_weights(tmp_path_factory.mktemp("weights"))
    return [Segmenter.from_weights(weights, device="cpu", programs=programs) for programs in ("off", "eager")]


def scattered(count=600):
    """Points with all that is no measurement among them."""
    points = np.random.default_rng(1).uniform((-20, -20, -2, 0), (20, 20, 2, 200), (count, 4))
    points[::17, 0] = np.nan
    points[5, :3] = 0
    points[7, 1] = 1e30  # its square is beyond float32
    return points


def cloud_of(points, kinds, point_step, height=1, gap=0, is_bigendian=False):
    """`points` in `height` rows with `gap` bytes behind each; `kinds`: {field name: datatype}, in descending offset."""
    order, offset, fields = ">" if is_bigendian else "<", point_step, []
    rows = np.zeros((height, len(points) // height * point_step + gap), np.uint8)
    bytes_of_points = rows[:, : rows.shape[1] - gap].reshape(len(points), point_step)
    for column, (name, kind) in enumerate(kinds.items()):
        values = np.ascontiguousarray(points[:, column]).astype(order + FORMATS[kind])
        offset -= values.itemsize
        bytes_of_points[:, offset : offset + values.itemsize] = values.view(np.uint8).reshape(len(points), -1)
        fields.append((name, offset, kind, 1))
    rows[:, : rows.shape[1] - gap] = bytes_of_points.reshape(height, -1)
    sizes = {"height": height, "width": len(points) // height, "point_step": point_step, "row_step": rows.shape[1]}
    return rosbags_cloud(fields=fields, data=rows.tobytes(), is_bigendian=is_bigendian, stamp_ns=7, **sizes)


XYZ = {"x": FLOAT32, "y": FLOAT32, "z": FLOAT32}
CLOUDS = {
    "plain": xyzi_cloud(scattered().astype(np.float32)),
    "big-endian rows with gaps": cloud_of(scattered(), XYZ | {"i": UINT16}, 19, height=3, gap=7, is_bigendian=True),
    "float64": cloud_of(scattered(), dict.fromkeys(("x", "y", "z", "intensity"), FLOAT64), 40),
    "small integers": cloud_of(scattered(), XYZ | {"reflectivity": UINT8}, 13),
    "no intensity": cloud_of(scattered(), XYZ, 12),
    "wide points": cloud_of(scattered(60), XYZ | {"intensity": FLOAT32}, 4000),
    "nothing measured": xyzi_cloud(np.full((4, 4), np.nan, np.float32)),
    "empty": rosbags_cloud(fields=(), height=0, width=0, point_step=0),
}
MALFORMED = [
    rosbags_cloud(fields=[("x", 0, FLOAT32, 1)], data=bytes(32)),
    rosbags_cloud(data=bytes(32), row_step=0, width=2),
    rosbags_cloud(data=bytes(16), height=2, width=1),
]


@pytest.mark.parametrize("name", CLOUDS)
def test_programs_give_the_cloud_that_decoded_points_give(segmenters, name):
    message = CLOUDS[name]
    expected, found = (
        CloudLabeller(segmenter, rosbags_cloud_types(), CloudStream(intensity_scale=1 / 255)).label(message)
        for segmenter in segmenters
    )

    assert found.message.header == expected.message.header
    for fact in ("height", "width", "point_step", "row_step", "is_dense", "fields"):
        assert getattr(found.message, fact) == getattr(expected.message, fact)
    for column in ("x", "y", "z", "intensity", "rgb", "label"):
        np.testing.assert_array_equal(slow_column(found.message, column), slow_column(expected.message, column))
    np.testing.assert_allclose(*(slow_column(m, "confidence") for m in (found.message, expected.message)), atol=1e-5)


@pytest.mark.parametrize("name", CLOUDS)
def test_with_a_mounting_and_an_automatic_scale_labels_are_those_of_the_prepared_points(segmenters, name):
    mounting = Mounting(0.7, roll=3, pitch=-8, yaw=100)
    for segmenter in segmenters:
        stream = CloudStream(mounting=mounting)
        labelled = CloudLabeller(segmenter, rosbags_cloud_types(), stream).label(CLOUDS[name])
        points = (
            np.stack([np.array(slow_column(CLOUDS[name], column), np.float32) for column in "xyz"], 1)
            if len(CLOUDS[name].data)
            else np.zeros((0, 3), np.float32)
        )
        scaled = np.c_[points, labelled.cloud.points[:, 3]]
        expected = segmenters[0].segment(mounting.apply(scaled)).labels
        assert np.count_nonzero(np.array(slow_column(labelled.message, "label")) != expected) <= 0.01 * len(expected)
        np.testing.assert_array_equal(labelled.cloud.points[:, :3], points)


def test_a_cloud_is_judged_by_its_own_stream_also_when_one_of_another_mounting_has_come_since(segmenters):
    labeller = CloudLabeller(segmenters[0], rosbags_cloud_types(), own := CloudStream())
    labelled = labeller.label(CLOUDS["plain"])
    labeller.stream = CloudStream(mounting=Mounting(pitch=40))
    labeller.remarks_on(labelled)
    assert (len(own._watched), len(labeller.stream._watched)) == (1, 0)


def test_the_stage_of_a_program_stands_for_three(segmenters):
    plain, program = (CloudLabeller(s, rosbags_cloud_types()).label(CLOUDS["plain"]).timings_ms for s in segmenters)

    assert list(plain) == ["decode", "voxelise", "network", "to_points", "encode", "total"]
    assert list(program) == ["decode", "program", "encode", "total"]
    assert set(program) <= STAGES.keys()
    for timings_ms in (plain, program):
        assert all(spent_ms >= 0 for spent_ms in timings_ms.values())
        assert sum(timings_ms.values()) == pytest.approx(2 * timings_ms["total"], rel=0.05)


def test_wide_points_share_the_program_of_plain_ones(tmp_path):
    segmenter = Segmenter.from_weights(tiny_weights(tmp_path), device="cpu", programs="eager")
    labeller = CloudLabeller(segmenter, rosbags_cloud_types())
    labeller.label(CLOUDS["plain"])

    labeller.label(CLOUDS["wide points"])

    assert segmenter.counters["programs"] == 1
    assert segmenter.counters["declined"] == 0


@pytest.mark.parametrize("message", MALFORMED)
def test_a_malformed_cloud_is_refused_in_the_same_words(segmenters, message):
    words = []
    for segmenter in segmenters:
        with pytest.raises(MalformedCloudError) as caught:
            CloudLabeller(segmenter, rosbags_cloud_types()).label(message)
        words.append((caught.value.reason, str(caught.value)))
    assert words[0] == words[1]


@pytest.mark.parametrize("programs", ["off", "eager"])
def test_a_worker_rejects_a_cloud_too_wide_for_the_voxels_and_goes_on(programs, tmp_path):
    segmenter = Segmenter.from_weights(fine_weights(tmp_path), device="cpu", programs=programs)
    counters, labeller = CloudCounters(), CloudLabeller(segmenter, rosbags_cloud_types())
    logged = worked_off([xyzi_cloud(wide_points()), CLOUDS["plain"]], labeller, counters, LatencyWindow())
    assert dict(counters.rejected) == {"too_wide": 1}
    assert counters.labelled == 1
    assert any("cloud rejected (too_wide): the points extend over" in text for _, text in logged)


def worked_off(messages, labeller, counters, window):
    """What a worker logs of these clouds."""
    logged = []
    worker = LabellingWorker(
        labeller,
        counters,
        window,
        publish=lambda labelled: None,
        after_publish=lambda labelled, timings_ms: None,
        is_wanted=lambda: True,
        now_ns=lambda: 10**18,
        log=lambda level, text: logged.append((level, text)),
    )
    for number, message in enumerate(messages, 1):
        worker.offer(message)
        wait_until(lambda n=number: counters.labelled + sum(counters.rejected.values()) == n)
    worker.stop()
    return logged


def test_a_worker_with_programs_counts_measures_and_remarks_as_without(segmenters):
    outcomes = []
    for segmenter in segmenters:
        counters, window = CloudCounters(), LatencyWindow()
        labeller = CloudLabeller(segmenter, rosbags_cloud_types())
        logged = worked_off([*MALFORMED, CLOUDS["plain"], CLOUDS["empty"]], labeller, counters, window)
        outcomes.append((counters.as_numbers(), logged))
        stages = window.percentiles().keys()
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0]["labelled"] == 2
    assert any("intensity reaches" in text for _, text in outcomes[0][1])
    assert "program" in stages
