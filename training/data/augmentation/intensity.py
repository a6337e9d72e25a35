"""Changes of the intensities. Their scale differs between sensors, and between real and simulated ones, so a network
must not rely on it. Points in and out are float32 (N, 4 or more)."""

import numpy as np

from pvd_core.taxonomy import Taxonomy


def replace_intensity(points: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Sets all intensities to one value: half of the time 0, as of a sensor that measures none, else uniform in
    0..1."""
    value = generator.choice((0.0, generator.random()))
    result = points.copy()
    result[:, 3] = value
    return result


def jitter_intensity(points: np.ndarray, generator: np.random.Generator, max_change: float) -> np.ndarray:
    """Multiplies intensities by one factor for the scan, uniform in 1 plus or minus `max_change`."""
    result = points.copy()
    result[:, 3] *= np.float32(generator.uniform(1 - max_change, 1 + max_change))
    return result


def bend_intensity(points: np.ndarray, generator: np.random.Generator, max_log: float) -> np.ndarray:
    """Gamma correction: intensity i becomes i ** g, with one g for the scan between exp(-max_log) and exp(max_log).
    Brighter points stay brighter, but the histogram changes. Negative intensities count as 0."""
    exponent = np.float32(np.exp(generator.uniform(-max_log, max_log)))
    result = points.copy()
    result[:, 3] = np.maximum(points[:, 3], 0) ** exponent
    return result


def jitter_materials(
    points: np.ndarray,
    class_ids: np.ndarray,
    generator: np.random.Generator,
    max_log: float,
    taxonomy: Taxonomy,
) -> np.ndarray:
    """Multiplies the intensities of each class by a factor of its own between exp(-max_log) and exp(max_log), as if
    its paint, stone or season were another. `class_ids`: (N,), those of `taxonomy`."""
    factors = np.exp(generator.uniform(-max_log, max_log, size=taxonomy.num_classes)).astype(np.float32)
    result = points.copy()
    result[:, 3] *= factors[class_ids]
    return result


def add_intensity_noise(points: np.ndarray, generator: np.random.Generator, max_deviation: float) -> np.ndarray:
    """Adds normal noise to each intensity, which stays at least 0. Each scan draws its own standard deviation, uniform
    from 0 to `max_deviation`."""
    deviation = np.float32(generator.uniform(0, max_deviation))
    result = points.copy()
    noise = generator.standard_normal(len(points), dtype=np.float32) * deviation
    result[:, 3] = np.maximum(points[:, 3] + noise, 0)
    return result
