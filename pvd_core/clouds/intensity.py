"""Whether a cloud's intensity is in the range that networks expect."""

import numpy as np

# Networks expect 0..1. Sensors that send 0..255 exceed this by far, rounding errors do not.
_LARGEST_INTENSITY = 1.5


def remark_on_intensity(points: np.ndarray, setting: str) -> str:
    """A sentence for the user if the intensities of `points`, float32 (N, 4) with intensity last, exceed 0..1, else "".
    `setting` is the name of the option or parameter that scales the intensity."""
    intensity = points[:, 3]
    largest = float(np.max(intensity, initial=0, where=np.isfinite(intensity)))
    if largest <= _LARGEST_INTENSITY:
        return ""
    return f"intensity reaches {largest:g}, expected 0..1: set {setting}, 0.00392157 for 0..255"
