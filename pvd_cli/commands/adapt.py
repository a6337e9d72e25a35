"""`pvd adapt`: weights fitted to the user's own sensor, without labels."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from pvd_cli.errors import EXIT_SPOILT, interruptible, optional_packages, print_error
from pvd_core.borders.errors import UserError

if TYPE_CHECKING:
    from pvd_cli.unlabelled_scans import UnlabelledScans


def _known_norms(norms: str) -> str:
    if norms not in ("points", "all"):
        raise typer.BadParameter(f"{norms!r}: expected points or all")
    return norms


def adapt(
    inputs: Annotated[list[Path], typer.Argument(help=f"Bags, scans ({CLOUD_FILES}) and folders of them.")],
    out: Annotated[Path, typer.Option(help="Weights to write (.safetensors); the report goes to NAME_report beside.")],
    weights: options.Weights = None,
    topic: Annotated[str | None, typer.Option(help="With the clouds, where a bag has several such.")] = None,
    norms: Annotated[
        str, typer.Option(help="points: of the branch of points, where there is one; all.", callback=_known_norms)
    ] = "points",
    strength: Annotated[
        float | None, typer.Option(min=0, max=1, help="0 keeps, 1 replaces; without it as far as most labels stay.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Folder with the .label files of some of the scans: is it better?")
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    max_scans: Annotated[int, typer.Option(min=1, help="Use this many scans, evenly spread.")] = 100,
    intensity_scale: IntensityScale = "auto",
    mounting_height: MountingHeight = USUAL_HEIGHT,
    mounting_roll: MountingRoll = 0.0,
    mounting_pitch: MountingPitch = 0.0,
    mounting_yaw: MountingYaw = 0.0,
    columns: options.Columns = "4",
) -> None:
    """Fit weights to your own sensor, without labels.

    The norms of a network divide by means and variances that were measured in training. This measures them on your
    scans and moves them there, as far as 70 % of the points keep their label. Nothing is learned, so it takes minutes.

    It may help or harm, and without labels nobody can tell: the report beside the new weights says which classes are
    found more or less often, and has pictures of three scans before and after. With --labels, a folder as `pvd
    predict --out` or the `labels` of SemanticKITTI, it also says the IoU before and after. If that falls, nothing is
    written but the report, and the exit code is 4; it is 4 too where most labels change.

    \b
    Examples:
      pvd adapt drive --topic /points --out mine.safetensors
      pvd adapt scans/ --weights runs/simulated --out mine.safetensors --max-scans 200
      pvd adapt scans/ --out mine.safetensors --labels scans/labelled
    """
    from pvd_cli.new_weights import check_new_weights
    from pvd_cli.unlabelled_scans import UnlabelledScans
    from pvd_core import default_weights
    from pvd_core.borders.files import check_output_folder
    from pvd_core.clouds.mounting import Mounting
    from pvd_core.segmenter import Segmenter
    from pvd_core.weights import save_weights, weights_file

    with optional_packages("view", "pictures of the report"):
        from pvd_cli.adapt_report import print_changes, write_report
    with optional_packages("train", "adapting"):
        from pvd_cli.adapt_scans import (
            are_bare_scans,
            check_single_scans,
            compare,
            measured,
            sampled,
            truth_in,
        )
        from training.adapt.comparison import LEAST_AGREEMENT, Comparison
        from training.adapt.norms import measured_norms, take_statistics
        from training.adapt.strength import carefully_moved
        from training.judge.seen import seen_data

    scans = UnlabelledScans(inputs, topic, columns, max_scans)
    check_new_weights(out)
    folder = out.with_name(f"{out.stem}_report")
    # A report without its weights is of an attempt that wrote none, and is replaced.
    is_of_attempt = (folder / "report.json").is_file()
    if folder.exists() and not is_of_attempt and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already, where the report would go; name another file with --out")
    check_output_folder(folder)
    if labels is not None and not labels.is_dir():
        raise UserError(f"--labels {labels}: no such folder")
    options.use_threads(threads)
    file = weights_file(weights or default_weights())
    mounting = Mounting(mounting_height, mounting_roll, mounting_pitch, mounting_yaw)
    noted = NotedClouds(stream_for(file, intensity_scale, mounting, sequences=scans.folders))
    _note_held_out(scans)
    segmenter = Segmenter.from_weights(file, device, programs="off")
    check_single_scans(segmenter, file, "pvd adapt")
    truth_of = truth_in(labels, segmenter.taxonomy)
    if labels is not None and all(truth_of(scan) is None for scan in scans):
        raise UserError(
            f"no label in {labels} fits one of the scans: expected {next(iter(scans)).label_path} and the like"
        )
    with interruptible(lambda: "no weights were written"):
        are_bare = are_bare_scans(scans, noted)
        batches = measured(scans, noted, segmenter.device)
        found = measured_norms(segmenter.model, batches, len(scans), norms, are_bare)
        if strength is None:
            adapted = carefully_moved(found, sampled(scans, noted), segmenter.device)
        else:
            adapted = found.moved(strength)
        comparison = Comparison(adapted.before, adapted.after, segmenter.facts, segmenter.device)
        changed = compare(scans, noted, comparison, truth_of)
        report = {"weights": str(file), **adapted.facts, **comparison.report()}
        write_report(folder, report, changed, comparison.taxonomy)
        print_changes(report)
        if report["truth"] and report["truth"]["is_worse"]:
            print_error(f"by the labels this is worse: no weights were written; the report is in {folder}")
            raise typer.Exit(EXIT_SPOILT)
        take_statistics(segmenter.model, adapted)
        seen = [{"dataset": name, "sequences": sequences} for name, sequences in scans.sequences.items()]
        ancestors = [*seen_data(segmenter.facts), *(each for each in seen if each not in seen_data(segmenter.facts))]
        earlier = segmenter.facts.get("adapted")
        history = [*(earlier if isinstance(earlier, list) else []), adapted.facts]
        save_weights(out, segmenter.model, {**segmenter.facts, "ancestors": ancestors, "adapted": history})
    print(f"wrote {out}, and what changed into {folder}")
    if report["agreement"] < LEAST_AGREEMENT:
        print_error(
            f"only {100 * report['agreement']:.0f} % of the labels stayed, at least {100 * LEAST_AGREEMENT:.0f} are "
            "expected: look at the pictures before you use these weights; try a smaller --strength"
        )
        raise typer.Exit(EXIT_SPOILT)


def _note_held_out(scans: "UnlabelledScans") -> None:
    from training.data.dataset import SPLITS

    for dataset, sequences in scans.sequences.items():
        if held_out := sorted(set(sequences) & {*SPLITS["valid"], *SPLITS["test"]}):
            print(
                f"note: {', '.join(held_out)} of {dataset} are not for training: weights that are adapted to them "
                "cannot be scored on them as on unseen scans",
                file=sys.stderr,
            )
