"""What commands that label clouds ask about them, and the notes that they print on them."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pvd_cli.errors import EXIT_SPOILT, print_error
from pvd_core.borders.wording import counted
from pvd_core.clouds.exported import are_exported
from pvd_core.clouds.files import SUFFIXES
from pvd_core.clouds.intensity import AUTO
from pvd_core.clouds.judge import MOUNTING_SETTINGS, Wording, options
from pvd_core.clouds.mounting import NETWORK_HEIGHT_M, Mounting
from pvd_core.clouds.stream import CloudStream

if TYPE_CHECKING:
    import numpy as np

CLOUD_FILES = ", ".join(SUFFIXES)
"""The kinds of files that hold a scan, for helps."""

IntensityField = Annotated[str, typer.Option(help="Field that holds intensity, where it has another name.")]
IntensityScale = Annotated[
    str, typer.Option(help="Factor that brings intensity to 0..1, such as 0.00392 (1/255); auto finds it if certain.")
]
_FRAME = "Networks know clouds with x forward, z up, level, the sensor 1.73 m above the ground, in metres."
MountingHeight = Annotated[
    float, typer.Option(help=f"Metres of the clouds' origin above the ground; 0 if z is 0 there. {_FRAME}")
]
MountingRoll = Annotated[float, typer.Option(help="Degrees that the sensor leans to its right, as roll in a URDF.")]
MountingPitch = Annotated[float, typer.Option(help="Degrees that the sensor looks down, as pitch in a URDF.")]
MountingYaw = Annotated[float, typer.Option(help="Degrees that its x axis points left of forward, as yaw in a URDF.")]
USUAL_HEIGHT = NETWORK_HEIGHT_M

LABELLING_OPTIONS = options("intensity_scale", *MOUNTING_SETTINGS)
"""How remarks name the options of commands that have all of the above."""
FIELD_OPTIONS = options("intensity_scale", "intensity_field", *MOUNTING_SETTINGS)


def end_where_labels_are_spoilt(num_spoilt: int, exit_code: int = 0) -> None:
    """The last line and the exit code of a command that labelled clouds of which the judge found `num_spoilt` to lie
    where no network knows them. `exit_code`: for what else went wrong, which comes first."""
    if num_spoilt:
        print_error(
            f"the labels of {counted(num_spoilt, 'cloud')} are worthless, and perhaps those of more: the notes say why"
        )
        exit_code = exit_code or EXIT_SPOILT
    if exit_code:
        raise typer.Exit(exit_code)


class NotedClouds:
    """Brings scans to the network's frame and prints on stderr what is to be said of them, each kind of remark for the
    first such scan only."""

    def __init__(self, stream: CloudStream) -> None:
        self._stream, self._num_scans = stream, 0

    def prepared(
        self, path: Path, points: "np.ndarray", num_own: int | None = None, other_fields: Sequence[str] = ()
    ) -> "np.ndarray":
        """The points of the scan `path` as networks get them; both float32 (N, 4). `num_own`: how many are its own,
        with those of past scans after them; None for all. `other_fields`: as of FilePoints."""
        self.look_at(path, points[:num_own], other_fields)
        return self.in_frame(points)

    def in_frame(self, points: "np.ndarray") -> "np.ndarray":
        """As `prepared`, of a scan that was looked at before."""
        return self._stream.prepared(points)

    def look_at(self, path: Path, points: "np.ndarray", other_fields: Sequence[str] = ()) -> None:
        """Prints, and lets an automatic scale be decided."""
        if sentence := self._stream.decide(points):
            _note(f"{path}: {sentence}")
        for sentence in self._stream.look_at(points, other_fields):
            _note(f"{path}: {sentence}; not said of other scans")
        self._num_scans += 1

    def say_in_short(self) -> None:
        """Prints again at the end, in short, what several scans had in common."""
        for text, count in self._stream.tally.items():
            if count > 1:
                print(f"{count} of {self._num_scans} scans: {text}")

    @property
    def intensity_factor(self) -> float:
        """What the intensity of the scan last prepared was multiplied by."""
        return self._stream.factor

    @property
    def num_spoilt(self) -> int:
        """Scans so far whose labels are worthless."""
        return self._stream.num_spoilt


def stream_for(
    weights: Path,
    intensity_scale: str,
    mounting: Mounting,
    wording: Wording = LABELLING_OPTIONS,
    sequences: Iterable[Path] = (),
) -> CloudStream:
    """A stream by the options of a command, to what these weights know. `wording` names its options. `sequences`: the
    folders whose scans it will read, which were scaled already where all were exported. UserError for values that do
    not fit, and for weights that cannot be read."""
    from pvd_core.weights import expected_cloud, read_facts

    if intensity_scale == AUTO and are_exported(sequences):
        intensity_scale = "1"
    usual_95th = expected_cloud(read_facts(weights)).intensity_95th
    return CloudStream(intensity_scale, mounting, wording, usual_95th)


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)
