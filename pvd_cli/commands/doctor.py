"""`pvd doctor`: what this machine can do, and what to do about the rest."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the findings to this file.")] = None,
) -> None:
    """Say what this machine can do, and why it cannot do the rest.

    One line for each capability; for a missing one also what to do about it.

    Ends with exit code 0 when scans can be labelled here, 2 when not.

    \b
    Examples:
      pvd doctor
      pvd doctor --json doctor.json
    """
    import json

    from rich.console import Console

    from pvd_cli.checks import CHECKS
    from pvd_cli.errors import EXIT_USER_ERROR
    from pvd_core.borders.files import check_output, written_atomically

    if json_file is not None:
        check_output(json_file)
    console = Console(highlight=False, soft_wrap=True)
    findings = [finding for check in CHECKS for finding in check()]
    width = max(len(finding.name) for finding in findings) + 1
    for finding in findings:
        mark = "[green]ok [/]" if finding.is_present else "[red]no [/]" if finding.is_needed else "[yellow]-- [/]"
        console.print(f"{mark} {finding.name:<{width}}", end="")
        console.print(finding.found, markup=False)
        if finding.remedy:
            console.print(f"    {'':<{width}}-> {finding.remedy}", markup=False)
    missing = [finding.name for finding in findings if finding.is_needed and not finding.is_present]
    print(f"cannot label scans here: {', '.join(missing)} missing" if missing else "this machine can label scans")
    if json_file is not None:
        with written_atomically(json_file) as temporary:
            temporary.write_text(json.dumps([vars(finding) for finding in findings], indent=2) + "\n")
    if missing:
        raise typer.Exit(EXIT_USER_ERROR)
