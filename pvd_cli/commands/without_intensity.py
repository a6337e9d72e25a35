"""`pvd without-intensity`: weights that also label clouds without intensity."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pvd_cli import options
from pvd_cli.errors import interruptible, optional_packages

if TYPE_CHECKING:
    import torch


def without_intensity(
    dataset: Annotated[Path, typer.Argument(help="Folder that holds `sequences`.")],
    weights: Annotated[Path, typer.Option(help="Weights to start from, or the folder of a training run.")],
    out: Annotated[Path, typer.Option(help="Weights to write (.safetensors).")],
    split: Annotated[str, typer.Option(help="train, or sequences such as 00 or 05,07.")] = "train",
    device: options.Device = "auto",
    threads: options.Threads = 0,
    max_scans: Annotated[int, typer.Option(min=2, help="Use this many scans, evenly spread.")] = 50,
    columns: options.Columns = "4",
) -> None:
    """Let weights also label clouds without intensity.

    The norms of a network divide by means and variances that were measured in training. Without intensity these are
    others, and the labels are lost. This measures them a second time, on training scans whose intensities are left out,
    and keeps both in the weights: each cloud is labelled with those that fit it. Labels of clouds with intensity stay
    as they are. Do it last: training goes on without the second ones.

    \b
    Examples:
      pvd without-intensity data/simulated --weights runs/simulated/best.safetensors --out both.safetensors
      pvd without-intensity kitti --weights runs/kitti/best.safetensors --out both.safetensors --max-scans 200
    """
    from pvd_cli.new_weights import check_new_weights, checked_scans
    from pvd_cli.progress import Steps
    from pvd_core.models.bare_statistics import estimate_bare_statistics
    from pvd_core.segmenter import Segmenter
    from pvd_core.weights import read_facts, save_weights, taxonomy_of

    with optional_packages("train", "reading data sets"):
        from training.data.checking.check import LABEL
        from training.data.dataset import usable_points
        from training.data.fused_scans import FusedScans
        from training.judge.seen import seen_data

    check_new_weights(out)
    options.use_threads(threads)
    folder = checked_scans(dataset, split, columns, max_scans, LABEL, taxonomy_of(read_facts(weights)))
    segmenter = Segmenter.from_weights(weights, device, programs="off")
    indices = folder.evenly_spaced(max_scans)

    def scans() -> Iterator["torch.Tensor"]:
        fused = FusedScans(folder, segmenter.past_scans)
        for number, index in enumerate(indices):
            (points,) = usable_points(fused.points(index))
            yield torch.from_numpy(points).to(segmenter.device)
            steps.show(number + 1, len(indices))

    import torch

    with interruptible(lambda: "nothing was written"), Steps("measuring", "scans") as steps:
        segmenter.model.bare_statistics = estimate_bare_statistics(segmenter.model, scans())
    facts = {"dataset": Path(dataset).resolve().name, "sequences": list(folder.sequences), "scans": len(indices)}
    known = {**segmenter.facts, "ancestors": seen_data(segmenter.facts)}
    save_weights(out, segmenter.model, {**known, "without_intensity": facts})
    print(f"wrote {out}; its accuracy without intensity: pvd evaluate DATASET --weights {out} --intensity-scale 0")
