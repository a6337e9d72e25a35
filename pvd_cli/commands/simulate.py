"""`pvd simulate`: labelled drives from the simulator, as a data set and as a bag."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.comma_lists import names_in
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.errors import UserError, unknown_name
from pvd_core.borders.wording import counted


def simulate(
    out: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    scans: Annotated[int, typer.Option(min=1, max=999_999, help="Scans in each sequence.")] = 100,
    valid_scans: Annotated[
        int | None, typer.Option(min=1, max=999_999, help="Scans in sequence 08; --scans if left out.")
    ] = None,
    sequences: Annotated[
        str, typer.Option(help="Sequences, such as 00,01,08; all eleven if left out, 08 alone with --bag.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another world.")] = 0,
    interval: Annotated[float, typer.Option(help="Seconds between scans; 0.1 is a sensor at 10 Hz.")] = 0.1,
    sensor: Annotated[
        str,
        typer.Option(help="hdl64e, vlp16, vlp32c, os1-64, os1-128, pandar64 or xt32; all but the first give 0..255."),
    ] = "hdl64e",
    world: Annotated[
        str,
        typer.Option(
            help="residential, city, country, highway, parking (a car park), rush-hour or full-highway (lanes full of "
            "vehicles), or mixed: all kinds of streets."
        ),
    ] = "mixed",
    height: Annotated[float | None, typer.Option(help="Metres of the sensor above the road; 1.73 if left out.")] = None,
    tilt: Annotated[float, typer.Option(help="Degrees that the sensor looks down.")] = 0.0,
    jitter: Annotated[
        bool, typer.Option("--jitter", help="Vary height and tilt a little from drive to drive.")
    ] = False,
    rolling: Annotated[
        bool, typer.Option("--rolling", help="Leave points as measured on the move, not carried into one frame.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as cores if left out.")] = None,
    bag: Annotated[
        Path | None, typer.Option(help="Also write the sequence as a rosbag2 (MCAP) of PointCloud2.")
    ] = None,
    topic: Annotated[str, typer.Option(help="Topic in the bag.")] = "/velodyne_points",
) -> None:
    """Simulate labelled drives, as a data set and as a bag.

    Streets with all 19 classes (fewer in a --world of one kind), scanned by a spinning LiDAR, in SemanticKITTI's
    format.

    Sequence 08 is for validation, the others for training; no two share a street. The same settings give the same
    bytes. An interrupted simulation continues when the command is repeated.

    \b
    Examples:
      pvd simulate data/drive --scans 200
      pvd simulate data/sparse --scans 40 --interval 1.0 --seed 7
      pvd simulate data/car_parks --world parking --scans 20 --interval 1.0
      pvd simulate data/low --sensor vlp32c --height 1.2 --tilt 2 --jitter
      pvd simulate data/short --scans 120 --bag data/short_bag --topic /velodyne_points
    """
    from pvd_cli.progress import Steps
    from pvd_core.borders.files import check_output_folder

    with optional_packages("sim", "the simulator"):
        from training.simulate.dataset import TRAIN_SEQUENCES, VALID_SEQUENCES, write_dataset
        from training.simulate.parallel import num_cores
    names = names_in(sequences)
    if not names:
        names = list(VALID_SEQUENCES) if bag else [*TRAIN_SEQUENCES, *VALID_SEQUENCES]
    known = (*TRAIN_SEQUENCES, *VALID_SEQUENCES)
    for name in names:
        if name not in known:
            raise unknown_name("sequence", name, known)
    if bag is not None:
        if len(names) != 1:
            raise UserError(f"--bag holds one drive, {len(names)} sequences asked for; name one with --sequences")
        if bag.exists():
            raise UserError(f"{bag} exists already; name another --bag")
        with optional_packages("ros", "--bag"):
            from pvd_ros.bags.topic_names import check_bag_topic
        check_output_folder(bag)
        check_bag_topic("--topic", topic)
    with (
        interruptible(lambda: f"the scans so far are kept in {out}; repeat the command to go on"),
        Steps("simulating", "scans") as steps,
    ):
        write_dataset(
            out,
            train_sequences=[name for name in names if name not in VALID_SEQUENCES],
            valid_sequences=[name for name in names if name in VALID_SEQUENCES],
            num_scans=scans,
            num_valid_scans=valid_scans,
            seed=seed,
            scan_interval_s=interval,
            sensor=sensor,
            num_workers=workers or num_cores(),
            height_m=height,
            tilt_deg=tilt,
            jitter=jitter,
            is_rolling=rolling,
            world=world,
            progress=lambda done, total, _path: steps.show(done, total),
        )
    print(f"wrote sequences {', '.join(sorted(names))} to {out}")
    if bag is not None:
        from pvd_cli.bags import write_sequence_bag

        num_clouds = write_sequence_bag(out / "sequences" / names[0], bag, topic)
        print(f"wrote {counted(num_clouds, 'cloud')} on {topic} to {bag}")
