"""`pvd label-bags`: many bags in, the same bags with labelled clouds out."""

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pvd_cli import options
from pvd_cli.bag_options import (
    End,
    Entropy,
    FixedFrame,
    History,
    HistoryStride,
    LabelledTopic,
    MaxSpeed,
    MaxTurnRate,
    Odometry,
    OnlyLabelled,
    Salvage,
    Start,
    Storage,
)
from pvd_cli.cloud_options import (
    FIELD_OPTIONS,
    USUAL_HEIGHT,
    IntensityField,
    IntensityScale,
    MountingHeight,
    MountingPitch,
    MountingRoll,
    MountingYaw,
    end_where_labels_are_spoilt,
)
from pvd_cli.errors import EXIT_INCOMPLETE, EXIT_USER_ERROR, interruptible, optional_packages, print_error
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted

if TYPE_CHECKING:
    from pvd_ros.fleet import BagTask, Event
    from pvd_ros.fleet.report import FleetReport


def label_bags(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER|LIST", help="Folder with bags in it, or text file with one bag a line.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the labelled bags, the report and the table of classes.")],
    weights: options.SeveralWeights = None,
    topic: Annotated[str | None, typer.Option(help="PointCloud2 topic; each bag's only one if left out.")] = None,
    labelled_topic: LabelledTopic = "",
    processes: Annotated[int, typer.Option(min=1, max=256, help="Bags side by side, here or by --ray local.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(metavar="auto|local|ADDRESS", help="Label on a Ray cluster; local: by a Ray of this machine."),
    ] = None,
    by_file: Annotated[bool, typer.Option("--by-file", help="Each file of a split bag is labelled by itself.")] = False,
    gpus_per_task: Annotated[float, typer.Option(min=0, help="With --ray: GPUs, or share of one, for each bag.")] = 0.0,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: Annotated[
        int, typer.Option(min=0, max=256, help="Threads for each bag; 0: this machine's cores shared among processes.")
    ] = 0,
    intensity_scale: IntensityScale = "auto",
    mounting_height: MountingHeight = USUAL_HEIGHT,
    mounting_roll: MountingRoll = 0.0,
    mounting_pitch: MountingPitch = 0.0,
    mounting_yaw: MountingYaw = 0.0,
    intensity_field: IntensityField = "",
    entropy: Entropy = False,
    only_labelled: OnlyLabelled = False,
    storage: Storage = "mcap",
    start: Start = None,
    end: End = None,
    salvage: Salvage = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep bags that are complete, continue the rest.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Label all anew; each bag once it is done.")] = False,
    odometry: Odometry = "",
    fixed_frame: FixedFrame = "",
    history: History = None,
    history_stride: HistoryStride = None,
    max_speed: MaxSpeed = 60.0,
    max_turn_rate: MaxTurnRate = 180.0,
) -> None:
    """Label many bags, by several processes or the machines of a Ray cluster.

    Each bag goes to its own path below --out, as `pvd label-bag` writes it, and is judged alone: bags of several
    sensors need no options of their own as long as each has one topic of clouds. Beside them are report.json, with what
    came of each bag, and classes.parquet, a row for each bag and class (without the extra `fleet`: classes.csv).

    A process that is killed costs one more try of its bag. A bag that cannot be labelled does not end the others: the
    exit code is 3 then, as where clouds were rejected or not read; 2 where no bag was labelled; 4 if clouds lie where
    no network knows them. Bags without clouds are skipped, and said. Text files may have empty lines and lines that
    begin with #.

    With --ray the machines must see bags, weights and --out at the same paths, and have pvd installed (extra `fleet`).

    \b
    Examples:
      pvd label-bags drives --out labelled --processes 4
      pvd label-bags drives --out labelled --resume
      pvd label-bags monday.txt --out labelled --weights runs/first --topic /points
      pvd label-bags drives --out labelled --weights default --weights cylinder3d-0.5x
      pvd label-bags drives --out labelled --ray auto --gpus-per-task 0.25
      pvd label-bags long_drives --out labelled --processes 8 --by-file --intensity-scale 0.00392
    """
    from pvd_cli.fleet_view import FleetProgress, print_fleet
    from pvd_cli.past_clouds import note_on_single
    from pvd_core import default_weights
    from pvd_core.borders.files import check_output_folder, held_alone
    from pvd_core.clouds.mounting import Mounting
    from pvd_core.committee import segmenter_of
    from pvd_core.weights import weights_file

    with optional_packages("ros", "reading bags"):
        from pvd_ros.bags import LabelOptions, PoseOptions
        from pvd_ros.fleet import LabelSettings, RaySettings, find_bags, label_in_processes, label_with_ray, plan_fleet
        from pvd_ros.fleet.classes import write_class_table
        from pvd_ros.fleet.ray_cluster import check_installed
        from pvd_ros.fleet.report import FleetReport
        from pvd_ros.fleet.task import digest_of
        from pvd_ros.poses import PoseLimits
    if ray is not None:
        check_installed()
        if device.startswith("cuda") and not gpus_per_task:
            raise UserError(
                f"--device {device} with --ray needs --gpus-per-task: a task sees no GPU that it does not ask for"
            )
    elif gpus_per_task:
        raise UserError("--gpus-per-task is for --ray, which shares GPUs among tasks; processes choose with --device")

    label_options = LabelOptions(
        intensity_scale=intensity_scale,
        mounting=Mounting(mounting_height, mounting_roll, mounting_pitch, mounting_yaw),
        wording=FIELD_OPTIONS,
        intensity_field=intensity_field,
        entropy=entropy,
        labelled_topic=labelled_topic,
        copy_other_topics=not only_labelled,
        storage=storage,
        start_s=start,
        end_s=end,
        salvage=salvage,
        resume=resume,
        overwrite=overwrite,
        poses=PoseOptions(
            odometry, fixed_frame, "", history, history_stride, limits=PoseLimits(max_speed, max_turn_rate)
        ),
    )
    files = tuple(weights_file(each).resolve() for each in weights or [default_weights()])
    # Loaded here too, so that weights that do not fit are refused once, and before anything starts.
    past_scans = segmenter_of(files, device="cpu").past_scans
    note_on_single(past_scans, label_options.poses, "--odometry or --fixed-frame")
    check_output_folder(out)
    threads = threads or (1 if ray else max(1, _num_cores() // processes))
    settings = LabelSettings(files, digest_of(files), label_options, topic, device, precision, threads)
    plan = plan_fleet(find_bags(source.absolute(), out), out.absolute(), settings, by_file)
    for remark in plan.remarks:
        print(f"note: {remark}", file=sys.stderr)

    def events(tasks: "list[BagTask]") -> "Generator[Event, None, None]":
        if ray is None:
            return label_in_processes(tasks, processes)
        local_cpus = processes * threads if ray == "local" else None
        return label_with_ray(tasks, RaySettings(ray, threads, gpus_per_task, local_cpus))

    results = list(plan.failed)
    with (
        held_alone(out, "labelling bags"),
        interruptible(lambda: f"{counted(len(results), 'bag')} done; the same command with --resume goes on"),
        FleetProgress(len(plan.tasks)) as progress,
        contextlib.closing(events(plan.tasks)) as news,
    ):
        for event in news:
            progress.show(event)
            results += [event.result] if event.result else []
    report = FleetReport(results, plan.remarks)
    print_fleet(report)
    print(report.counts_line())
    try:
        written = report.write(out)
        table, remark = write_class_table(out)
    except UserError as error:  # as on a full disk
        raise UserError(f"{error}; the bags are kept: the same command with --resume writes what is missing") from error
    print(f"written: {written}, {table}" if written else f"written: {table}; the report of the earlier run stays")
    if remark:
        print(f"note: {remark}", file=sys.stderr)
    _end(report)


def _end(report: "FleetReport") -> None:
    """What is wrong, and the exit code."""
    from pvd_cli.fleet_view import short_names

    labelled, failed = report.of_status("labelled"), report.of_status("failed")
    if failed:
        names = short_names([result.name for result in failed])
        print_error(f"{counted(len(failed), 'bag')} not labelled ({names}): the table says why")
    elif not labelled:
        print_error(f"none of the {counted(len(report.results), 'bag')} holds clouds to label: the table says why")
    if not labelled:
        raise typer.Exit(EXIT_USER_ERROR)
    end_where_labels_are_spoilt(report.num_spoilt, 0 if report.is_whole else EXIT_INCOMPLETE)


def _num_cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
