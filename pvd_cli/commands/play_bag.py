"""`pvd play-bag`: the clouds of a bag into ROS 2."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.errors import EXIT_INCOMPLETE, optional_packages


def play_bag(
    bag: Annotated[Path, typer.Argument(metavar="IN", help="rosbag2 folder, .mcap or .db3 file, or .bag of ROS 1.")],
    topic: Annotated[str | None, typer.Option(help="PointCloud2 topic; the bag's only one if left out.")] = None,
    rate: Annotated[float, typer.Option(help="2 plays twice as fast.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end, until Ctrl-C.")] = False,
    publish_as: Annotated[str | None, typer.Option(help="Topic to publish on; that of the bag if left out.")] = None,
    keep_stamps: Annotated[bool, typer.Option("--keep-stamps", help="Leave stamps as recorded; else now.")] = False,
    reliable: Annotated[bool, typer.Option("--reliable", help="Reliable delivery; else best effort.")] = False,
    salvage: Annotated[bool, typer.Option("--salvage", help="Play what is whole of a damaged or cut bag.")] = False,
    also: Annotated[
        list[str] | None, typer.Option(help="Play this topic too, such as odometry; may be repeated.")
    ] = None,
    wait_for: Annotated[int, typer.Option(min=0, help="Start when this many subscribers are there.")] = 0,
) -> None:
    """Play the clouds of a bag into ROS 2.

    At the pace of the recording. Needs rclpy: a sourced ROS 2, or its wheels.

    Header stamps become the time of publishing, so that latencies can be measured against them; with --also they keep
    their distances, so that poses fit the clouds. The exit code is 3 if
    clouds could not be read.

    \b
    Examples:
      pvd play-bag drive --topic /velodyne_points
      pvd play-bag drive.mcap --topic /points --rate 0.5 --loop
      pvd play-bag drive --also /odom
    """
    from pvd_cli.progress import Steps

    with optional_packages("ros", "playing bags"):
        from pvd_ros.middleware.ros_session import stop_on_signals
        from pvd_ros.play import play_bag as play

    with stop_on_signals() as stop, Steps("playing", "clouds") as steps:
        report = play(
            bag,
            topic,
            rate,
            loop,
            publish_as=publish_as,
            also=also or (),
            restamp=not keep_stamps,
            reliable=reliable,
            salvage=salvage,
            wait_for_subscribers=wait_for,
            stop=stop,
            progress=lambda report: steps.show((report.clouds - 1) % report.total + 1, report.total),
        )
    print(report.text())
    if report.not_read:
        raise typer.Exit(EXIT_INCOMPLETE)
