"""What the launch files have in common: their arguments and processes. Needs launch and launch_ros."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription  # type: ignore[attr-defined]  # mypy takes the folder of launch files for it
from pvd_core.borders.shipped_config import shipped_config
from pvd_ros.middleware.launch_checks import check_names
from pvd_ros.middleware.transport import shipped_settings

# Time for the cloud in work, on a busy machine, between SIGINT and SIGTERM.
PATIENCE_S = "20"


def described(
    arguments: Mapping[str, tuple[str, str, Sequence[str]]], actions: Callable[[dict[str, str]], list[Any]]
) -> LaunchDescription:
    """What `ros2 launch` calls for. arguments: {name: (default, meaning, values allowed; none: any)}. actions: makes
    what is started of the values that were chosen, {name: value}; names that come close to one of these are refused
    before."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=meaning, choices=choices or None)
        for name, (default, meaning, choices) in arguments.items()
    ]

    def started(context: Any) -> list[Any]:
        check_names(context.argv, arguments)
        return actions({name: LaunchConfiguration(name).perform(context) for name in arguments})

    return LaunchDescription([*declared, OpaqueFunction(function=started)])


def segmenter(params_file: str, given: Mapping[str, Any], name: str = "segmenter_node", **options: Any) -> Node:
    """The segmentation node by a parameter file and what is `given` besides; launch ends with it unless `options` of
    the process say otherwise. name: in launch's log."""
    chosen = {"on_exit": when_it_ends(name)} | options
    return Node(
        package="pvd_ros",
        executable="segmenter_node",
        name="segmenter",
        exec_name=name,
        parameters=[params_file, dict(given)],
        output="screen",
        **chosen,
        **ending_with_launch(),
    )


def transport() -> list[Any]:
    """Gives all processes, RViz too, settings of the middleware with room for large clouds, unless the user chose."""
    return [SetEnvironmentVariable(name, value) for name, value in shipped_settings().items()]


def python_program(module: str, name: str, *arguments: str, on_exit: Callable[..., Any] | None = None) -> Any:
    """`python3 -m module` under `name` in launch's log."""
    return ExecuteProcess(
        cmd=["python3", "-m", module, *arguments],
        name=name,
        output="screen",
        on_exit=on_exit,
        **ending_with_launch(),
    )


def rviz(frame: str, remappings: Sequence[tuple[str, str]] = ()) -> Any:
    """RViz with the class colours. frame: its fixed frame."""
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz2",
        exec_name="rviz2",
        arguments=["-d", str(shipped_config("pvd.rviz")), "-f", frame],
        remappings=list(remappings),
        output="log",
        **ending_with_launch(),
    )


def ending_with_launch() -> dict[str, Any]:
    """Options of a process that gets time to end in order, and that does not outlive launch, however launch ends."""
    options: dict[str, Any] = {"sigterm_timeout": LaunchConfiguration("sigterm_timeout", default=PATIENCE_S)}
    if shutil.which("setpriv"):  # of util-linux
        # launch leaves its processes running when it gets a SIGTERM or is killed.
        options["prefix"] = ["setpriv --pdeathsig TERM ", LaunchConfiguration("launch-prefix", default="")]
    return options


def when_it_ends(name: str, stays: bool = False) -> Callable[[Any, Any], list[Any]]:
    """An on_exit: launch ends with the process, with exit code 1 if it failed; `stays`: only then."""

    def on_exit(event: Any, context: Any) -> list[Any]:
        if event.returncode and not context.is_shutdown:
            raise RuntimeError(f"{name} ended with exit code {event.returncode}; its message is above")
        return [] if stays else [Shutdown(reason=f"{name} has ended")]

    return on_exit
