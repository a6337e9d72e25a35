"""`pvd calibrate`: weights whose confidences are the shares of labels that are right."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pvd_cli import options
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.wording import counted


def calibrate(
    dataset: Annotated[Path, typer.Argument(help="Folder that holds `sequences`.")],
    out: Annotated[Path, typer.Option(help="Weights to write (.safetensors).")],
    weights: options.Weights = None,
    split: Annotated[str, typer.Option(help="valid, or sequences such as 08 or 11,12.")] = "valid",
    device: options.Device = "auto",
    threads: options.Threads = 0,
    max_scans: Annotated[int, typer.Option(min=2, help="Use this many scans, evenly spread.")] = 100,
    columns: options.Columns = "4",
) -> None:
    """Let weights say how sure they are.

    Networks are surer than they are right: of points labelled with confidence 0.9, 75 in 100 may have that class. This
    finds the temperature that class scores have to be divided by, on labelled scans that the network has not learned
    from, and keeps it in the weights. No label changes. Every other scan is for the search; the error before and after
    is that of those between; if it grew, a warning says so. Do it last: training and `pvd balance` leave the
    temperature out.

    \b
    Examples:
      pvd calibrate kitti --weights runs/kitti --out calibrated.safetensors
      pvd calibrate data/simulated --weights runs/simulated --split 08,11,12,13 --out calibrated.safetensors
      pvd calibrate mine --split 00 --out mine.safetensors
    """
    from pvd_cli.new_weights import check_new_weights, checked_scans
    from pvd_cli.progress import Steps
    from pvd_core import default_weights
    from pvd_core.segmenter import Segmenter
    from pvd_core.weights import read_facts, save_weights, taxonomy_of
    from pvd_core.weights.confidence import CONFIDENCE_KEY

    with optional_packages("train", "calibration"):
        from training.data.checking.check import SCORE
        from training.judge.calibration import calibrate as fit
        from training.judge.seen import seen_sequences

    check_new_weights(out)
    options.use_threads(threads)
    file = weights or default_weights()
    taxonomy = taxonomy_of(read_facts(file))
    folder = checked_scans(dataset, split, columns, max_scans, SCORE, taxonomy, changes_labels=False)
    segmenter = Segmenter.from_weights(file, device, programs="off")
    if seen := seen_sequences(segmenter.facts, folder):
        print(
            f"warning: {', '.join(seen)} are among what these weights learned from, where they are right more often "
            "than elsewhere: take other scans",
            file=sys.stderr,
        )
    with interruptible(lambda: "nothing was written"), Steps("labelling", "scans") as steps:
        result = fit(segmenter, folder, max_scans, steps.show)
    facts = {
        "temperature": result.temperature,
        "ece_before": round(result.ece_before, 5),
        "ece_after": round(result.ece_after, 5),
        "fitted_on": {
            "dataset": Path(dataset).resolve().name,
            "sequences": list(folder.sequences),
            "scans": result.num_scans,
            "points": result.num_points,
        },
        "checked_on": {"scans": result.num_scans_checked, "points": result.num_points_checked},
    }
    save_weights(out, segmenter.model, {**segmenter.facts, CONFIDENCE_KEY: facts})
    print(
        f"temperature {result.temperature:.4g}, fitted on {counted(result.num_points, 'point')} of "
        f"{counted(result.num_scans, 'scan')}\n"
        f"expected calibration error {100 * result.ece_before:.1f} -> {100 * result.ece_after:.1f} % on "
        f"{counted(result.num_points_checked, 'point')} of {counted(result.num_scans_checked, 'other scan')}"
    )
    print(f"wrote {out}")
    if result.ece_after > result.ece_before:
        print(
            "warning: confidences of the other scans became less true: the scans are too few or too unlike one another "
            f"for one temperature; leave {out} alone and calibrate on more scans",
            file=sys.stderr,
        )
