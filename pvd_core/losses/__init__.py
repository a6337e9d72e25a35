"""Losses: supervised ones in `segmentation`, PVD in `pvd`, the methods that it is compared with in `baselines`."""

from pvd_core.losses.segmentation import cross_entropy, lovasz_softmax

__all__ = ["cross_entropy", "lovasz_softmax"]
