"""`segmenter_node` that gets SIGTERM while it loads its network."""

import signal
from unittest import mock

from pvd_core.segmenter import Segmenter
from pvd_ros.node import command


def main():
    def loaded(*_, **__):
        signal.raise_signal(signal.SIGTERM)
        return mock.Mock(warm_up=mock.Mock(side_effect=AssertionError("goes on loading")))

    with mock.patch.object(Segmenter, "from_weights", loaded):
        return command.main()
