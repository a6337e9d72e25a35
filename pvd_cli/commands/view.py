"""`pvd view`: scans, labels, predictions and errors, in a window or as pictures."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pvd_cli import options
from pvd_cli.cloud_options import (
    CLOUD_FILES,
    USUAL_HEIGHT,
    IntensityScale,
    MountingHeight,
    MountingPitch,
    MountingRoll,
    MountingYaw,
    NotedClouds,
    end_where_labels_are_spoilt,
    stream_for,
)
from pvd_cli.errors import optional_packages
from pvd_core.borders.errors import UserError


def view(
    scans: Annotated[list[Path], typer.Argument(metavar="SCAN...", help=f"Scans ({CLOUD_FILES}) and folders.")],
    weights: Annotated[
        list[Path] | None,
        typer.Option(help="Weights, or the folder of a training run; may be repeated, to compare networks."),
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture a scan into this folder; no window.")] = None,
    gif: Annotated[
        Path | None, typer.Option(help="Write the scans, in the first network's labels, as an animation to this file.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Scans a second of the animation.", min=0.1, max=50)] = 10.0,
    affinity: Annotated[
        Path | None, typer.Option(help="Write the affinity maps of the networks as a picture to this file; no window.")
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="In pictures only the truth and where each network is wrong.")
    ] = False,
    class_: Annotated[str | None, typer.Option("--class", help="Show this class alone.")] = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = 0,
    intensity_scale: IntensityScale = "auto",
    mounting_height: MountingHeight = USUAL_HEIGHT,
    mounting_roll: MountingRoll = 0.0,
    mounting_pitch: MountingPitch = 0.0,
    mounting_yaw: MountingYaw = 0.0,
    columns: options.Columns = "4",
) -> None:
    """Look at scans: the input, the truth, what networks predict and where they are wrong.

    Opens a window; on a machine without a display, --png writes the same layers side by side. The exit code is 4 if
    scans lie where no network knows them, such as in millimetres.

    In the window: N and B next scan and back, L and K layers, C and V one class at a time, A all, P picture, Q quit.

    \b
    Examples:
      pvd view data/drive/sequences/08/velodyne
      pvd view kitti/sequences/08/velodyne --weights student.safetensors --weights student_pvd.safetensors
      pvd view scan.bin --weights runs/first --png pictures --class car
      pvd view scan.bin --weights runs/student --weights runs/pvd --errors --png pictures
      pvd view data/drive/sequences/08/velodyne --gif drive.gif
      pvd view scan.bin --weights runs/teacher --weights runs/student --weights runs/pvd --affinity affinity.png
    """
    from pvd_cli.view.networks import common_taxonomy, named_weights
    from pvd_cli.view.scans import ViewedScans
    from pvd_core import default_weights
    from pvd_core.borders.files import check_output, check_output_folder
    from pvd_core.clouds import find_clouds
    from pvd_core.clouds.exported import sequences_of
    from pvd_core.clouds.history import single_remark
    from pvd_core.clouds.mounting import Mounting
    from pvd_core.segmenter import Segmenter

    with optional_packages("view", "viewing"):
        from pvd_cli.view.sheet import save_sheet
        from pvd_cli.view.state import ViewState

    files = named_weights(weights or [default_weights()])
    taxonomy = common_taxonomy(files)
    if class_ is not None:
        taxonomy.id_of(class_)
    mounting = Mounting(mounting_height, mounting_roll, mounting_pitch, mounting_yaw)
    for output in filter(None, (affinity, gif)):
        check_output(output)
    if gif is not None and gif.suffix.lower() != ".gif":
        raise UserError(f"--gif {gif}: expected a name that ends in .gif: --gif {gif.with_suffix('.gif')}")
    if png is not None:
        if png.suffix.lower() in (".png", ".jpg", ".jpeg") and not png.is_dir():
            raise UserError(
                f"--png {png} is named like a picture; expected a folder, which gets a picture NAME.png of each scan: "
                f"--png {png.with_suffix('')}"
            )
        check_output_folder(png)
    if errors and png is None:
        raise UserError("--errors is for pictures: name their folder with --png; in the window, L shows the errors")
    clouds = find_clouds(scans)
    first = next(iter(files.values()))  # of several weights, the first say how bright clouds are
    noted = NotedClouds(stream_for(first, intensity_scale, mounting, sequences=sequences_of(clouds)))
    options.use_threads(threads)
    networks = {name: Segmenter.from_weights(path, device, precision) for name, path in files.items()}
    for name, network in networks.items():
        if remark := single_remark(network.past_scans):
            print(f"note: {name}: {remark}", file=sys.stderr)
    viewed = ViewedScans(clouds, networks, noted, columns)
    if gif is not None:
        from pvd_cli.view.drive import save_drive

        print(f"wrote {save_drive(gif, viewed, class_, rate)}")
    if affinity is not None:
        from pvd_cli.view.affinity import save_affinity

        print(f"wrote {save_affinity(affinity, viewed.scan(0), networks)}")
    if png is not None:
        for number in range(len(viewed)):
            print(f"wrote {save_sheet(png, viewed.scan(number), class_, errors)}", flush=True)
    if png is None and affinity is None and gif is None:
        with optional_packages("view", "a window"):
            from pvd_cli.view.window import show
        show(ViewState(viewed, class_), lambda state: save_sheet(Path(), state.scan, state.class_name))
    end_where_labels_are_spoilt(noted.num_spoilt)
