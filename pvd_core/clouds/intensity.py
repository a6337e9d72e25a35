"""Whether a cloud's intensity lies where networks expect it."""

import numpy as np

# KITTI's intensity ends at 1; sensors that send 0..255 are far beyond this, rounding errors are not.
LARGEST_INTENSITY = 1.5


def remark_on_intensity(points, setting):
    """A sentence for people where `points`, float32 (N, 4) with intensity last, exceed 0..1, else "". `setting` is what
    scales the intensity, by the name that people know it by."""
    intensity = points[:, 3]
    largest = float(np.max(intensity, initial=0, where=np.isfinite(intensity)))
    if largest <= LARGEST_INTENSITY:
        return ""
    return f"intensity reaches {largest:g}, expected 0..1: set {setting}, 0.00392157 for 0..255"
