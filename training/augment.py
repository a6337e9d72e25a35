"""Random changes to a training scan (spec of the official data loader, plus two that are off by default).

Each is a pure function of the points, float32 (N, 4) x, y, z in metres and intensity, and a `numpy` generator; the
input is left alone.
"""

from dataclasses import dataclass

import numpy as np

from pvd_core.errors import UserError


@dataclass(frozen=True)
class AugmentationConfig:
    rotate_degrees: float = 45.0
    """About z, uniform in plus or minus this."""
    flip: bool = True
    """Mirror x, y, both or none, each as likely."""
    scale: tuple[float, float] = (0.95, 1.05)
    """One factor for x and y; z keeps its scale."""
    translate_metres: float = 0.1
    """Standard deviation of a shift in x, y and z."""
    drop_points: float = 0.0
    """Largest share of the points to leave out, 0..1; the share itself is uniform from 0 to this."""
    intensity_jitter: float = 0.0
    """Intensity is multiplied by a factor uniform in 1 plus or minus this, 0..1."""

    def __post_init__(self):
        if not 0 < self.scale[0] <= self.scale[1]:
            raise UserError(f"augmentation.scale is {list(self.scale)}: expected [low, high] with 0 < low <= high")
        if self.rotate_degrees < 0 or self.translate_metres < 0:
            raise UserError("augmentation.rotate_degrees and augmentation.translate_metres must be 0 or more")
        for name in ("drop_points", "intensity_jitter"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"augmentation.{name} is {getattr(self, name)}: expected 0 <= value < 1")


def augment(points, labels, generator, config):
    """(points float32 (M, 4), labels (M,)) after all steps of `config`; M < N only with `drop_points`."""
    if config.rotate_degrees:
        points = rotate_about_z(points, generator, config.rotate_degrees)
    if config.flip:
        points = flip(points, generator)
    if config.scale != (1.0, 1.0):
        points = scale_xy(points, generator, config.scale)
    if config.translate_metres:
        points = translate(points, generator, config.translate_metres)
    if config.intensity_jitter:
        points = jitter_intensity(points, generator, config.intensity_jitter)
    if config.drop_points:
        keep = keep_some_points(points, generator, config.drop_points)
        points, labels = points[keep], labels[keep]
    return points, labels


def rotate_about_z(points, generator, max_degrees):
    angle = np.deg2rad(generator.uniform(-max_degrees, max_degrees))
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    result = points.copy()
    result[:, 0] = cosine * points[:, 0] - sine * points[:, 1]
    result[:, 1] = sine * points[:, 0] + cosine * points[:, 1]
    return result


def flip(points, generator):
    flips_x, flips_y = generator.integers(0, 2, size=2)
    return points * np.array([-1 if flips_x else 1, -1 if flips_y else 1, 1, 1], dtype=np.float32)


def scale_xy(points, generator, limits):
    factor = generator.uniform(*limits)
    return points * np.array([factor, factor, 1, 1], dtype=np.float32)


def translate(points, generator, standard_deviation):
    shift = generator.normal(0, standard_deviation, size=3)
    return points + np.array([*shift, 0], dtype=np.float32)


def jitter_intensity(points, generator, max_change):
    factor = generator.uniform(1 - max_change, 1 + max_change)
    return points * np.array([1, 1, 1, factor], dtype=np.float32)


def keep_some_points(points, generator, max_dropped):
    """bool (N,): which points stay; at least one does."""
    share = generator.uniform(0, max_dropped)
    keep = generator.random(len(points)) >= share
    keep[:1] |= not keep.any()
    return keep
