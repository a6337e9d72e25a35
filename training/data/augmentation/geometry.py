"""Where points are: changes to the scene (rotate, flip, scale, translate) and to the sensor's mount and precision."""

import numpy as np


def rotate_about_z(points, generator, max_degrees):
    angle = np.deg2rad(generator.uniform(-max_degrees, max_degrees))
    return rotated_about_z(points, angle)


def rotated_about_z(points, angle):
    """`points` turned counter-clockwise by `angle` in radians."""
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    result = points.copy()
    result[:, 0] = cosine * points[:, 0] - sine * points[:, 1]
    result[:, 1] = sine * points[:, 0] + cosine * points[:, 1]
    return result


def flip(points, generator):
    """Mirrors x, y, both or none, each as likely."""
    flips_x, flips_y = generator.integers(0, 2, size=2)
    return points * np.array([-1 if flips_x else 1, -1 if flips_y else 1, 1, 1], dtype=np.float32)


def scale_xy(points, generator, limits):
    factor = generator.uniform(*limits)
    return points * np.array([factor, factor, 1, 1], dtype=np.float32)


def scale_z(points, generator, limits):
    return points * np.array([1, 1, generator.uniform(*limits), 1], dtype=np.float32)


def translate(points, generator, standard_deviation):
    shift = generator.normal(0, standard_deviation, size=3)
    return points + np.array([*shift, 0], dtype=np.float32)


def shift_height(points, generator, max_metres):
    """As if the sensor were mounted higher or lower by up to `max_metres`."""
    return points + np.array([0, 0, generator.uniform(-max_metres, max_metres), 0], dtype=np.float32)


def tilt(points, generator, max_degrees):
    """As if the sensor were mounted with a pitch and a roll of up to `max_degrees` each."""
    pitch, roll = np.deg2rad(generator.uniform(-max_degrees, max_degrees, size=2))
    about_y = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    result = points.copy()
    result[:, :3] = points[:, :3] @ (about_y @ about_x).T.astype(np.float32)
    return result


def jitter_ranges(points, generator, max_deviation):
    """Moves each point along its ray by a normal deviate; one standard deviation a scan, up to `max_deviation` metres,
    since sensors differ."""
    deviation = generator.uniform(0, max_deviation)
    ranges = np.linalg.norm(points[:, :3], axis=1)
    noise = generator.standard_normal(len(points), dtype=np.float32) * np.float32(deviation)
    # No point crosses the sensor.
    factors = 1 + noise / np.maximum(ranges, np.float32(1.0))
    result = points.copy()
    result[:, :3] *= factors[:, None]
    return result
