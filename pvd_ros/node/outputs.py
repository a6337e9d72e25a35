"""The node's labelled clouds: the topics they go to, each made only if somebody listens. Needs rclpy.

~/points     every point with class, colour and confidence; on request with all fields of the input
~/labels     class and confidence alone, in the order of the points
~/static     the input's own points without those of moving kinds; ~/obstacles without those of the ground
~/classes    once a second: how often each class was found
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64MultiArray

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import Taxonomy
from pvd_ros.codec import CloudTypes, DecodedCloud, chosen_points, encode, label_cloud, with_fields_of_input
from pvd_ros.node.parameters import OUTPUTS
from pvd_ros.report.class_window import ClassWindow
from pvd_ros.report.status_messages import classes_message

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.segmenter import Segmentation


class Outputs:
    """Publishers of all outputs, on `node`, by its parameters as they are when a cloud comes."""

    def __init__(self, node: Any, qos: Any) -> None:
        self._node = node
        self._classes = node.create_publisher(Float64MultiArray, "~/classes", 10)
        self._found = ClassWindow()
        self._publishers = {name: node.create_publisher(PointCloud2, f"~/{name}", qos) for name in OUTPUTS}

    @property
    def topic_name(self) -> str:
        """The topic of the cloud with all points."""
        return self._publishers["points"].topic_name

    @property
    def topic_names(self) -> list[str]:
        """The topics of all clouds."""
        return [publisher.topic_name for publisher in self._publishers.values()]

    def wanted(self) -> list[str]:
        """The outputs that are switched on and that somebody listens to; with `always_label` the points besides."""
        always = ["points"] if self._value("always_label") else []
        return [
            name
            for name, publisher in self._publishers.items()
            if name in self._value("outputs") and (name in always or publisher.get_subscription_count() > 0)
        ]

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants clouds to be labelled."""
        return bool(self.wanted()) or self._classes.get_subscription_count() > 0

    def encode(
        self,
        message: Any,
        cloud: DecodedCloud,
        segmentation: Segmentation,
        types: CloudTypes,
        taxonomy: Taxonomy,
        entropy: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """{output: PointCloud2} of those that are wanted; the arguments are those of `codec.encode`. Counts classes if
        somebody wants to know."""
        if self._classes.get_subscription_count() > 0:
            self._found.record(segmentation.labels, segmentation.confidence, taxonomy.num_classes)
        made: dict[str, Any] = {}
        for name in self.wanted():
            if name == "points":
                labelled = encode(message, cloud, segmentation, types, taxonomy, entropy)
                keeps = self._value("keep_fields")
                made[name] = with_fields_of_input(message, cloud.layout, labelled, types) if keeps else labelled
            elif name == "labels":
                made[name] = label_cloud(message, segmentation, types)
            else:
                removed = self._value(f"{name}_without")
                kept = is_kept(segmentation, taxonomy, removed, self._value("min_confidence"))
                made[name] = chosen_points(message, cloud.layout, kept, types)
        return made

    def publish(self, made: dict[str, Any]) -> None:
        """Sends what `encode` made."""
        for name, message in made.items():
            self._publishers[name].publish(message)

    def publish_classes(self, taxonomy: Taxonomy) -> None:
        """To be called once a second."""
        table = self._found.close_second()
        if table is not None:
            self._classes.publish(classes_message(taxonomy.names, table))

    def destroy(self) -> None:
        """Takes the publishers away from the node."""
        for publisher in (*self._publishers.values(), self._classes):
            self._node.destroy_publisher(publisher)

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value


def is_kept(
    segmentation: Segmentation, taxonomy: Taxonomy, removed: Sequence[str], min_confidence: float
) -> np.ndarray:
    """bool (N,): the points of a filtered cloud. Those without a label are none of it: they are no measurements, or
    cropped. A point of a removed class is kept if its confidence is below `min_confidence`: unsure ones stay."""
    labels, confidence = segmentation.labels, segmentation.confidence
    return (labels > 0) & ~(is_removed(taxonomy, removed)[labels] & (confidence >= min_confidence))


def is_removed(taxonomy: Taxonomy, names: Sequence[str]) -> np.ndarray:
    """bool (C,): the classes of `names`, with their moving kinds: "car" stands for moving-car too. Empty names are
    none. UserError for an unknown one, with the closest."""
    names = [name for name in names if name]
    ids = [taxonomy.id_of(name) for name in names]
    return np.isin(np.arange(taxonomy.num_classes), [*ids, *taxonomy.ids_of(names)])


def check_removed(taxonomy: Taxonomy, parameter: str, names: Sequence[str]) -> None:
    """UserError, which names the parameter, if one of `names` is no class."""
    try:
        is_removed(taxonomy, names)
    except UserError as error:
        raise UserError(f"parameter {parameter}: {error}") from error
