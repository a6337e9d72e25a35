"""`pvd submit`: a submission to the SemanticKITTI benchmark."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pvd_cli import options
from pvd_cli.dataset_checks import check_scans
from pvd_cli.errors import EXIT_USER_ERROR, interruptible, optional_packages, print_error
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted


def submit(
    dataset: Annotated[Path, typer.Argument(help="Folder that holds `sequences`, with 11 to 21 among them.")],
    out: Annotated[Path, typer.Option(help="The .zip to write.")],
    weights: options.SeveralWeights = None,
    votes: options.Votes = 1,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = 0,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Write it although test sequences are absent.")
    ] = False,
    columns: options.Columns = "4",
    check: Annotated[bool, typer.Option("--check", help="Only check the .zip that --out names.")] = False,
) -> None:
    """Label the test sequences into a zip that the SemanticKITTI server takes.

    The zip is checked by the official validator's rules after it is written. Scans are taken as the benchmark has them,
    in the network's frame: there are no options for a mounting or for intensity. Weights that were trained with past
    scans behind each need the poses.txt and calib.txt of every sequence.

    \b
    Examples:
      pvd submit kitti --weights runs/student --out submission.zip
      pvd submit kitti --weights runs/student --votes 4 --out submission_tta.zip
      pvd submit kitti --out submission.zip --check
    """
    from pvd_cli.progress import Steps
    from pvd_core import default_weights
    from pvd_core.borders.files import check_output
    from pvd_core.committee import segmenter_of

    with optional_packages("train", "submission"):
        from training.data.checking.check import LABEL
        from training.judge.submission import check_submission, write_submission

    if not check:
        if out.exists():
            raise UserError(f"{out} exists already; name another file with --out")
        check_output(out)
        options.use_threads(threads)
        with interruptible(lambda: "nothing was written"):
            check_scans(dataset, LABEL, "test", columns)
        segmenter = segmenter_of(weights or [default_weights()], device, precision)
        with interruptible(lambda: "nothing was written"), Steps("labelling", "scans") as steps:
            num_scans = write_submission(
                dataset,
                segmenter,
                out,
                votes,
                allow_missing,
                steps.show,
                columns,
                lambda remark: print(f"note: {remark}", file=sys.stderr),
            )
        print(f"wrote {out}: {counted(num_scans, 'scan')}")
    problems = check_submission(out, dataset, allow_missing, columns)
    for line in problems[:10]:
        print_error(line)
    if problems:
        print_error(f"{counted(len(problems), 'problem')}: the server would refuse {out}")
        raise typer.Exit(EXIT_USER_ERROR)
    exception = ", but for test sequences that may be absent: the server wants all" if allow_missing else ""
    print(f"{out} passes the rules of the official validator{exception}")
