"""What `pvd doctor` looks at: functions that each return a list of findings."""

from pvd_cli.checks.finding import Finding
from pvd_cli.checks.hardware import check_disk, check_gpu, check_python, check_torch
from pvd_cli.checks.packages import check_packages, check_ros, check_simulator, check_window
from pvd_cli.checks.transport import check_transport
from pvd_cli.checks.weights import check_weights

CHECKS = (
    check_python,
    check_torch,
    check_gpu,
    check_weights,
    check_ros,
    check_transport,
    check_simulator,
    check_window,
    check_packages,
    check_disk,
)

__all__ = ["CHECKS", "Finding"]
