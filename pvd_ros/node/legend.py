"""The class legend for RViz: the name of each class in its colour. The node publishes it; for a bag with labelled
clouds `python3 -m pvd_ros.node.legend` does."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import SEMANTICKITTI, TAXONOMIES, Taxonomy
from pvd_ros.middleware.ros_session import check_topic_name, qos_profile, require_rclpy, ros_context, stop_on_signals

# A column left of the sensor, inside the view that config/pvd.rviz opens with.
AHEAD_M, LEFT_M = 5.0, 13.0
LOWEST_M = -1.0
HEIGHT_M = 17.1


def legend_markers(frame_id: str, taxonomy: Taxonomy) -> Any:
    """A MarkerArray with the ids and names of all classes but 0 in their colours, in a column beside the sensor.

    frame_id: the sensor's frame. Each class is a text marker in the namespace `legend`; its id is that of the class.
    """
    from visualization_msgs.msg import Marker, MarkerArray

    markers, line_m = [], HEIGHT_M / (taxonomy.num_classes - 1)
    for class_id in range(1, taxonomy.num_classes):
        marker = Marker()
        marker.header.frame_id = frame_id
        marker.ns, marker.id = "legend", class_id
        marker.type, marker.action = Marker.TEXT_VIEW_FACING, Marker.ADD
        marker.text = f"{class_id} {taxonomy.names[class_id]}"
        marker.pose.orientation.w = 1.0
        marker.pose.position.x, marker.pose.position.y = AHEAD_M, LEFT_M
        marker.pose.position.z = LOWEST_M + line_m * (taxonomy.num_classes - 1 - class_id)
        marker.scale.z = 0.9 * line_m
        red, green, blue = (float(channel) / 255 for channel in taxonomy.colours[class_id])
        marker.color.r, marker.color.g, marker.color.b, marker.color.a = red, green, blue, 1.0
        markers.append(marker)
    return MarkerArray(markers=markers)


def main(arguments: list[str] | None = None) -> int:
    """Publishes the legend until Ctrl-C or SIGTERM. Exit code 0, or 2 for the user's mistakes."""
    parser = argparse.ArgumentParser(prog="python3 -m pvd_ros.node.legend", description="Publish the class legend.")
    parser.add_argument("--frame", default="velodyne", help="frame_id of the clouds; default: velodyne")
    parser.add_argument("--topic", default="/segmenter/legend", help="default: that of config/pvd.rviz")
    parser.add_argument("--taxonomy", default=SEMANTICKITTI.name, choices=TAXONOMIES, help="classes of the clouds")
    chosen = parser.parse_args(arguments)
    try:
        rclpy, _ = require_rclpy()
        check_topic_name("--topic", chosen.topic)
        with stop_on_signals() as stop, ros_context() as context:
            from visualization_msgs.msg import MarkerArray

            node = rclpy.create_node("legend", context=context, use_global_arguments=False)
            publisher = node.create_publisher(MarkerArray, chosen.topic, qos_profile(True, 1, latched=True))
            publisher.publish(legend_markers(chosen.frame, TAXONOMIES[chosen.taxonomy]))
            stop.wait()
            node.destroy_node()
    except UserError as error:
        print(f"legend: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
