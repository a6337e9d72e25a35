"""A synthetic scan that fills about as many voxels as a real one."""

import numpy as np

_POINTS_A_BEAM = 2000
_SENSOR_HEIGHT_M = 1.7


def spinning_scan(num_points: int) -> np.ndarray:
    """float32 (num_points, 4): x, y, z in metres, intensity 0..1, as a spinning sensor with 8 to 64 beams sees flat
    ground between walls that are 8 to 40 m away."""
    num_beams = min(max(num_points // _POINTS_A_BEAM, 8), 64)
    point = np.arange(num_points)
    elevation = np.deg2rad(np.linspace(-24.8, 2.0, num_beams))[point % num_beams]
    azimuth = 2 * np.pi * (point // num_beams) / max(num_points // num_beams, 1)
    to_wall_m = 24 + 16 * np.sin(5 * azimuth)
    to_ground_m = _SENSOR_HEIGHT_M / np.tan(np.maximum(-elevation, 1e-3))
    rho = np.minimum(to_wall_m, to_ground_m)
    columns = rho * np.cos(azimuth), rho * np.sin(azimuth), rho * np.tan(elevation), 0.5 + 0.4 * np.sin(9 * azimuth)
    return np.stack(columns, axis=1).astype(np.float32)
