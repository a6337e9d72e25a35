"""Whether programs started from this terminal, such as a sensor's driver, send clouds with room for them."""

import os
from importlib import util

from pvd_cli.checks.finding import Finding


def check_transport() -> list[Finding]:
    from pvd_ros.middleware.transport import CYCLONE_VARIABLE, PROFILE_VARIABLES, shipped_settings, small_receive_buffer

    if util.find_spec("rclpy") is None:
        return []
    uses_cyclone = "cyclonedds" in os.environ.get("RMW_IMPLEMENTATION", "")
    names = (CYCLONE_VARIABLE,) if uses_cyclone else PROFILE_VARIABLES
    chosen = [f"{name}={os.environ[name]}" for name in names if os.environ.get(name)]
    if uses_cyclone and (too_small := small_receive_buffer()):
        return [Finding("large clouds", False, too_small.split(":")[0], too_small.split(": ", 1)[1])]
    if chosen:
        return [Finding("large clouds", True, ", ".join(chosen))]
    settings = " ".join(f"{name}={value}" for name, value in shipped_settings().items() if name in names)
    found = "programs of other packages started in this terminal, such as drivers, may lose clouds of some megabytes"
    return [Finding("large clouds", False, found, f"export {settings}")]
