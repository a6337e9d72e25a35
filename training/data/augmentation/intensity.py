"""What intensities say: no two sensors, and no simulation, agree on their scale, so a network must not lean on them."""

import numpy as np

from pvd_core.taxonomy import NUM_CLASSES


def replace_intensity(points, generator):
    """All intensities become one value: 0, as of a sensor that sends none, or as likely one from 0 to 1."""
    value = generator.choice((0.0, generator.random()))
    result = points.copy()
    result[:, 3] = value
    return result


def jitter_intensity(points, generator, max_change):
    """One factor a scan, uniform in 1 plus or minus `max_change`."""
    factor = generator.uniform(1 - max_change, 1 + max_change)
    return points * np.array([1, 1, 1, factor], dtype=np.float32)


def bend_intensity(points, generator, max_log):
    """Intensity i becomes i ** g, g one number a scan between exp(-max_log) and exp(max_log): the order of brighter
    and darker stays, the histogram does not."""
    exponent = np.float32(np.exp(generator.uniform(-max_log, max_log)))
    result = points.copy()
    result[:, 3] = np.maximum(points[:, 3], 0) ** exponent
    return result


def jitter_materials(points, class_ids, generator, max_log):
    """One factor a class and scan, between exp(-max_log) and exp(max_log): another paint, stone or season."""
    factors = np.exp(generator.uniform(-max_log, max_log, size=NUM_CLASSES)).astype(np.float32)
    result = points.copy()
    result[:, 3] *= factors[class_ids]
    return result


def add_intensity_noise(points, generator, max_deviation):
    """Adds a normal deviate a point; one standard deviation a scan, up to `max_deviation`. Never below 0."""
    deviation = np.float32(generator.uniform(0, max_deviation))
    result = points.copy()
    noise = generator.standard_normal(len(points), dtype=np.float32) * deviation
    result[:, 3] = np.maximum(points[:, 3] + noise, 0)
    return result
