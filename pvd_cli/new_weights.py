"""Checks shared by the commands that make new weights."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output

if TYPE_CHECKING:
    from training.data.dataset import ScanFolder


def check_new_weights(out: Path) -> None:
    """UserError where `out` is no name of a weights file that can be written anew."""
    if out.suffix != ".safetensors":
        raise UserError(f"{out} is to hold weights: name a .safetensors file")
    if out.exists():
        raise UserError(f"{out} exists already; name another file")
    check_output(out)


def say_remarks(folder: "ScanFolder") -> None:
    """Prints what is to be said of the scans, also where they are not for training."""
    from training.data.dataset import SPLITS

    if remark := folder.remark():
        print(f"note: {remark}", file=sys.stderr)
    if held_out := set(folder.sequences) & {*SPLITS["valid"], *SPLITS["test"]}:
        names = ", ".join(sorted(held_out))
        print(f"note: {names} are not for training: what is chosen on them cannot be scored on them", file=sys.stderr)
