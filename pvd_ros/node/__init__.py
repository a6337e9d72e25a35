"""The segmentation node: started by the console script `segmenter_node` or by `python -m pvd_ros.node`."""

from pvd_ros.node.command import main

__all__ = ["main"]
