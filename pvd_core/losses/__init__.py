"""Losses of the networks. Supervised ones are in `segmentation`."""

from pvd_core.losses.segmentation import cross_entropy, lovasz_softmax

__all__ = ["cross_entropy", "lovasz_softmax"]
