"""The report: real and simulated scans side by side, in Markdown, JSON and pictures."""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output_folder, written_atomically
from pvd_core.borders.wording import counted
from training.realism.charts import save_charts
from training.realism.families import CLASSES
from training.realism.gaps import MIN_SEQUENCES, Gap, gaps_between, measure_scans
from training.realism.pair import save_pair
from training.realism.pictures import save_range_images, save_views_from_above
from training.realism.points import voxel_counts
from training.realism.rays import is_missing
from training.realism.scans import MeasuredScan, ScanSample

_NUM_PICTURED = 4


def compare_scans(
    real: str | Path,
    simulated: str | Path,
    out: str | Path,
    max_scans: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    pair: Sequence[str] | None = None,
    credit: str = "",
    columns: str | int = 4,
) -> dict[str, Any]:
    """Writes report.md, report.json and PNGs to the new folder `out`; returns what report.json holds.

    real, simulated: folders in SemanticKITTI's layout; of each at most `max_scans` scans are read, evenly spread.
    `progress(done, total)` counts the scans of both. `pair`: names SS/NNNNNN of the real and the simulated scan that
    pair.png shows (default: the first scans of the other pictures); `credit`, owner and licence of the real scans, is
    written on it. `columns`: of the real .bin files, see ScanFolder. UserError: `out` is not empty, a folder or scan is
    missing, `real` has too few sequences, or the folders have nothing in common to compare.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already; a report needs a new or empty folder")
    samples = ScanSample(real, max_scans, columns), ScanSample(simulated, max_scans)
    if len(samples[0].sequences) < MIN_SEQUENCES:
        found = counted(len(samples[0].sequences), "sequence")
        raise UserError(
            f"{real} holds {found}: expected real scans (the first folder) of at least {MIN_SEQUENCES}, since how far "
            "these are from each other is the yardstick"
        )
    pictured = [sample.spread(_NUM_PICTURED) for sample in samples]
    paired = [scans[0] for scans in pictured]
    if pair:
        paired = [sample.named(name) for sample, name in zip(samples, pair, strict=True)]
    check_output_folder(out)
    total = sum(map(len, samples))

    def tell(before: int, done: int) -> None:
        if progress:
            progress(before + done, total)

    facts, measured = [], []
    for sample, before in zip(samples, (0, len(samples[0])), strict=True):
        scans = _CountedScans(sample)
        measured.append(measure_scans(scans, partial(tell, before)))
        facts.append(scans.facts())
    gaps, left_out = gaps_between(*measured)
    if not gaps:
        raise UserError(
            f"{real} and {simulated} have nothing to compare: expected labelled scans of classes that are in both"
        )
    result = {
        "real": {"folder": str(samples[0].root), **facts[0]},
        "simulated": {"folder": str(samples[1].root), **facts[1]},
        "gaps": [_gap_facts(gap) for gap in gaps],
        "left_out": left_out,
    }
    pictures = [
        save_pair(out / "pair.png", paired[0], paired[1], credit),
        *save_views_from_above(out, *pictured),
        *save_range_images(out, *pictured),
    ]
    charts = save_charts(out, gaps)
    with written_atomically(out / "report.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    with written_atomically(out / "report.md") as temporary:
        temporary.write_text(_markdown(result, pictures, charts), encoding="utf-8")
    return result


class _CountedScans:
    """Iterates over the scans of a sample and collects figures of each; in means every sequence has the same weight."""

    def __init__(self, sample: ScanSample) -> None:
        self._sample = sample
        self._by_sequence: dict[str, list[tuple[float, ...]]] = {}

    def __iter__(self) -> Iterator[MeasuredScan]:
        for scan in self._sample:
            class_shares = np.bincount(scan.class_ids, minlength=CLASSES.num_classes) / len(scan.class_ids)
            voxels = voxel_counts(scan)
            numbers = (len(scan.points), len(voxels), is_missing(scan).mean(), *class_shares)
            self._by_sequence.setdefault(scan.sequence, []).append(numbers)
            yield scan

    def facts(self) -> dict[str, Any]:
        by_sequence = np.array([np.mean(numbers, axis=0) for numbers in self._by_sequence.values()])
        scans = np.concatenate([np.array(numbers) for numbers in self._by_sequence.values()])
        named = lambda column: {  # noqa: E731
            "mean": float(by_sequence[:, column].mean()),
            "lowest": float(scans[:, column].min()),
            "highest": float(scans[:, column].max()),
        }
        return {
            "scans": len(scans),
            "sequences": list(self._by_sequence),
            "points": named(0),
            "voxels": named(1),
            "missing_rays": named(2),
            "class_shares": {name: float(by_sequence[:, 3 + i].mean()) for i, name in enumerate(CLASSES.names)},
            "scans_with_class": {name: float((scans[:, 3 + i] > 0).mean()) for i, name in enumerate(CLASSES.names)},
        }


def _gap_facts(gap: Gap) -> dict[str, Any]:
    real, simulated = gap.means
    values = {
        "distance": gap.distance,
        "floor": gap.floor,
        "excess": gap.excess,
        "wasserstein": gap.wasserstein,
        "real_mean": real,
        "simulated_mean": simulated,
    }
    return {
        "measure": gap.name,
        "family": gap.family.name,
        "subject": gap.subject,
        # Where the bins are no distribution, the unit of the family is that of the edges, not of the values.
        "unit": gap.family.unit if gap.family.is_distribution else "",
        # JSON has no NaN.
        **{name: None if math.isnan(value) else value for name, value in values.items()},
        "bins": list(gap.family.categories) or gap.family.edges.tolist(),
        "real": gap.real.tolist(),
        "simulated": gap.simulated.tolist(),
    }


def _markdown(result: dict[str, Any], pictures: Sequence[Path], charts: dict[str, Path]) -> str:
    lines = ["# Simulated scans beside real ones", ""]
    for side in ("real", "simulated"):
        facts = result[side]
        lines.append(
            f"- {side}: `{facts['folder']}`, {counted(facts['scans'], 'scan')} "
            f"of {counted(len(facts['sequences']), 'sequence')} "
            f"({', '.join(facts['sequences'])}); every sequence counts the same"
        )
    lines += [
        "",
        "## Scans",
        "",
        "| | real | lowest to highest | simulated | lowest to highest |",
        "|---|--:|--:|--:|--:|",
    ]
    for key, name, form in (
        ("points", "points", ",.0f"),
        ("voxels", "occupied voxels", ",.0f"),
        ("missing_rays", "share of missing rays", ".3f"),
    ):
        cells = [
            f"{facts['mean']:{form}} | {facts['lowest']:{form}} to {facts['highest']:{form}}"
            for facts in (result["real"][key], result["simulated"][key])
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "## Gaps, largest first", "", *_EXPLANATION, ""]
    lines += [
        "| measure | gap | real scenes | excess | moved | real mean | simulated mean |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [_gap_line(gap) for gap in result["gaps"]]
    if result["left_out"]:
        lines += ["", f"Not compared: {'; '.join(result['left_out'])}."]
    lines += ["", "## Classes", "", "| class | real % | simulated % | ratio | in real scans % | in simulated scans % |"]
    lines.append("|---|--:|--:|--:|--:|--:|")
    real, simulated = result["real"], result["simulated"]
    for name in CLASSES.names:
        ours, theirs = simulated["class_shares"][name], real["class_shares"][name]
        ratio = f"{ours / theirs:.2f}" if theirs else "-"
        seen = " | ".join(f"{100 * side['scans_with_class'][name]:.0f}" for side in (real, simulated))
        lines.append(f"| {name} | {100 * theirs:.3f} | {100 * ours:.3f} | {ratio} | {seen} |")
    lines += ["", "## Pictures", ""]
    lines += [f"![{path.stem.replace('_', ' ')}]({path.name})" + os.linesep for path in pictures]
    lines += ["## Charts", ""]
    lines += [f"![{title}]({path.name})" + os.linesep for title, path in charts.items()]
    return "\n".join(lines).rstrip() + "\n"


_EXPLANATION = (
    "`gap` is the total variation distance of the two histograms: 0 where they are the same, 1 where they do not",
    "overlap (for shares of missing rays: the mean difference). `real scenes` is the mean gap between two random",
    "halves of the real sequences: a gap below it is not known to be one. `excess` is the difference of both, by",
    "which the table is sorted. `moved` is the first Wasserstein distance, in the measure's unit.",
)


def _gap_line(gap: dict[str, Any]) -> str:
    number = lambda value: "" if value is None else f"{value:.3g}"  # noqa: E731
    unit = f" {gap['unit']}" if gap["unit"] and gap["wasserstein"] is not None else ""
    moved = number(gap["wasserstein"]) + unit if gap["wasserstein"] is not None else ""
    return (
        f"| {gap['measure']} | {gap['distance']:.3f} | {gap['floor']:.3f} | {gap['excess']:+.3f} | {moved} "
        f"| {number(gap['real_mean'])} | {number(gap['simulated_mean'])} |"
    )
