"""M2SKD, multi-to-single knowledge distillation: one network on a scan, and on the scan enriched with what earlier
scans saw of hard objects. What the enriched pass finds teaches the single one.

The terms are those of the released code; the paper's own formulas are not available.
"""

from pvd_core.losses.multi_to_single.config import HARD_CLASSES, MultiToSingleLossConfig
from pvd_core.losses.multi_to_single.method import MultiToSingle
from pvd_core.losses.multi_to_single.passes import TwoPasses

__all__ = ["HARD_CLASSES", "MultiToSingle", "MultiToSingleLossConfig", "TwoPasses"]
