"""Labelled bags as folders in SemanticKITTI's layout, in which people correct labels and from which networks learn."""

from pvd_ros.export.choice import ScanChoice
from pvd_ros.export.folder import ExportReport, export_bag
from pvd_ros.export.poses import KISS_ICP

__all__ = ["KISS_ICP", "ExportReport", "ScanChoice", "export_bag"]
