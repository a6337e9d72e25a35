"""One scan as a picture: its layers side by side, from above."""

from pathlib import Path

import numpy as np

from pvd_cli.picture import class_legend, save_panels
from pvd_cli.view.layers import ERROR_LEGEND, class_names_of, only_class
from pvd_cli.view.scans import ViewedScan
from pvd_core.borders.errors import UserError


def save_sheet(folder: Path, scan: ViewedScan, class_name: str | None = None, errors_only: bool = False) -> Path:
    """Writes the layers of a scan into the folder as NAME.png; returns the path.

    class_name: show this class alone, as NAME_CLASS.png. errors_only: show only the truth and the errors of each
    network, as NAME_errors.png; UserError if the truth is unknown.
    """
    class_id = scan.taxonomy.id_of(class_name) if class_name else None
    layers = _errors(scan) if errors_only else scan.layers
    panels = {
        name: colours if class_id is None else only_class(colours, class_id, scan.truth, scan.predictions)
        for name, colours in layers.items()
    }
    names = [class_name] if class_name else class_names_of(scan.truth, scan.predictions, scan.taxonomy)
    ends = [scan.name, *([class_name] if class_name else []), *(["errors"] if errors_only else [])]
    path = folder / f"{'_'.join(ends)}.png"
    legend = {
        **class_legend([scan.taxonomy.id_of(name) for name in names], scan.taxonomy),
        **(ERROR_LEGEND if scan.has_errors else {}),
    }
    save_panels(path, scan.points, panels, legend, scan.name)
    return path


def _errors(scan: ViewedScan) -> dict[str, np.ndarray]:
    """{title: colours} of the truth and of the errors of each network; titles have the share of wrong points."""
    if scan.truth is None:
        raise UserError(f"{scan.name} has no labels beside it: without the truth there are no errors to show")
    is_labelled = scan.truth != 0
    layers = {"truth": scan.layers["truth"]}
    for name, labels in scan.predictions.items():
        share = np.mean(labels[is_labelled] != scan.truth[is_labelled]) if is_labelled.any() else 0.0
        layers[f"{name}: {share:.1%} of the labelled points wrong"] = scan.layers[f"{name}: errors"]
    return layers
