"""`segmenter_node` with a fault: its report, which a timer calls once a second, raises."""

from unittest import mock

from pvd_ros.node import command
from pvd_ros.node.segmenter_node import SegmenterNode


def main():
    with mock.patch.object(SegmenterNode, "_report", side_effect=ZeroDivisionError("broken on purpose")):
        return command.main()
