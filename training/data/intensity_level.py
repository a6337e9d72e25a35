"""How bright the scans of a training are: what its network knows of intensity."""

import numpy as np

from pvd_core.clouds.intensity import USUAL_95TH
from training.data.scan_stream import ScanStream

_SCANS_LOOKED_AT = 4


def intensity_95th(stream: ScanStream) -> float:
    """The median over some scans of the value below which 95 % of a scan's intensities lie; that of KITTI if the scans
    have no intensity."""
    scans = [stream.scan(position).points[:, 3] for position in range(_SCANS_LOOKED_AT)]
    found = [float(np.percentile(values, 95)) for values in scans if values.min() < values.max()]
    level = float(np.median(found)) if found else 0.0
    return float(f"{level:.3g}") if level > 0 else USUAL_95TH
