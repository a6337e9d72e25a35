"""`segmenter_node` with a fault: FAILING_METHOD of SegmenterNode raises."""

import os
from unittest import mock

from pvd_ros.node import command
from pvd_ros.node.segmenter_node import SegmenterNode


def main():
    with mock.patch.object(SegmenterNode, os.environ["FAILING_METHOD"], side_effect=ZeroDivisionError("on purpose")):
        return command.main()
