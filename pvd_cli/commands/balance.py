"""`pvd balance`: class scores shifted so that the mean IoU is highest."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli import options
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.wording import counted


def balance(
    dataset: Annotated[Path, typer.Argument(help="Folder that holds `sequences`.")],
    weights: Annotated[Path, typer.Option(help="Weights to start from, or the folder of a training run.")],
    out: Annotated[Path, typer.Option(help="Weights to write (.safetensors).")],
    split: Annotated[str, typer.Option(help="train, or sequences such as 00 or 05,07.")] = "train",
    device: options.Device = "auto",
    threads: options.Threads = 0,
    max_scans: Annotated[int, typer.Option(min=1, help="Use this many scans, evenly spread.")] = 100,
    columns: options.Columns = "4",
) -> None:
    """Shift the class scores of weights so that their mean IoU on training scans is highest.

    With a loss that gives rare classes more weight, a network learns them but predicts them too often. A number added
    to the score of each class corrects that. Choose it on training scans, and score the result on others with
    `pvd evaluate`.

    \b
    Examples:
      pvd balance data/simulated --weights runs/simulated/last.safetensors --out balanced.safetensors
      pvd balance kitti --weights runs/kitti --out balanced.safetensors --max-scans 500
    """
    from pvd_cli.new_weights import check_new_weights, checked_scans
    from pvd_cli.progress import Steps
    from pvd_core.segmenter import Segmenter
    from pvd_core.weights import read_facts, save_weights, taxonomy_of
    from pvd_core.weights.confidence import CONFIDENCE_KEY

    with optional_packages("train", "balancing"):
        from training.data.checking.check import SCORE
        from training.judge.balance import balance_classes
        from training.judge.seen import seen_data

    check_new_weights(out)
    options.use_threads(threads)
    taxonomy = taxonomy_of(read_facts(weights))
    folder = checked_scans(dataset, split, columns, max_scans, SCORE, taxonomy)
    segmenter = Segmenter.from_weights(weights, device, backend="reference", programs="off")
    with interruptible(lambda: "nothing was written"), Steps("labelling", "scans") as steps:
        result = balance_classes(segmenter, folder, max_scans, steps.show)
    shifts = {name: float(shift) for name, shift in zip(taxonomy.names, result.shift_C, strict=True) if shift}
    facts = {"dataset": Path(dataset).resolve().name, "sequences": list(folder.sequences), "shifts": shifts}
    # A temperature fits the scores that it was found for.
    known = {name: value for name, value in segmenter.facts.items() if name != CONFIDENCE_KEY}
    save_weights(out, segmenter.model, {**known, "ancestors": seen_data(segmenter.facts), "balance": facts})
    for name, shift in shifts.items():
        print(f"{name:>14} {shift:+.2f}")
    print(
        f"mean IoU {100 * result.miou_before:.1f} -> {100 * result.miou_after:.1f} % on the scans it was chosen on "
        f"({counted(min(max_scans, len(folder)), 'scan')}); on others: pvd evaluate --weights {out}"
    )
    print(f"wrote {out}")
