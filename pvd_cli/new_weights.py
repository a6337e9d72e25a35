"""What the commands that make new weights share: checks of the file to write and of the scans to learn from."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pvd_cli.comma_lists import scans_in
from pvd_cli.dataset_checks import check_scans
from pvd_cli.errors import interruptible
from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output
from pvd_core.taxonomy import Taxonomy

if TYPE_CHECKING:
    from training.data.dataset import ScanFolder


def check_new_weights(out: Path) -> None:
    """UserError where `out` is no name of a weights file that can be written anew."""
    if out.suffix != ".safetensors":
        raise UserError(f"{out} is to hold weights: name a .safetensors file")
    if out.exists():
        raise UserError(f"{out} exists already; name another file")
    check_output(out)


def checked_scans(
    dataset: Path,
    split: str,
    columns: str,
    max_scans: int,
    use: str,
    taxonomy: Taxonomy,
    changes_labels: bool = True,
) -> "ScanFolder":
    """The scans that a command by its options takes: all checked, and said what is doubtful about them, also where they
    are not for training. `use`: as `check_scans` takes it; `taxonomy`: of the labels. `changes_labels`: whether what is
    learned changes labels, so that the scans cannot be scored on. UserError where they cannot be used."""
    from training.data.dataset import SPLITS, ScanFolder

    choice = scans_in(split)
    with interruptible(lambda: "nothing was written"):
        check_scans(dataset, use, choice, columns, max_scans, taxonomy)
    folder = ScanFolder(dataset, choice, columns, taxonomy)
    if remark := folder.remark():
        print(f"note: {remark}", file=sys.stderr)
    if changes_labels and (held_out := set(folder.sequences) & {*SPLITS["valid"], *SPLITS["test"]}):
        names = ", ".join(sorted(held_out))
        print(f"note: {names} are not for training: what is chosen on them cannot be scored on them", file=sys.stderr)
    return folder
