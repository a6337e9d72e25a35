"""The shipped RViz view shows what it is for: the legend lies inside it, and no class has its background's colour."""

import numpy as np
import pytest
import yaml

from pvd_core.taxonomy import SEMANTICKITTI, TAXONOMIES

pytest.importorskip("visualization_msgs", reason="needs the messages of ROS 2")

from pvd_ros.node.legend import legend_markers

# Of RViz: the vertical angle of its camera. The least width of a window whose panels are open.
VIEW_ANGLE_DEG, LEAST_ASPECT = 45.0, 1.2
# Letters are narrower than they are high.
LETTER_WIDTH = 0.6


@pytest.fixture(scope="module")
def manager(project_root):
    return yaml.safe_load((project_root / "config/pvd.rviz").read_text())["Visualization Manager"]


def camera_of(manager):
    """Position and (right, up, forward) of the orbit camera, in metres in the sensor's frame."""
    view = manager["Views"]["Current"]
    yaw, pitch = view["Yaw"], view["Pitch"]
    back = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    focus = np.array([view["Focal Point"][axis] for axis in "XYZ"])
    right = np.cross(-back, [0, 0, 1])
    right /= np.linalg.norm(right)
    return focus + view["Distance"] * back, np.stack([right, np.cross(right, -back), -back])


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=lambda taxonomy: taxonomy.name)
def test_every_line_of_the_legend_lies_inside_the_view(manager, taxonomy):
    position, axes = camera_of(manager)
    half_height = np.tan(np.radians(VIEW_ANGLE_DEG / 2))
    markers = legend_markers("velodyne", taxonomy).markers
    assert [marker.text for marker in markers] == [f"{i} {name}" for i, name in enumerate(taxonomy.names) if i]
    for marker in markers:
        place = marker.pose.position
        right, up, ahead = axes @ (np.array([place.x, place.y, place.z]) - position)
        half_width_m = LETTER_WIDTH * marker.scale.z * len(marker.text) / 2
        assert (abs(right) + half_width_m) / ahead < LEAST_ASPECT * half_height, marker.text
        assert (abs(up) + marker.scale.z) / ahead < half_height, marker.text


def lightness_and_colour(rgb):
    """CIELAB of sRGB 0..255: distances in it are those that people see."""
    linear = np.asarray(rgb, float) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("class_id", range(1, len(SEMANTICKITTI.names)))
def test_every_class_stands_out_from_the_background(manager, class_id):
    background = [int(channel) for channel in manager["Global Options"]["Background Color"].split(";")]
    assert np.linalg.norm(lightness_and_colour(SEMANTICKITTI.colours[class_id]) - lightness_and_colour(background)) > 50


def test_the_sidewalk_is_far_from_the_background_in_lightness(manager):
    background = [int(channel) for channel in manager["Global Options"]["Background Color"].split(";")]
    sidewalk = SEMANTICKITTI.colours[SEMANTICKITTI.names.index("sidewalk")]
    assert abs(lightness_and_colour(sidewalk)[0] - lightness_and_colour(background)[0]) > 20
