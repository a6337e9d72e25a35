"""What `pvd adapt` does with its scans: checks them, hands them to the network, compares the labels."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from pvd_cli.adapt_report import ChangedScan
from pvd_cli.cloud_options import NotedClouds
from pvd_cli.label_files import read_labels
from pvd_cli.progress import Steps
from pvd_cli.unlabelled_scans import UnlabelledScan, UnlabelledScans
from pvd_core.borders.errors import UserError, naming_scan
from pvd_core.borders.wording import counted
from pvd_core.clouds.bare import is_bare
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.committee import AnySegmenter
from pvd_core.taxonomy import Taxonomy
from training.adapt.comparison import Comparison
from training.adapt.same_sensor import check_one_sensor, facts_of, remarks_on

_NUM_PICTURES, _NUM_SAMPLED = 3, 5


def check_single_scans(segmenter: AnySegmenter, weights: Path, command: str) -> None:
    """UserError where the network in a weights file expects past scans, which `command` does not put there."""
    if segmenter.past_scans.past:
        raise UserError(f"{weights} expects past scans behind each, which `{command}` does not put there; take others")


def are_bare_scans(scans: UnlabelledScans, noted: NotedClouds) -> bool:
    """Whether the scans have no intensity. UserError where they are not of one sensor, or where labels of them would be
    worthless. Decides an automatic intensity scale."""
    facts = []
    with Steps("reading", "scans") as steps:
        for scan in scans:
            noted.look_at(Path(scan.name), scan.points)
            facts.append(facts_of(scan.name, scan.points))
            steps.show(len(facts), len(scans))
    check_one_sensor(facts)
    if noted.num_spoilt:
        raise UserError(
            f"{counted(noted.num_spoilt, 'scan')} of {len(scans)} lie where no network knows them, as the notes say: "
            "mend that first; nothing was written"
        )
    for remark in remarks_on(facts):
        print(f"note: {remark}", file=sys.stderr)
    return facts[0].is_bare


def measured(scans: UnlabelledScans, noted: NotedClouds, device: torch.device) -> Iterator[torch.Tensor]:
    """Each scan's measured points as a network gets them, float32 (P, 4), on the device."""
    with Steps("measuring", "scans") as steps:
        for number, scan in enumerate(scans, start=1):
            points = in_frame(scan, noted)
            yield torch.from_numpy(measured_points(points, is_measured(points))).to(device)
            steps.show(number, len(scans))


def sampled(scans: UnlabelledScans, noted: NotedClouds) -> list[np.ndarray]:
    """A few of the scans as a network gets them, float32 (N, 4)."""
    step = max(1, len(scans) // _NUM_SAMPLED)
    return [in_frame(scan, noted) for scan in scans.numbered(range(0, len(scans), step)[:_NUM_SAMPLED])]


def compare(
    scans: UnlabelledScans,
    noted: NotedClouds,
    comparison: Comparison,
    truth_of: Callable[[UnlabelledScan], np.ndarray | None],
) -> list[ChangedScan]:
    """Labels all scans by both networks; some of them, for pictures."""
    step = max(1, len(scans) // _NUM_PICTURES)
    pictured = set(range(0, len(scans), step)[:_NUM_PICTURES])
    found = []
    with Steps("comparing", "scans") as steps:
        for number, scan in enumerate(scans):
            points, truth = in_frame(scan, noted), truth_of(scan)
            with naming_scan(scan.name):
                before, after = comparison.add(points, truth)
            if number in pictured:
                panels = {"before": before, "after": after} | ({} if truth is None else {"truth": truth})
                found.append(ChangedScan(f"scan_{number + 1:04d}", scan.name, points, panels))
            steps.show(number + 1, len(scans))
    return found


def truth_in(folder: Path | None, taxonomy: Taxonomy) -> Callable[[UnlabelledScan], np.ndarray | None]:
    """Finds the class ids (N,) of a scan in a folder of .label files; None where there is no such file. UserError for a
    file that does not fit its scan."""

    def truth_of(scan: UnlabelledScan) -> np.ndarray | None:
        if folder is None:
            return None
        places = (scan.label_path, Path(*("predictions" if p == "labels" else p for p in scan.label_path.parts)))
        path = next((folder / place for place in (*places, scan.label_path.name) if (folder / place).is_file()), None)
        if path is None:
            return None
        found = read_labels(path, taxonomy)
        if len(found) != len(scan.points):
            raise UserError(f"{path} has {len(found)} labels, {scan.name} {len(scan.points)} points: expected as many")
        return found

    return truth_of


def in_frame(scan: UnlabelledScan, noted: NotedClouds) -> np.ndarray:
    """float32 (N, 4), scaled and mounted; intensities that are all the same become 0, as in labelling."""
    points = noted.in_frame(scan.points)
    if is_bare(measured_points(points, is_measured(points))):
        points = points.copy()
        points[:, 3] = 0
    return points
