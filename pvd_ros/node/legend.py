"""The class legend for RViz: the name of each class in its colour."""

from __future__ import annotations

from typing import Any

from pvd_core.taxonomy import CLASS_COLOURS, CLASS_NAMES

FIRST_HEIGHT_M = 2.0
LINE_M = 1.2
LEFT_M = 25.0


def legend_markers(frame_id: str) -> Any:
    """A MarkerArray with the ids and names of classes 1..19 in their colours, in a column beside the sensor.

    frame_id: the sensor's frame. Each class is a text marker in the namespace `legend`; its id is that of the class.
    """
    from visualization_msgs.msg import Marker, MarkerArray

    markers = []
    for class_id in range(1, len(CLASS_NAMES)):
        marker = Marker()
        marker.header.frame_id = frame_id
        marker.ns, marker.id = "legend", class_id
        marker.type, marker.action = Marker.TEXT_VIEW_FACING, Marker.ADD
        marker.text = f"{class_id} {CLASS_NAMES[class_id]}"
        marker.pose.orientation.w = 1.0
        marker.pose.position.y = LEFT_M
        marker.pose.position.z = FIRST_HEIGHT_M + LINE_M * (len(CLASS_NAMES) - 1 - class_id)
        marker.scale.z = 0.9 * LINE_M
        red, green, blue = (float(channel) / 255 for channel in CLASS_COLOURS[class_id])
        marker.color.r, marker.color.g, marker.color.b, marker.color.a = red, green, blue, 1.0
        markers.append(marker)
    return MarkerArray(markers=markers)
