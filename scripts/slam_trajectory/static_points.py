"""Which points of a simulated cloud odometry gets: all, those of ~/static, and what true labels would leave."""

from typing import Any

import numpy as np

from pvd_core.segmenter import Segmentation, Segmenter
from pvd_core.taxonomy import Taxonomy
from pvd_ros.bags.types import cloud_from_points
from pvd_ros.codec import rclpy_cloud_types
from pvd_ros.labeller import CloudLabeller
from pvd_ros.node.outputs import is_kept
from pvd_ros.node.parameters import SPECS
from training.simulate import Frame
from training.simulate.street.traffic import MOVING_RAW_ID

ALL, STATIC, TRUE_STATIC, STILL = "all points", "~/static", "~/static by true labels", "all but what truly moves"
WAYS = (ALL, STATIC, TRUE_STATIC, STILL)
_DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in SPECS}


class StaticPoints:
    """As the node chooses them with its default parameters. Made anew for each drive, as a node is."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._taxonomy = segmenter.taxonomy
        self._labeller = CloudLabeller(segmenter, rclpy_cloud_types(), encoder=self._encoded)

    def chosen(self, frame: Frame) -> dict[str, np.ndarray]:
        """{way of WAYS: bool (N,), the points it leaves}."""
        true = self._taxonomy.class_ids_from_raw(frame.labels)
        return {
            ALL: np.ones(len(true), bool),
            STATIC: self.of_node(frame.points),
            TRUE_STATIC: _kept(Segmentation(true, np.ones(len(true), np.float32), {}), self._taxonomy),
            STILL: ~is_moving(frame.labels),
        }

    def of_node(self, points: np.ndarray) -> np.ndarray:
        """bool (N,): the points, float32 (N, 4), that the node puts on ~/static."""
        return self._labeller.label(cloud_from_points(points, 0, "velodyne")).message

    @staticmethod
    def _encoded(
        _message: Any, _cloud: Any, segmentation: Segmentation, _types: Any, taxonomy: Taxonomy, _entropy: Any
    ) -> np.ndarray:
        return _kept(segmentation, taxonomy)


def is_moving(raw_labels: np.ndarray) -> np.ndarray:
    """bool (N,): the points of what moves, by labels as in a `.label` file."""
    return np.isin(raw_labels & 0xFFFF, list(MOVING_RAW_ID.values()))


def _kept(segmentation: Segmentation, taxonomy: Taxonomy) -> np.ndarray:
    return is_kept(segmentation, taxonomy, _DEFAULTS["static_without"], _DEFAULTS["min_confidence"])
