"""`pvd evaluate`: IoU of weights on labelled scans."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pvd_cli import options
from pvd_cli.cloud_options import (
    USUAL_HEIGHT,
    IntensityScale,
    MountingHeight,
    MountingPitch,
    MountingRoll,
    MountingYaw,
    end_where_labels_are_spoilt,
    stream_for,
)
from pvd_cli.comma_lists import names_in, scans_in
from pvd_cli.dataset_checks import check_scans
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.wording import counted


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder that holds `sequences`.")],
    weights: options.SeveralWeights = None,
    split: Annotated[str, typer.Option(help="valid, train, or sequences such as 08 or 05,07.")] = "valid",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the result to this file, in place of an earlier one.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Verify that the folder is this benchmark, such as real-33; --split is its.")
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = 0,
    intensity_scale: IntensityScale = "auto",
    mounting_height: MountingHeight = USUAL_HEIGHT,
    mounting_roll: MountingRoll = 0.0,
    mounting_pitch: MountingPitch = 0.0,
    mounting_yaw: MountingYaw = 0.0,
    votes: options.Votes = 1,
    by_distance: Annotated[bool, typer.Option("--by-distance", help="Also the IoU of each distance band.")] = False,
    confusions: Annotated[bool, typer.Option("--confusions", help="Also what each class is taken for.")] = False,
    max_scans: Annotated[int | None, typer.Option(min=1, help="Use this many scans, evenly spread.")] = None,
    columns: options.Columns = "4",
    taxonomy: Annotated[
        str | None, typer.Option(help="Refuse weights of other classes: semantickitti or semantickitti-multiscan.")
    ] = None,
) -> None:
    """Score weights on labelled scans.

    Prints the IoU of each class by the official SemanticKITTI protocol, on the labels that the node would publish, and
    the expected calibration error of their confidences (15 bins of equal width; the JSON has each of them). The
    classes are those of the weights; --taxonomy makes sure that they are these. Weights that were trained with past
    scans behind each need the poses.txt and calib.txt of the sequences; a scan's own points alone count. The exit code
    is 4 if scans lie where no network knows them, such as in millimetres.

    \b
    Examples:
      pvd evaluate data/drive
      pvd evaluate data/drive --weights runs/first/best.safetensors --split valid --json result.json
      pvd evaluate kitti --split 00,05 --max-scans 100
      pvd evaluate data/simulated --benchmark simulated --split test
      pvd evaluate kitti --weights default --weights cylinder3d-0.5x
      pvd evaluate kitti --votes 4 --by-distance --confusions --json result.json
    """
    from pvd_cli.progress import Steps
    from pvd_cli.tables import print_calibration, print_confusions, print_iou, print_iou_by_distance
    from pvd_core import default_weights
    from pvd_core.borders.files import check_output, written_atomically
    from pvd_core.clouds.mounting import Mounting

    with optional_packages("train", "evaluation"):
        from training.data.benchmarks import benchmark_named, check
        from training.data.checking.check import SCORE
        from training.data.scan_list import chosen_sequences
        from training.judge.classes import taxonomy_in
        from training.judge.evaluate import evaluate as score_dataset

    mounting = Mounting(mounting_height, mounting_roll, mounting_pitch, mounting_yaw)
    files = weights or [default_weights()]
    stream = stream_for(files[0], intensity_scale, mounting)
    classes = taxonomy_in(files[0], taxonomy)
    options.use_threads(threads)
    if json_file is not None:
        check_output(json_file)
    choice: str | Sequence[str] = scans_in(split)
    title = str(dataset)
    if benchmark is not None:
        chosen = benchmark_named(benchmark)
        splits = names_in(split)
        choice = chosen.sequences(splits)
        check(chosen, dataset, splits)
        title = f"benchmark {chosen.title}, {split}"
    with interruptible(lambda: "nothing was written"):
        if choice != "test":  # which the evaluation refuses
            check_scans(dataset, SCORE, choice, columns, max_scans, classes, are_judged_later=True)
            names, _ = chosen_sequences(dataset, choice)
            folders = [dataset / "sequences" / name for name in names]
            stream = stream_for(files[0], intensity_scale, mounting, sequences=folders)
    with interruptible(lambda: "nothing was written"), Steps("evaluating", "scans") as steps:
        result = score_dataset(
            dataset,
            files,
            split=choice,
            device=device,
            precision=precision,
            progress=steps.show,
            max_scans=max_scans,
            votes=votes,
            by_distance=by_distance,
            columns=columns,
            stream=stream,
            taxonomy=taxonomy,
        )
    if benchmark is not None:
        result["benchmark"] = title
    sequences = ", ".join(result["sequences"])
    print_iou(result, classes, f"{title}, sequences {sequences}, {counted(result['num_scans'], 'scan')}")
    print_calibration(result["calibration"])
    for remark in result["remarks"]:
        print(f"note: {remark}", file=sys.stderr)
    print(result["trained_on"])
    if seen := result["seen_in_training"]:
        print(f"note: {', '.join(seen)} of {dataset} among them: this is no score on unseen scans", file=sys.stderr)
    if by_distance:
        print_iou_by_distance(result["by_distance"], "By distance from the sensor")
    if confusions:
        print_confusions(result["labels_by_truth"], "Confusions")
    if json_file is not None:
        with written_atomically(json_file) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
        print(f"wrote {json_file}")
    end_where_labels_are_spoilt(stream.num_spoilt)
