"""`pvd dataset instances`: cuts the objects of hard classes out of a data set, and says what was cut."""

from pathlib import Path
from typing import TYPE_CHECKING

from pvd_core.borders.wording import counted

if TYPE_CHECKING:
    from training.data.instances.cut import SequenceCounts

_COLUMNS = ("sequence", "scans", "objects", "seen once", "cut out", "points", "no id", "shared id")


def cut_out(folder: Path, out: Path, columns: str, sequences: list[str], classes: list[str], taxonomy: str) -> None:
    """Cuts objects of `classes` ([]: the hard ones of M2SKD) out of the scans of `sequences` ([]: the training split)
    into the folder `out`, and prints a row for each sequence."""
    from pvd_cli.progress import Steps
    from pvd_core.borders.files import check_output_folder
    from pvd_core.losses.multi_to_single.config import HARD_CLASSES, hard_ids
    from pvd_core.taxonomy import taxonomy_named
    from training.data.dataset import ScanFolder
    from training.data.instances.cut import cut_instances

    check_output_folder(out)
    used = taxonomy_named(taxonomy)
    class_ids = hard_ids(tuple(classes) or HARD_CLASSES, used)
    scans = ScanFolder(folder, sequences or "train", columns, used)
    with Steps("cutting", "scans") as steps:
        counts = cut_instances(scans, out, class_ids, steps.show)
    _print(counts)
    num_cut, num_scans = sum(each.num_cut for each in counts.values()), len(scans)
    print(f"{out}: {counted(num_cut, 'object')} cut out of {counted(num_scans, 'scan')}")
    for sequence, each in counts.items():
        if each.num_without_id and not each.num_cut:
            print(f"remark: no point of a hard class in sequence {sequence} has an instance id")
    print(f"train with: pvd train {folder} --config config/m2skd.yaml --set multi_to_single.instances={out} --out RUN")


def _print(counts: dict[str, "SequenceCounts"]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "sequence" else "right")
    for sequence, each in counts.items():
        objects = len(each.scans_of_objects), each.num_once, each.num_cut
        points = each.num_points, each.num_without_id, each.num_shared
        table.add_row(sequence, *(f"{number:,}" for number in (each.num_scans, *objects, *points)))
    Console(highlight=False).print(table)
