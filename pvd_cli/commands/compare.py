"""`pvd compare`: a report that puts real and simulated scans side by side."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli import options
from pvd_cli.comma_lists import names_in
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.errors import UserError


def compare(
    real: Annotated[Path, typer.Argument(help="Folder of real scans that holds `sequences`, with labels.")],
    simulated: Annotated[Path, typer.Argument(help="Folder of simulated scans that holds `sequences`, with labels.")],
    out: Annotated[Path, typer.Option(help="New folder for report.md, report.json and the pictures.")],
    max_scans: Annotated[
        int | None, typer.Option(min=1, help="Read at most this many scans of each folder, evenly spread.")
    ] = 100,
    pair: Annotated[
        str, typer.Option(help="Show these two in pair.png: REAL,SIMULATED, such as 08/000000,12/000007.")
    ] = "",
    credit: Annotated[str, typer.Option(help="Source and licence of the real scans, written on pair.png.")] = "",
    columns: options.Columns = "4",
    top: Annotated[int, typer.Option(min=1, help="Print this many of the largest gaps.")] = 15,
) -> None:
    """Compare simulated scans with real ones, in a report with pictures.

    Histograms of range, height, intensity, classes, rings, voxels, missing rays and the ground of both folders, the
    distances between them sorted by size, and scans side by side from above and as range images. Beside each distance
    is the one between real scenes. Made for 64-beam scans in SemanticKITTI's layout.

    \b
    Examples:
      pvd simulate data/world --scans 6 --interval 2.0 --seed 3
      pvd compare kitti data/world --out reports/world
      pvd compare kitti data/world --out reports/pair --pair 08/000000,08/000002 --credit "KITTI, CC BY-NC-SA 3.0"
      pvd compare kitti data/world --out reports/quick --max-scans 20 --top 5
    """
    from pvd_cli.progress import Steps

    with optional_packages("view", "the report"):
        from training.realism.report import compare_scans
    names = names_in(pair)
    if names and len(names) != 2:
        raise UserError(f"--pair names {len(names)} scans; expected REAL,SIMULATED, such as 08/000000,12/000007")
    scans = (names[0], names[1]) if names else None
    with interruptible(lambda: f"{out} holds no finished report"), Steps("comparing", "scans") as steps:
        result = compare_scans(real, simulated, out, max_scans, steps.show, pair=scans, credit=credit, columns=columns)
    print("largest gaps (0 same, 1 no overlap; in brackets: between real scenes)")
    for gap in result["gaps"][:top]:
        means = ""
        if gap["real_mean"] is not None:
            means = f"  mean real {gap['real_mean']:.3g}, simulated {gap['simulated_mean']:.3g} {gap['unit']}".rstrip()
        print(f"  {gap['distance']:.3f} ({gap['floor']:.3f})  {gap['measure']:32}{means}")
    print(f"wrote {out / 'report.md'}")
