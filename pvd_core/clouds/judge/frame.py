"""Remarks on how a cloud's frame stands to the ground, with the mounting that would bring it to the network's."""

from collections.abc import Iterator

import numpy as np

from pvd_core.clouds.judge.ground import Ground, find_ground
from pvd_core.clouds.judge.remark import Remark
from pvd_core.clouds.mounting import NETWORK_HEIGHT_M, Mounting

# Of remarks that another mounting may mend.
MOUNTING_KINDS = ("axes", "tilt", "height", "origin")

# Level roads of KITTI, nuScenes and PandaSet are seen up to 3.1 degrees tilted and 1.6 to 1.9 m below, and training
# varies both by 2.8 degrees and 0.3 m. Of 67 points in 100 that the Cylinder3D that ships labels right, it loses 5 at 6
# degrees and 12 at 10; with the ground 0.3 m too near 6, 0.5 m 15; with the ground 0.8 m too far none.
_MOST_TILT_DEG, _TOO_NEAR_M, _TOO_FAR_M = 6.0, 0.5, 1.0
# No street is that steep: an axis is another one.
_OTHER_AXIS_DEG = 45.0
# The height of a frame that is not level to begin with; walls are found farther away.
_MOST_HEIGHT_M = 3.0
_CERTAIN_SHARE = 0.5
# The ground within a cone of 31 degrees below the origin: no point of it is in any real scan, and 20 to 1700 points are
# where the origin is 5 to 20 m before or behind the sensor. An Ouster OS0 that looks down by 10 degrees sees past it.
_CONE, _THICKNESS_M, _MANY_BELOW = 0.6, 0.15, 10
# Another unit leaves a sensor above the ground, at another height.
_ABOVE_GROUND_M = 0.3


def remarks_on_frame(all_measured: np.ndarray, measured: np.ndarray, mounting: Mounting) -> Iterator[Remark]:
    """`all_measured` and `measured`: all measured points of a cloud and some of them, float32 (P, 4), in the sensor's
    frame, for which `mounting` is set."""
    ground = find_ground(mounting.apply(measured)[:, :3])
    if ground is None:
        return
    off_deg = _degrees_between(ground.up, np.array([0, 0, 1.0]))
    up = mounting.rotation().T @ ground.up
    height = ground.height + float(ground.up[2]) * (mounting.height - NETWORK_HEIGHT_M)
    if off_deg > _OTHER_AXIS_DEG:
        if 0 < ground.height < _MOST_HEIGHT_M:
            yield _wrong_axes(ground, up, height)
        return
    is_certain = ground.share >= _CERTAIN_SHARE
    if off_deg > _MOST_TILT_DEG:
        yield Remark(
            "tilt",
            f"the ground around the sensor is tilted by {off_deg:.0f} degrees{_as_mounted(mounting)}",
            "level the clouds where they are made",
            _turns(up),
            is_certain,
        )
    if ground.height < NETWORK_HEIGHT_M - _TOO_NEAR_M or ground.height > NETWORK_HEIGHT_M + _TOO_FAR_M:
        yield Remark(
            "height",
            f"the ground is {_beside_the_origin(height)} the cloud's origin, expected {mounting.height:g} m",
            f"shift z so that the ground is at {-NETWORK_HEIGHT_M}, where networks know it",
            {"mounting_height": f"{height:.2f}"},
            is_certain,
        )
    if _is_seen_below(mounting.apply(all_measured), ground):
        yield Remark(
            "origin",
            "the ground right below the origin is seen, where the sensor's own vehicle is expected",
            "give clouds in the sensor's frame, as its driver sends them",
            is_certain=False,
        )


def _is_seen_below(points: np.ndarray, ground: Ground) -> bool:
    """Whether many of `points`, float32 (P, 4), lie on the ground within a cone below the origin."""
    width = _CONE * min(ground.height, _MOST_HEIGHT_M)
    if width <= 0:
        return False
    x, y, z = (points[:, axis] + np.float32(ground.up[axis] * ground.height) for axis in range(3))
    near = x * x + y * y + z * z < width**2  # of the foot of the origin on the ground
    above = np.stack([x[near], y[near], z[near]], axis=1) @ ground.up
    return bool(np.count_nonzero(np.abs(above) < _THICKNESS_M) >= _MANY_BELOW)


def _wrong_axes(ground: Ground, up: np.ndarray, height: float) -> Remark:
    axis = int(np.argmax(np.abs(up)))
    # Axes are exchanged by whole quarter turns; the little that is missing is the slope of the street.
    upright = np.sign(up) * (np.abs(up) > np.cos(np.radians(_MOST_TILT_DEG))) + 0.0  # 0 for -0
    return Remark(
        "axes",
        f"the ground lies towards {'+' if up[axis] < 0 else '-'}{'xyz'[axis]}, expected towards -z",
        "turn the axes where the clouds are made: x forward, y left, z up",
        {"mounting_height": f"{height:.2f}", **_turns(upright if upright.any() else up)},
        is_certain=False,  # which of the turns is meant
        spoils_labels=ground.share >= _CERTAIN_SHARE,
    )


def _turns(up: np.ndarray) -> dict[str, str]:
    """The roll and pitch that turn `up`, in the cloud's frame, to z."""
    roll, pitch = np.degrees((np.arctan2(up[1], up[2]), -np.arcsin(np.clip(up[0], -1, 1)))).tolist()
    return {"mounting_roll": f"{round(roll, 1) + 0.0}", "mounting_pitch": f"{round(pitch, 1) + 0.0}"}


def _beside_the_origin(height: float) -> str:
    unit = "m (if x, y and z are metres)" if height > _ABOVE_GROUND_M else "m"
    return f"{height:.2f} {unit} below" if height >= 0 else f"{-height:.2f} m above (not below)"


def _as_mounted(mounting: Mounting) -> str:
    return "" if mounting.is_usual else " as the mounting is set"


def _degrees_between(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))
