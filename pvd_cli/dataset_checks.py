"""The check of scans at the start of a command that scores or labels them."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pvd_core.taxonomy import SEMANTICKITTI, Taxonomy


def check_scans(
    dataset: Path,
    use: str,
    choice: str | Sequence[str],
    columns: str,
    max_scans: int | None = None,
    taxonomy: Taxonomy = SEMANTICKITTI,
    are_judged_later: bool = False,
) -> None:
    """Checks the scans that a command will read and prints what is doubtful on stderr. UserError where they cannot be
    used. `use`: one of `training.data.checking.check`; `choice`: a split or sequences; `taxonomy`: of the labels;
    `are_judged_later`: whether the command itself says what clouds look like, once it has mounted and scaled them."""
    from pvd_cli.progress import Steps
    from training.data.checking.appearance import judge_clouds
    from training.data.checking.check import Part, check_dataset

    with Steps("checking the data set", "scans") as steps:
        report = check_dataset(dataset, [Part(use, choice, max_scans)], columns, steps.show, taxonomy)
    if not are_judged_later:
        judge_clouds(report)
    report.say(note=lambda line: print(line, file=sys.stderr, flush=True))
