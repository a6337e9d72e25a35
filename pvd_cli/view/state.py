"""What the window shows: which scan, layer and class. It needs no window, so that it can be tested."""

import numpy as np

from pvd_cli.view.layers import class_names_of, only_class
from pvd_cli.view.scans import ViewedScan, ViewedScans

KEYS = {
    "N": "next scan",
    "B": "scan before",
    "L": "next layer",
    "K": "layer before",
    "C": "next class alone",
    "V": "class before",
    "A": "all classes",
    "P": "save a picture",
    "Q": "quit",
}


class ViewState:
    """The number of the scan, the number of its layer, and the class that is shown alone, or None for all classes."""

    def __init__(self, scans: ViewedScans, class_name: str | None = None) -> None:
        self._scans = scans
        self.number = 0
        self.layer = 0
        self.class_name = class_name

    @property
    def scan(self) -> ViewedScan:
        """The scan on show."""
        return self._scans.scan(self.number)

    @property
    def title(self) -> str:
        """Names the scan, the layer and the class on show."""
        scan, name = self.scan, list(self.scan.layers)[self.layer]
        alone = f", {self.class_name} alone" if self.class_name else ""
        colours = " (white: wrong, grey: right)" if name.endswith(": errors") else ""
        return f"{scan.name} ({self.number + 1} of {len(self._scans)}): {name}{colours}{alone}"

    def colours(self) -> np.ndarray:
        """RGB (N, 3) in 0..1 of the points of the scan."""
        scan = self.scan
        colours = list(scan.layers.values())[self.layer]
        if self.class_name is None:
            return colours
        return only_class(colours, scan.taxonomy.id_of(self.class_name), scan.truth, scan.predictions)

    def press(self, key: str) -> bool:
        """Does what one of KEYS is for, P and Q excepted; returns whether another scan is on show."""
        if key in "NB":
            self.number = (self.number + (1 if key == "N" else -1)) % len(self._scans)
            self.layer = min(self.layer, len(self.scan.layers) - 1)
            return True
        if key in "LK":
            self.layer = (self.layer + (1 if key == "L" else -1)) % len(self.scan.layers)
        elif key in "CV":
            self.class_name = self._next_class(1 if key == "C" else -1)
        elif key == "A":
            self.class_name = None
        return False

    def _next_class(self, step: int) -> str | None:
        names = class_names_of(self.scan.truth, self.scan.predictions, self.scan.taxonomy)
        if not names:
            return None
        if self.class_name not in names:
            return names[0 if step > 0 else -1]
        return names[(names.index(self.class_name) + step) % len(names)]
