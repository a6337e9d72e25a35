"""Random changes to a training scan: how strong, how often, in which order. Some are those of spec 2.6; the others
prepare a network for sensors and streets that differ from those of the training data."""

from dataclasses import dataclass

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import Taxonomy
from training.data.augmentation.geometry import (
    flip,
    jitter_ranges,
    offset_lasers,
    rotate_about_z,
    scale_xy,
    scale_z,
    shift_height,
    tilt,
    translate,
)
from training.data.augmentation.intensity import (
    add_intensity_noise,
    bend_intensity,
    jitter_intensity,
    jitter_materials,
    replace_intensity,
)
from training.data.augmentation.kerbs import raise_kerbs
from training.data.augmentation.rays import keep_outside_patches, keep_some_points, keep_some_rings
from training.data.example import Example

_SHARES = ("drop_points", "intensity_jitter")
_PROBABILITIES = ("drop_rings", "intensity_off")
_AMOUNTS = (
    "rotate_degrees",
    "translate_metres",
    "shift_height_metres",
    "tilt_degrees",
    "raise_kerbs_metres",
    "range_noise_metres",
    "laser_offset_metres",
    "drop_patches",
    "intensity_gamma",
    "intensity_by_class",
    "intensity_noise",
)


@dataclass(frozen=True)
class AugmentationConfig:
    """The defaults are the steps of the official data loader; 0 switches a step off."""

    rotate_degrees: float = 45.0
    """About z, uniform in plus or minus this; 180 for the full circle."""
    flip: bool = True
    """Mirror x, y, both or neither, with equal probability."""
    scale: tuple[float, float] = (0.95, 1.05)
    """One factor for x and y; z keeps its scale."""
    scale_z: tuple[float, float] = (1.0, 1.0)
    """One factor for z."""
    translate_metres: float | tuple[float, float, float] = 0.1
    """Standard deviation of a shift in x, y and z: one number, or three."""
    shift_height_metres: float = 0.0
    """Another height of the sensor: z is shifted, uniform in plus or minus this."""
    tilt_degrees: float = 0.0
    """Pitch and roll of the sensor, each uniform in plus or minus this."""
    raise_kerbs_metres: float = 0.0
    """All points of classes beside the road are lifted by one height, uniform from 0 to this."""
    range_noise_metres: float = 0.0
    """Largest standard deviation of noise along the rays; each scan draws its own, uniform from 0 to this."""
    laser_offset_metres: float = 0.0
    """Largest standard deviation of what each laser measures too much, the same for all its points of a scan; each scan
    draws its own, uniform from 0 to this."""
    drop_rings: float = 0.0
    """Share of the scans, 0..1, that keep only some rings: every second, third or fourth one, or a random choice."""
    drop_patches: int = 0
    """Largest number of patches (an interval of azimuth times one of distance) that are left out of a scan."""
    drop_points: float = 0.0
    """Largest share of the points to leave out, 0..1; each scan draws its own, uniform from 0 to this."""
    intensity_off: float = 0.0
    """Share of the scans, 0..1, whose intensities are all replaced by one value, half of the time 0."""
    intensity_jitter: float = 0.0
    """Intensity is multiplied by a factor uniform in 1 plus or minus this, 0..1."""
    intensity_gamma: float = 0.0
    """Intensity is raised to a power between exp(-this) and exp(this)."""
    intensity_by_class: float = 0.0
    """Intensities of each class are multiplied by a factor between exp(-this) and exp(this)."""
    intensity_noise: float = 0.0
    """Largest standard deviation of noise in intensity; each scan draws its own, uniform from 0 to this."""

    def __post_init__(self) -> None:
        for name in ("scale", "scale_z"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UserError(f"augmentation.{name} is {[low, high]}: expected [low, high] with 0 < low <= high")
        for name in _AMOUNTS:
            if np.min(getattr(self, name)) < 0:
                raise UserError(f"augmentation.{name} is {getattr(self, name)}: expected 0 or more")
        for name in _SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"augmentation.{name} is {getattr(self, name)}: expected 0 <= value < 1")
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"augmentation.{name} is {getattr(self, name)}: expected 0 <= value <= 1")


def augment(
    example: Example, generator: np.random.Generator, config: AugmentationConfig, taxonomy: Taxonomy
) -> Example:
    """`example` after all steps of `config`; with fewer points only by the `drop_...` steps.

    Its points are in the sensor's frame and in its order, its labels class ids of `taxonomy`.
    """
    example = _change_sensor(example, generator, config, taxonomy)
    points = _change_scene(example.points, generator, config)
    points = _change_intensities(points, example.labels, generator, config, taxonomy)
    example = example.with_points(points)
    if config.drop_points:
        example = example.chosen(keep_some_points(points, generator, config.drop_points))
    return example


def _change_sensor(
    example: Example, generator: np.random.Generator, config: AugmentationConfig, taxonomy: Taxonomy
) -> Example:
    """Must come first: needs the points on the sensor's rays and in its order."""
    if config.drop_rings and generator.random() < config.drop_rings:
        example = example.chosen(keep_some_rings(example.points, generator))
    if config.drop_patches:
        example = example.chosen(keep_outside_patches(example.points, generator, config.drop_patches))
    points = example.points
    if config.raise_kerbs_metres:
        points = raise_kerbs(points, example.labels, generator, config.raise_kerbs_metres, taxonomy)
    if config.range_noise_metres:
        points = jitter_ranges(points, generator, config.range_noise_metres)
    if config.laser_offset_metres:
        points = offset_lasers(points, generator, config.laser_offset_metres)
    if config.tilt_degrees:
        points = tilt(points, generator, config.tilt_degrees)
    if config.shift_height_metres:
        points = shift_height(points, generator, config.shift_height_metres)
    return example.with_points(points)


def _change_scene(points: np.ndarray, generator: np.random.Generator, config: AugmentationConfig) -> np.ndarray:
    if config.rotate_degrees:
        points = rotate_about_z(points, generator, config.rotate_degrees)
    if config.flip:
        points = flip(points, generator)
    if config.scale != (1.0, 1.0):
        points = scale_xy(points, generator, config.scale)
    if config.scale_z != (1.0, 1.0):
        points = scale_z(points, generator, config.scale_z)
    if config.translate_metres:
        points = translate(points, generator, config.translate_metres)
    return points


def _change_intensities(
    points: np.ndarray,
    labels: np.ndarray,
    generator: np.random.Generator,
    config: AugmentationConfig,
    taxonomy: Taxonomy,
) -> np.ndarray:
    if config.intensity_off and generator.random() < config.intensity_off:
        return replace_intensity(points, generator)
    if config.intensity_by_class:
        points = jitter_materials(points, labels, generator, config.intensity_by_class, taxonomy)
    if config.intensity_gamma:
        points = bend_intensity(points, generator, config.intensity_gamma)
    if config.intensity_jitter:
        points = jitter_intensity(points, generator, config.intensity_jitter)
    if config.intensity_noise:
        points = add_intensity_noise(points, generator, config.intensity_noise)
    return points
