"""`pvd submit`: a submission to the SemanticKITTI benchmark."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.errors import EXIT_USER_ERROR, interruptible, optional_packages, print_error
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted


def submit(
    dataset: Annotated[Path, typer.Argument(help="Folder that holds `sequences`, with 11 to 21 among them.")],
    out: Annotated[Path, typer.Option(help="The .zip to write.")],
    weights: Annotated[Path | None, typer.Option(help="Weights; those that ship with pvd if left out.")] = None,
    votes: Annotated[int, typer.Option(min=1, max=8, help="Votes a scan: flipped, and from 5 on turned.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Write it although test sequences are absent.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check the .zip that --out names.")] = False,
) -> None:
    """Label the test sequences into a zip that the SemanticKITTI server takes.

    The zip is checked by the official validator's rules after it is written.

    \b
    Examples:
      pvd submit kitti --weights runs/student/best.safetensors --out submission.zip
      pvd submit kitti --weights runs/student/best.safetensors --votes 4 --out submission_tta.zip
      pvd submit kitti --out submission.zip --check
    """
    from pvd_cli.progress import Steps
    from pvd_core import default_weights
    from pvd_core.borders.files import check_output
    from pvd_core.segmenter import Segmenter

    with optional_packages("train", "submission"):
        from training.data.dataset import ScanFolder
        from training.judge.submission import check_submission, write_submission

    if not check:
        if out.exists():
            raise UserError(f"{out} exists already; name another file with --out")
        check_output(out)
        if remark := ScanFolder(dataset, "test").remark():
            print(f"note: {remark}", file=sys.stderr)
        segmenter = Segmenter.from_weights(weights or default_weights(), device)
        with interruptible(lambda: "nothing was written"), Steps("labelling", "scans") as steps:
            num_scans = write_submission(dataset, segmenter, out, votes, allow_missing, steps.show)
        print(f"wrote {out}: {counted(num_scans, 'scan')}")
    problems = check_submission(out, dataset, allow_missing)
    for line in problems[:10]:
        print_error(line)
    if problems:
        print_error(f"{counted(len(problems), 'problem')}: the server would refuse {out}")
        raise typer.Exit(EXIT_USER_ERROR)
    exception = ", but for test sequences that may be absent: the server wants all" if allow_missing else ""
    print(f"{out} passes the rules of the official validator{exception}")
