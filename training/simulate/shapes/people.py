"""People, facing +x: standing, walking or on a saddle, of several sizes, some with a bag or a skirt."""

from collections.abc import Mapping

import numpy as np

from training.simulate.shapes.mesh import Mesh, join
from training.simulate.shapes.primitives import Vector, box, ellipsoid, tubes

PERSON = 30


def person(random: np.random.Generator, phase: float | None = None) -> Mesh:
    """A person on foot. `phase` is the position within the stride, in radians; None: standing."""
    height = random.uniform(1.05, 1.4) if random.random() < 0.12 else random.uniform(1.55, 1.92)
    girth = random.uniform(0.85, 1.25)
    stride = 0.0 if phase is None else 0.42 * np.sin(phase)
    spread = random.uniform(0.08, 0.13)
    hip, shoulder = 0.52, 0.82
    joints = {}
    for side in (-1, 1):
        swing = stride * side
        knee = (0.26 * np.sin(swing), side * spread, 0.28)
        foot = (0.5 * np.sin(swing) - 0.05 * abs(stride), side * spread, 0.03)
        elbow = (-0.16 * np.sin(swing), side * 0.15, 0.65)
        hand = (
            -0.2 * np.sin(swing) + random.uniform(0, 0.12),
            side * random.uniform(0.1, 0.17),
            random.uniform(0.48, 0.6),
        )
        joints[side] = ((0, side * 0.05, hip), knee, foot, (0, side * 0.125, shoulder), elbow, hand)
    parts = [_limbs(joints, girth), *_trunk(girth, hip, shoulder)]
    if random.random() < 0.3:
        parts.append(box((0.1, 0.16, 0.22), (-0.13, 0, 0.72), "cloth"))
    if random.random() < 0.2:
        parts.append(ellipsoid((0.1, 0.12, 0.22), (0, 0, 0.42), "cloth"))
    if random.random() < 0.15:
        parts.append(box((0.2, 0.08, 0.16), (0.02, 0.2, 0.4), "cloth"))
    return join(parts).scaled(height, height, height).shaded(random.uniform(0.7, 1.3)).labelled(PERSON)


def rider(
    random: np.random.Generator,
    seat_height: float,
    seat_x: float,
    handle_x: float,
    handle_height: float,
    pedal_height: float,
    lean: float,
) -> Mesh:
    """A person on a saddle; heights and positions along x in metres, `lean` of the trunk forward in radians."""
    girth = random.uniform(0.9, 1.2)
    torso = random.uniform(0.52, 0.62)
    shoulder_x, shoulder_z = seat_x + torso * np.sin(lean), seat_height + torso * np.cos(lean)
    starts, ends, radii = [], [], []
    knee_height = (seat_height + pedal_height) / 2 + 0.2
    elbow_x, elbow_height = (shoulder_x + handle_x) / 2, (shoulder_z + handle_height) / 2 - 0.05
    for side in (-1, 1):
        lift = 0.12 * side
        hip, knee = (seat_x, side * 0.09, seat_height), (seat_x + 0.38, side * 0.13, knee_height + lift)
        foot = (seat_x + 0.2, side * 0.13, pedal_height + lift)
        shoulder, elbow = (shoulder_x, side * 0.18, shoulder_z), (elbow_x, side * 0.26, elbow_height)
        hand = (handle_x, side * 0.25, handle_height)
        bones = ((hip, knee, 0.08), (knee, foot, 0.055), (shoulder, elbow, 0.05), (elbow, hand, 0.042))
        for start, end, radius in bones:
            starts.append(start)
            ends.append(end)
            radii.append(radius * girth)
    body = ellipsoid((0.14 * girth, 0.2 * girth, torso * 0.56), (0, 0, torso / 2), "cloth", 6, 10)
    head = (shoulder_x + 0.06, 0, shoulder_z + 0.2)
    parts = [
        tubes(starts, ends, radii, "cloth", 6),
        body.moved(x=seat_x, z=seat_height, pitch=lean),
        ellipsoid((0.115, 0.095, 0.14), head, "skin"),
    ]
    return join(parts).shaded(random.uniform(0.7, 1.3))


def _limbs(joints: Mapping[int, tuple[Vector, ...]], girth: float) -> Mesh:
    """Legs and arms. joints: {side: (hip, knee, foot, shoulder, elbow, hand)}, in units of the person's height."""
    starts, ends, radii, end_radii = [], [], [], []
    for hip, knee, foot, shoulder, elbow, hand in joints.values():
        for start, end, radius, end_radius in (
            (hip, knee, 0.055, 0.04),
            (knee, foot, 0.04, 0.03),
            (foot, (foot[0] + 0.12, foot[1], 0.02), 0.025, 0.025),
            (shoulder, elbow, 0.032, 0.027),
            (elbow, hand, 0.027, 0.022),
        ):
            starts.append(start)
            ends.append(end)
            radii.append(radius * girth)
            end_radii.append(end_radius * girth)
    return tubes(starts, ends, np.array(radii), "cloth", 6, np.array(end_radii))


def _trunk(girth: float, hip: float, shoulder: float) -> list[Mesh]:
    """Trunk, head and neck."""
    middle = (hip + shoulder) / 2
    return [
        ellipsoid((0.075 * girth, 0.125 * girth, (shoulder - hip) * 0.66), (0, 0, middle), "cloth", 6, 10),
        ellipsoid((0.055, 0.05, 0.072), (0.01, 0, 0.93), "skin"),
        tubes([(0, 0, 0.8)], [(0.01, 0, 0.9)], 0.03, "skin", 6),
    ]
