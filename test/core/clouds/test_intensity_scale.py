"""The factor of intensity is found where it is certain, once a stream, and nothing is changed where it is not."""

import numpy as np
import pytest

from pvd_core.borders.errors import UserError
from pvd_core.clouds.example import spinning_scan
from pvd_core.clouds.intensity import USUAL_95TH, IntensityScale, brightest, certain_factor
from pvd_core.clouds.judge import options
from pvd_core.clouds.mounting import Mounting
from pvd_core.clouds.stream import CloudStream, MountedStreams

RANDOM = np.random.default_rng(4)
UNIT = RANDOM.beta(2, 4, 3000).astype(np.float32)  # spread over 0..1 as a sensor's


def cloud(intensity):
    points = RANDOM.uniform(-20, 20, (len(intensity), 4)).astype(np.float32)
    points[:, 3] = intensity
    return points


@pytest.mark.parametrize("intensity", [UNIT, np.append(UNIT, 1.4), UNIT * 0.5, np.append(UNIT, np.nan)])
def test_intensities_in_the_usual_range_stay_as_they_are(intensity):
    assert certain_factor(intensity.astype(np.float32)) == 1


@pytest.mark.parametrize(
    ("largest", "are_whole"),
    [
        *((largest, False) for largest in (0.2, 0.0115, 1.9, 90, 255, 1000, 3267, 65535)),
        *((largest, True) for largest in (90, 255, 1000, 3267, 65535)),
    ],
)
def test_others_are_brought_to_the_level_that_networks_know(largest, are_whole):
    values = (UNIT / UNIT.max() * largest).astype(np.float32)
    values = np.rint(values) if are_whole else values
    scaled = values * certain_factor(values)
    assert np.percentile(scaled, 95) == pytest.approx(0.4, rel=0.01)
    if largest > 2:  # A few mirrors that return twenty times as much change nothing.
        values[:20] = min(largest * 20, 65535)
        assert np.percentile(values * certain_factor(values), 95) == pytest.approx(0.4, rel=0.05)


@pytest.mark.parametrize(
    "intensity",
    [
        np.zeros(3000),
        np.full(3000, 37.0),
        np.full(3000, np.nan),
        np.rint(UNIT * 1e6),
        np.rint(UNIT),
        np.rint(UNIT[:50] * 255),
        np.append(np.zeros(3000), 9.0),  # the 95th percentile is 0
    ],
)
def test_a_doubtful_scale_is_left_alone(intensity):
    assert certain_factor(intensity.astype(np.float32)) is None


def test_another_mounting_keeps_the_factor_another_scale_or_field_does_not():
    streams, byte, counts = MountedStreams(options(), 0.4), cloud(np.rint(UNIT * 255)), cloud(np.rint(UNIT * 3000))
    usual, high = Mounting(), Mounting(2.5)
    first, other = streams.of(usual, "auto", ""), streams.of(high, "auto", "")
    assert (first.mounting, other.mounting) == (usual, high)
    assert "multiplied by" in other.decide(byte)
    assert first.decide(counts) == ""
    assert first.factor == other.factor != 1
    assert streams.of(usual, "auto", "") is first
    for height in range(3, 40):  # more than are kept
        assert streams.of(Mounting(height), "auto", "").factor == first.factor
    assert len(streams._streams) <= 20
    assert not streams.of(usual, "auto", "reflectivity").is_decided
    assert streams.of(usual, 0.5, "reflectivity").factor == 0.5


def test_another_mounting_repeats_only_remarks_that_depend_on_it():
    low = spinning_scan(24_000)
    low[:, 2] += 1.3  # as of a sensor 0.4 m above the ground
    low[:, 3] = 0
    streams, heights = MountedStreams(options("mounting_height"), 0.4), (1.73, 2.5, 1.73)
    said = [streams.of(Mounting(height), "auto", "").look_at(low) for height in heights]
    assert [len(sentences) for sentences in said] == [2, 1, 0]
    assert "intensity" in said[0][1]
    assert all("--mounting-height 0.4" in sentences[0] for sentences in said[:2])


def test_the_first_certain_cloud_decides_for_the_whole_stream():
    stream = CloudStream()
    dark, byte, counts = cloud(0 * UNIT), cloud(np.rint(UNIT * 255)), cloud(np.rint(UNIT * 3000))
    factor = certain_factor(byte[:, 3])
    assert stream.decide(dark) == ""
    np.testing.assert_array_equal(stream.prepared(dark), dark)
    assert f"multiplied by {factor:.6g}" in stream.decide(byte)
    np.testing.assert_allclose(stream.prepared(byte)[:, 3], byte[:, 3] * factor, rtol=1e-6)
    assert stream.decide(byte) == stream.decide(counts) == ""
    expected = np.minimum(counts[:, 3] * factor, brightest(USUAL_95TH))
    np.testing.assert_allclose(stream.prepared(counts)[:, 3], expected, rtol=1e-6)
    assert any("intensity reaches" in sentence for sentence in stream.look_at(counts))


@pytest.mark.parametrize(
    ("intensity", "factor"),
    [
        (UNIT * 30 - 30, 0),  # decibels
        (np.rint(UNIT * 255) - 60, 0),
        (np.where(UNIT < 0.2, -1, np.rint(UNIT * 255)), certain_factor(np.rint(UNIT * 255))),  # -1 for none
        (np.where(np.arange(3000) < 20, -1, UNIT), 1),
        (np.full(3000, 7.0) + (np.arange(3000) < 300), None),
    ],
)
def test_what_cannot_be_intensity_is_left_out(intensity, factor):
    assert certain_factor(intensity.astype(np.float32)) == factor
    stream, points = CloudStream(), cloud(intensity.astype(np.float32))
    assert ("as without intensity" in stream.decide(points)) == (factor == 0)
    assert stream.prepared(points)[:, 3].any() == (factor != 0)
    assert any("as low as" in text for text in CloudStream(1.0).look_at(points)) == (factor == 0)


def test_clouds_of_several_scales_get_no_factor_that_spoils_the_others():
    stream = CloudStream(wording=options("intensity_scale"))
    usual, byte = cloud(UNIT), cloud(np.rint(UNIT * 255))
    stream.decide(usual)
    (sentence,) = (text for text in stream.look_at(byte) if "intensity" in text)
    assert f"reaches {byte[:, 3].max():g}," in sentence, "the figures are those of the file"
    assert "on their own" in sentence
    assert "set --intensity-scale" not in sentence
    stream = CloudStream(wording=options("intensity_scale"))
    stream.decide(byte)
    (sentence,) = (text for text in stream.look_at(usual) if "intensity" in text)
    assert f"reaches {usual[:, 3].max():.6g} (" in sentence
    assert f"when multiplied by {stream.factor:.4g})" in sentence


def test_no_factor_is_advised_that_is_applied_already():
    mirrors = np.where(np.arange(3000) % 50, UNIT, 30).astype(np.float32)
    told = certain_factor(mirrors)
    for scale in (told, "auto"):
        stream = CloudStream(scale, wording=options("intensity_scale"))
        stream.decide(cloud(mirrors))
        assert not [text for text in stream.look_at(cloud(mirrors)) if "intensity" in text]


@pytest.mark.parametrize("level", [0.1, 60])
def test_a_network_that_learned_from_other_intensities_gets_those(level):
    learned, kitti = UNIT * np.float32(level / 0.4), UNIT
    assert certain_factor(learned, np.percentile(learned, 95)) == 1
    stream = CloudStream(usual_95th=level)
    assert "multiplied by" in stream.decide(cloud(kitti))
    assert np.percentile(stream.prepared(cloud(kitti))[:, 3], 95) == pytest.approx(level, rel=0.05)
    assert not [sentence for sentence in stream.look_at(cloud(kitti)) if "intensity" in sentence]


def test_clouds_in_the_usual_range_are_the_same_bits_as_without():
    stream, points = CloudStream(), cloud(UNIT)
    assert stream.decide(points) == ""
    assert stream.is_decided
    assert stream.prepared(points) is points


def test_a_doubtful_scale_is_remarked_on_with_a_guess():
    stream = CloudStream(wording=options("intensity_scale"))
    doubtful = cloud(np.rint(UNIT * 1e6))
    stream.decide(doubtful)
    said = stream.look_at(doubtful)
    assert any("perhaps set --intensity-scale 6" in sentence for sentence in said), said
    assert stream.factor == 1


@pytest.mark.parametrize("setting", ["automatic", "", "nan", -1, "-0.5", 2e6, True])
def test_a_setting_that_is_neither_auto_nor_a_factor_is_refused(setting):
    with pytest.raises(UserError, match="expected auto or a number from 0 to 1e"):
        IntensityScale(setting)


@pytest.mark.parametrize("setting", [0.5, "0.5", 1])
def test_a_number_is_taken_as_it_is(setting):
    scale = IntensityScale(setting)
    assert scale.look_at(np.rint(UNIT * 255)) is False
    assert scale.factor == float(setting)


@pytest.mark.parametrize("value", [1e4, 1e30, -3e38])
def test_intensities_far_beyond_the_usual_are_taken_for_the_brightest_and_others_stay(value):
    points = cloud(UNIT)
    points[7, 3] = value
    points[8, 3] = np.nan
    points[9, 3] = np.inf
    prepared = CloudStream(1.0, usual_95th=0.5).prepared(points)

    assert prepared[7, 3] == np.sign(value) * 5
    assert points[7, 3] == np.float32(value)  # the caller's stay
    assert np.array_equal(np.delete(prepared, 7, 0), np.delete(points, 7, 0), equal_nan=True)


def test_what_is_the_brightest_is_counted_after_scaling():
    points = cloud(np.rint(UNIT * 255))
    points[7, 3] = 60_000
    stream = CloudStream("0.004", usual_95th=0.5)
    assert stream.prepared(points)[7, 3] == 5
    assert np.array_equal(stream.prepared(points)[8:, 3], points[8:, 3] * np.float32(0.004))


@pytest.mark.parametrize("value", [1e6, 3e38])
def test_a_few_numbers_that_are_no_intensities_do_not_hide_the_scale_of_the_others(value):
    for unit, factor in ((UNIT, 1.0), (np.rint(UNIT * 255), certain_factor(np.rint(UNIT * 255)))):
        spoilt = unit.copy()
        spoilt[:: len(unit) // 10] = value
        assert certain_factor(spoilt) == pytest.approx(factor, rel=0.02)
