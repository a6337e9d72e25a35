"""Elevations of each sensor's beams in degrees, top ring first.

HDL-64E: its lasers form two blocks at different heights; elevations and heights were fitted to SemanticKITTI's scans
(height over horizontal distance, ring by ring). Pandar64 and XT32: measured in real clouds. The others: the makers'
data sheets.
"""

import numpy as np

HDL64E_DEG = (*np.linspace(1.95, -8.75, 32), *np.linspace(-9.07, -24.93, 32))
HDL64E_ORIGINS_M = (0.205,) * 32 + (0.125,) * 32
VLP16_DEG = tuple(np.linspace(15.0, -15.0, 16))
VLP32C_DEG = (
    *(15.0, 10.333, 7.0, 4.667, 3.333, 2.333, 1.667, 1.333, 1.0, 0.667, 0.333, 0.0, -0.333, -0.667, -1.0, -1.333),
    *(-1.667, -2.0, -2.333, -2.667, -3.0, -3.333, -3.667, -4.0, -4.667, -5.333, -6.148, -7.254, -8.843, -11.31),
    *(-15.639, -25.0),
)
OS1_64_DEG = tuple(np.linspace(16.6, -16.6, 64))
OS1_128_DEG = tuple(np.linspace(21.0, -21.8, 128))
PANDAR64_DEG = (
    *(14.9, 11.05, 8.07, 5.07, 3.05),
    *np.linspace(2.05, -5.89, 48),
    *(-6.05, -7.05, -8.05, -9.05, -10.03, -11.01, -11.99, -12.95, -13.91, -18.87, -24.88),
)
XT32_DEG = tuple(np.linspace(15.0, -16.0, 32))
