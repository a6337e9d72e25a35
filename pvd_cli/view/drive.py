"""Scans one after the other, in the labels of a network, as an animation."""

from pathlib import Path

from pvd_cli.picture import class_colours, class_legend
from pvd_cli.progress import tracked
from pvd_cli.view.animation import save_animation
from pvd_cli.view.layers import only_class
from pvd_cli.view.scans import ViewedScans


def save_drive(path: Path, scans: ViewedScans, class_name: str | None, scans_a_second: float) -> Path:
    """Writes the scans in the labels of the first network as an animated GIF; returns the path. class_name: dim all
    points but those that it takes for this class."""
    taxonomy = scans.taxonomy
    shown = [taxonomy.id_of(class_name)] if class_name else list(range(1, taxonomy.num_classes))

    def frames():
        for number in tracked(range(len(scans)), "drawing", "scans"):
            scan = scans.scan(number)
            name, labels = next(iter(scan.predictions.items()))
            colours = class_colours(labels, taxonomy)
            yield scan.points, colours if class_name is None else only_class(colours, shown[0], None, {name: labels})

    save_animation(path, frames(), class_legend(shown, taxonomy), scans_a_second)
    return path
