"""The node as a process with tiny weights, for the tests."""

from ros_weights import tiny_weights


def start_node(ros, *parameters, arguments=(), ready="labelling"):
    """A node that labels /lidar on the CPU. arguments: more of its command line than parameters NAME:=VALUE."""
    parameters = [f"weights:={tiny_weights(ros.folder)}", "device:=cpu", "points_in:=/lidar", *parameters]
    words = [word for parameter in parameters for word in ("-p", parameter)]
    return ros.fork("pvd_ros.node", "--ros-args", *words, *arguments, ready=ready)
