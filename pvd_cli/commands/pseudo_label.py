"""`pvd pseudo-label`: a data set of a user's own scans with labels that a network is sure of, to learn from."""

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
    stream_for,
)
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted


def pseudo_label(
    inputs: Annotated[list[Path], typer.Argument(help=f"Bags, scans ({CLOUD_FILES}) and folders of them.")],
    out: Annotated[Path, typer.Option(help="New folder for the data set.")],
    weights: options.SeveralWeights = None,
    topic: Annotated[str | None, typer.Option(help="With the clouds, where a bag has several such.")] = None,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Of each class, the surest to learn from.")] = 0.5,
    least_confidence: Annotated[float, typer.Option(min=0, max=1, help="None that is less sure, in any class.")] = 0.7,
    votes: Annotated[int, typer.Option(min=1, max=8, help="Times each scan is labelled, flipped and rotated.")] = 4,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    max_scans: Annotated[int, typer.Option(min=2, help="Use this many scans, evenly spread.")] = 300,
    intensity_scale: IntensityScale = "auto",
    mounting_height: MountingHeight = USUAL_HEIGHT,
    mounting_roll: MountingRoll = 0.0,
    mounting_pitch: MountingPitch = 0.0,
    mounting_yaw: MountingYaw = 0.0,
    columns: options.Columns = "4",
) -> None:
    """Make a data set of your own scans, with the labels that a network is surest of.

    OUT gets SemanticKITTI's layout: sequence 00 to train on and 08, every tenth scan, to validate on. Each scan is
    labelled several times, flipped and rotated; of each class the surest points keep their label if they are sure
    enough, all others have none and are not learnt from. Scores on such labels say how well a network repeats them,
    not how good it is.

    A network that learns from them beside simulated scans, whose labels are true, comes to know your sensor and streets
    (config/self_training.yaml).

    \b
    Examples:
      pvd pseudo-label drive --topic /points --weights mine.safetensors --out own
      pvd pseudo-label drive --weights default --weights cylinder3d-0.5x --out own
      pvd distill own --config config/self_training.yaml --teacher mine.safetensors \\
          --set initial_weights=mine.safetensors --set mixing.partners=data/simulated --out runs/own
    """
    from pvd_cli.unlabelled_scans import UnlabelledScans
    from pvd_core import default_weights
    from pvd_core.clouds.mounting import Mounting
    from pvd_core.committee import segmenter_of
    from pvd_core.weights import weights_file

    with optional_packages("train", "pseudo-labels"):
        from pvd_cli.adapt_scans import are_bare_scans, check_single_scans
        from pvd_cli.pseudo_labelled import write_pseudo_labelled
        from training.adapt.pseudo_labels import SurestLabels

    scans = UnlabelledScans(inputs, topic, columns, max_scans)
    if len(scans) < 2:
        raise UserError(f"{counted(len(scans), 'scan')} found: expected some to learn from and one to validate on")
    if out.exists():
        raise UserError(f"{out} exists already; name another folder with --out")
    options.use_threads(threads)
    files = [weights_file(each) for each in weights or [default_weights()]]
    mounting = Mounting(mounting_height, mounting_roll, mounting_pitch, mounting_yaw)
    noted = NotedClouds(stream_for(files[0], intensity_scale, mounting, sequences=scans.folders))
    segmenter = segmenter_of(files, device, programs="off")
    check_single_scans(segmenter, files[0], "pvd pseudo-label")
    with interruptible(lambda: f"nothing is written to {out}"):
        are_bare_scans(scans, noted)
        surest = SurestLabels(segmenter.taxonomy, share, least_confidence)
        write_pseudo_labelled(out, scans, noted, segmenter, votes, surest, files)
    report = surest.report()
    num_points = sum(each["points"] for each in report.values())
    for name, each in report.items():
        print(
            f"{name:14} {100 * each['points'] / num_points:6.2f} % of the points, "
            f"learnt from {100 * each['learnt'] / each['points']:3.0f} % of them, by {each['least_confidence']:.2f} on"
        )
    print(f"wrote {counted(len(scans), 'scan')} to {out}")
