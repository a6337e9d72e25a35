"""Points that are not to be labelled: by range, and in a box of another frame, point by point."""

import numpy as np
import pytest

from pvd_core.borders.errors import UserError
from pvd_core.clouds.crop import Crop

BOX = (-1.0, -2.0, -0.5, 3.0, 2.0, 1.5)


def points_around(count=2000):
    return np.random.default_rng(3).uniform(-6, 6, (count, 4)).astype(np.float32)


def pose(yaw, pitch, position):
    c, s = np.cos(yaw), np.sin(yaw)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    c, s = np.cos(pitch), np.sin(pitch)
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    matrix[:3, 3] = position
    return matrix


@pytest.mark.parametrize("to_box", [None, pose(0.7, -0.3, (1.0, -0.5, 0.4)), pose(np.pi / 4, 0, (0, 0, 0))])
def test_a_point_is_in_the_box_if_it_is_after_the_transform_of_that_point(to_box):
    points, matrix = points_around(), np.eye(4) if to_box is None else to_box
    cropped = Crop(box=BOX).is_cropped(points, to_box)
    for point, is_cropped in zip(points, cropped, strict=True):
        x, y, z, _ = matrix @ [*point[:3].astype(float), 1.0]
        assert is_cropped == (-1 <= x <= 3 and -2 <= y <= 2 and -0.5 <= z <= 1.5)
    assert 0 < cropped.sum() < len(points)


def test_a_turned_box_is_not_the_box_of_two_turned_corners():
    """A corner of the vehicle under a yaw of 45 degrees lies outside every box that is made of the two far corners."""
    corner = np.float32([[2.9, 1.9, 0.0, 0.0]])
    turned = pose(np.pi / 4, 0, (0, 0, 0))
    in_cloud = (np.linalg.inv(turned) @ [*corner[0, :3], 1.0])[:3]
    assert Crop(box=BOX).is_cropped(np.float32([[*in_cloud, 0]]), turned).all()


def test_ranges_are_cropped_on_both_sides():
    points = np.float32([[x, 0, 0, 1] for x in (0.5, 1.0, 5.0, 9.9, 10.1)])
    assert Crop(min_range=1.0, max_range=10.0).is_cropped(points).tolist() == [True, False, False, False, True]
    assert Crop(max_range=10.0).is_cropped(points).tolist() == [False] * 4 + [True]


def test_no_limit_crops_nothing_and_points_that_are_none_stay():
    odd = np.float32([[np.nan, 0, 0, 0], [np.inf, 0, 0, 0], [1e30, 0, 0, 0]])
    assert Crop().is_nothing
    assert not Crop().is_cropped(points_around()).any()
    assert not Crop(box=BOX).is_nothing
    assert not Crop(box=BOX, min_range=1.0).is_cropped(odd).any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"min_range": 5.0, "max_range": 2.0}, "min_range is 5 and max_range 2: no point would be left"),
        ({"box": (0.0,) * 5}, "a box of 5 numbers: expected 6"),
        ({"box": (1.0, 0, 0, -1.0, 0, 0)}, "the box begins at x = 1 and ends at -1"),
        ({"box": (0, 0, float("nan"), 0, 0, 0)}, "crop has nan"),
        ({"max_range": float("inf")}, "crop has inf"),
    ],
)
def test_a_crop_that_is_none_is_refused(settings, words):
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        Crop(**settings)
