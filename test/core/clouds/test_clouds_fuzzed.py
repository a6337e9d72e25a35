"""Whatever a cloud holds: no traceback, and no label on a point that is no measurement."""

import math
import warnings

import numpy as np
import pytest
from ros_clouds import rosbags_cloud, slow_column
from ros_weights import tiny_weights

from pvd_core.clouds.judge import options
from pvd_core.clouds.measured import is_measured
from pvd_core.clouds.mounting import Mounting
from pvd_core.clouds.stream import CloudStream
from pvd_core.segmenter import Segmenter
from pvd_ros.bags.types import rosbags_cloud_types
from pvd_ros.labeller import CloudLabeller

ODD = (
    0.0,
    -0.0,
    np.nan,
    np.inf,
    -np.inf,
    3.4e38,
    -3.4e38,
    1e-45,
    -1e-39,
    9999.999,
    10_000.0,
    -1e4,
    1e6,
    255.0,
    65535.0,
)
SPREADS = (1e-40, 1e-6, 0.3, 1.0, 8.0, 60.0, 5e3, 1e7, 1e38)


def random_cloud(generator):
    """float32 (N, 4) of any kind: usual, constant, whole numbers, repeated, flat, displaced, strewn with odd values."""
    count = int(generator.choice((0, 1, 2, 3, 50, 300, 1700)))
    with np.errstate(over="ignore"):
        points = (generator.normal(size=(count, 4)) * generator.choice(SPREADS, size=4)).astype(np.float32)
        points[:, 3] = generator.random(count) * generator.choice((0, 1, 255, 4000, 65535, 1e30))
        if generator.random() < 0.3:
            points = np.rint(points)
        if generator.random() < 0.2:
            points[:, generator.integers(4)] = generator.choice(ODD)
        if generator.random() < 0.2 and count:
            points = points[generator.integers(count, size=count)]
        if generator.random() < 0.2:
            points[:, :3] += (generator.normal(size=3) * generator.choice(SPREADS)).astype(np.float32)
    if generator.random() < 0.5:
        is_odd = generator.random(points.shape) < generator.choice((0.01, 0.3, 1.0))
        points[is_odd] = generator.choice(ODD, size=int(is_odd.sum()))
    return points.astype(np.float32)


def random_mounting(generator):
    if generator.random() < 0.3:
        return Mounting()
    return Mounting(
        *(float(limit * value) for limit, value in zip((100, 360, 360, 360), generator.uniform(-1, 1, 4), strict=True))
    )


def random_scale(generator):
    return generator.choice(["auto", "0", "1", "0.0039", "1e6"]).item()


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory):
    """The same network without programs and with them."""
    weights = tiny_weights(tmp_path_factory.mktemp("weights"))
    return [Segmenter.from_weights(weights, device="cpu", programs=programs) for programs in ("off", "eager")]


def check_stream(seed):
    """The prepared points and the mounting of a random cloud, which went through decision and judge."""
    generator = np.random.default_rng(seed)
    points, mounting = random_cloud(generator), random_mounting(generator)
    stream = CloudStream(random_scale(generator), mounting, options("intensity_scale"))
    before = points.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an overflow or a mean of nothing is a case that nobody thought of
        stream.decide(points)
        said = stream.look_at(points)
        prepared = stream.prepared(points)
    np.testing.assert_array_equal(points, before)
    assert prepared.shape == points.shape
    assert prepared.dtype == np.float32
    assert math.isfinite(stream.factor)
    assert stream.factor >= 0
    assert len(said) == len(set(said))
    assert all(": " in sentence and sentence.isascii() for sentence in said)
    assert not (is_measured(prepared) & ~is_measured(points)).any()
    return points, prepared


def test_some_random_clouds_are_judged_and_prepared_without_a_warning():
    for seed in range(300):
        check_stream(seed)


@pytest.mark.slow
def test_thousands_of_random_clouds_are_judged_prepared_and_labelled(segmenters):
    for seed in range(300, 8500):
        points, prepared = check_stream(seed)
        result = segmenters[0].segment(prepared)
        assert len(result.labels) == len(points), seed
        is_labelled = result.labels > 0
        np.testing.assert_array_equal(is_labelled, is_measured(prepared), err_msg=str(seed))
        assert not (is_labelled & ~is_measured(points)).any(), seed
        assert np.isfinite(result.confidence).all(), seed
        assert not result.confidence[~is_labelled].any(), seed


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_thousands_of_random_messages_are_labelled(segmenters, number):
    letters = {"f4": 7, "f8": 8, "u1": 2, "u2": 4, "i4": 5}
    for seed in range(1500 if number == 0 else 300):
        generator = np.random.default_rng(seed)
        points, kind = random_cloud(generator), generator.choice(list(letters)).item()
        records = np.zeros(len(points), [("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", kind)])
        with np.errstate(invalid="ignore", over="ignore"):
            for column, name in enumerate(records.dtype.names):
                records[name] = points[:, column]
        fields = [(name, records.dtype.fields[name][1], 7, 1) for name in "xyz"]
        if generator.random() < 0.8:
            fields.append(("intensity", 12, letters[kind], 1))
        step = records.dtype.itemsize
        sizes = {"width": len(points), "point_step": step, "row_step": step * len(points)}
        message = rosbags_cloud(fields=fields, data=records.tobytes(), height=1, **sizes)
        stream = CloudStream(random_scale(generator), random_mounting(generator))
        labeller = CloudLabeller(segmenters[number], rosbags_cloud_types(), stream)
        labelled = labeller.label(message)
        labeller.remarks_on(labelled)
        found = np.array(slow_column(labelled.message, "label"))
        assert not (found[~is_measured(points)] > 0).any(), seed
        if stream.mounting.is_usual:
            assert (found[is_measured(points)] > 0).all(), seed
        for column, name in enumerate("xyz"):
            np.testing.assert_array_equal(slow_column(labelled.message, name), points[:, column], err_msg=str(seed))
