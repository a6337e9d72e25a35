"""One scan as a picture: its layers side by side, from above."""

from pvd_cli.picture import save_panels
from pvd_cli.view.layers import class_names_of, only_class
from pvd_core.labels import CLASS_NAMES


def save_sheet(folder, scan, class_name=None):
    """Writes `folder`/NAME.png (NAME_CLASS.png for one class alone) of a ViewedScan; returns its path."""
    class_id = CLASS_NAMES.index(class_name) if class_name else None
    panels = {
        name: colours if class_id is None else only_class(colours, class_id, scan.truth, scan.predictions)
        for name, colours in scan.layers.items()
    }
    names = [class_name] if class_name else class_names_of(scan.truth, scan.predictions)
    path = folder / (f"{scan.name}_{class_name}.png" if class_name else f"{scan.name}.png")
    save_panels(path, scan.points, panels, [CLASS_NAMES.index(name) for name in names], scan.name)
    return path
