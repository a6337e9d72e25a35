"""Changes of the coordinates: of the scene (rotate, flip, scale, translate) and of the sensor's mounting and range
noise. Points in and out are float32 (N, 4 or more)."""

import numpy as np

from training.data.augmentation.rings import rings_of


def rotate_about_z(points: np.ndarray, generator: np.random.Generator, max_degrees: float) -> np.ndarray:
    """The scan turned about z by an angle uniform in plus or minus `max_degrees`."""
    angle = np.deg2rad(generator.uniform(-max_degrees, max_degrees))
    return rotated_about_z(points, angle)


def rotated_about_z(points: np.ndarray, angle: float) -> np.ndarray:
    """`points` turned counter-clockwise by `angle` in radians."""
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    result = points.copy()
    result[:, 0] = cosine * points[:, 0] - sine * points[:, 1]
    result[:, 1] = sine * points[:, 0] + cosine * points[:, 1]
    return result


def flip(points: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Mirrors x, y, both or neither, with equal probability."""
    flips_x, flips_y = generator.integers(0, 2, size=2)
    return _scaled(points, -1 if flips_x else 1, -1 if flips_y else 1, 1)


def scale_xy(points: np.ndarray, generator: np.random.Generator, limits: tuple[float, float]) -> np.ndarray:
    """x and y times one factor for the scan, uniform between the two `limits`."""
    factor = generator.uniform(*limits)
    return _scaled(points, factor, factor, 1)


def scale_z(points: np.ndarray, generator: np.random.Generator, limits: tuple[float, float]) -> np.ndarray:
    """z times one factor for the scan, uniform between the two `limits`."""
    return _scaled(points, 1, 1, generator.uniform(*limits))


def translate(
    points: np.ndarray, generator: np.random.Generator, standard_deviation: float | tuple[float, float, float]
) -> np.ndarray:
    """The scan shifted in x, y and z, each by a normal deviate of `standard_deviation` metres."""
    shift = generator.normal(0, standard_deviation, size=3)
    return _shifted(points, *shift)


def shift_height(points: np.ndarray, generator: np.random.Generator, max_metres: float) -> np.ndarray:
    """As if the sensor were mounted higher or lower by up to `max_metres`."""
    return _shifted(points, 0, 0, generator.uniform(-max_metres, max_metres))


def tilt(points: np.ndarray, generator: np.random.Generator, max_degrees: float) -> np.ndarray:
    """As if the sensor were mounted with a pitch and a roll of up to `max_degrees` each."""
    pitch, roll = np.deg2rad(generator.uniform(-max_degrees, max_degrees, size=2))
    about_y = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    result = points.copy()
    result[:, :3] = points[:, :3] @ (about_y @ about_x).T.astype(np.float32)
    return result


def jitter_ranges(points: np.ndarray, generator: np.random.Generator, max_deviation: float) -> np.ndarray:
    """Moves each point along its ray by normal noise. Sensors differ in precision, so each scan draws its own standard
    deviation, uniform from 0 to `max_deviation` metres."""
    deviation = generator.uniform(0, max_deviation)
    return _lengthened(points, generator.standard_normal(len(points), dtype=np.float32) * np.float32(deviation))


def offset_lasers(points: np.ndarray, generator: np.random.Generator, max_deviation: float) -> np.ndarray:
    """Moves all points of a ring along their rays by one normal deviate, as lasers are calibrated to centimetres: walls
    and pavements then look rough. Each scan draws its own standard deviation, uniform from 0 to `max_deviation`
    metres."""
    rings = rings_of(points)
    deviation = generator.uniform(0, max_deviation)
    offsets = generator.normal(0, deviation, int(rings.max()) + 1).astype(np.float32)
    return _lengthened(points, offsets[rings])


def _lengthened(points: np.ndarray, metres: np.ndarray) -> np.ndarray:
    """`points` further away along their rays, by metres float32 (N,)."""
    ranges = np.linalg.norm(points[:, :3], axis=1)
    # The lower bound keeps points very near the sensor from crossing it.
    factors = 1 + metres / np.maximum(ranges, np.float32(1.0))
    result = points.copy()
    result[:, :3] *= factors[:, None]
    return result


def _scaled(points: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    result = points.copy()
    result[:, :3] *= np.array([x, y, z], dtype=np.float32)
    return result


def _shifted(points: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    result = points.copy()
    result[:, :3] += np.array([x, y, z], dtype=np.float32)
    return result
