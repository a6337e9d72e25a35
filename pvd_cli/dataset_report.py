"""`pvd dataset check`: the report on a data set, as a table by sequence and a list of doubtful files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pvd_core.borders.wording import counted

if TYPE_CHECKING:
    from training.data.checking.findings import Report


def report_on(folder: Path, columns: str, sequences: list[str], json_file: Path | None) -> bool:
    """Checks a whole data set and prints what is found, or with `json_file` writes all of it to that file too. Returns
    whether it is free of errors."""
    from pvd_cli.progress import Steps
    from pvd_core.borders.files import check_output, written_atomically
    from training.data.checking.whole_folder import check_folder

    if json_file is not None:
        check_output(json_file)
    with Steps("checking", "scans") as steps:
        report = check_folder(folder, columns, sequences, steps.show)
    _print(report)
    if json_file is not None:
        with written_atomically(json_file) as temporary:
            temporary.write_text(json.dumps(report.as_dict(), indent=2) + "\n")
        print(f"wrote {json_file}")
    return not report.errors


def _print(report: "Report") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in ("sequence", "scans", "points", "labelled %", "empty", "errors", "remarks"):
        table.add_column(name, justify="left" if name == "sequence" else "right")
    for name, counts in sorted(report.sequences.items()):
        share = f"{100 * counts.num_labelled / counts.num_points:.1f}" if counts.num_labelled else "-"
        numbers = (counts.num_empty, counts.num_errors, counts.num_remarks)
        table.add_row(name, f"{counts.num_scans:,}", f"{counts.num_points:,}", share, *(f"{n:,}" for n in numbers))
    Console(highlight=False).print(table)
    for line in report.error_lines():
        print(f"error: {line}")
    for line in report.remark_lines():
        print(f"remark: {line}")
    num_scans = sum(counts.num_scans for counts in report.sequences.values())
    print(
        f"{report.root}: {counted(num_scans, 'scan')}, {counted(len(report.errors), 'error')}, "
        f"{counted(len(report.remarks), 'remark')}"
    )
