"""What a killed labelling left: clouds that need not be labelled again, if it had the same bag, weights and options."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pvd_core.borders.errors import UserError
from pvd_ros.bags.bag import Bag
from pvd_ros.bags.channel import BagError, Message
from pvd_ros.bags.reader import open_bag

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.committee import AnySegmenter
    from pvd_core.segmenter import Segmenter
    from pvd_ros.bags.label_options import LabelOptions

RECORD = "pvd_label_bag"
"""Name of the metadata record with the settings."""

_WITHOUT_EFFECT = ("resume", "overwrite", "wording")
# What to call settings that are no option of the same name.
_NAMES = {
    "bag": "the bag",
    "content of the poses": "content of the poses",
    "copy_other_topics": "--only-labelled",
    "end_s": "--end",
    "mounting": "--mounting-height, -roll, -pitch or -yaw",
    "poses": "options on poses and history",
    "start_s": "--start",
}


def settings_of(bag: Bag, topic: str, segmenter: AnySegmenter, options: LabelOptions) -> dict[str, str]:
    """All that labels depend on, for comparison."""
    chosen = {name: value for name, value in dataclasses.asdict(options).items() if name not in _WITHOUT_EFFECT}
    return {
        "bag": f"{bag.count()} messages from {bag.start_ns} to {bag.end_ns} ns",
        "topic": topic,
        "weights": _digest(segmenter),
        "precision": segmenter.precision,
        **{name: str(value) for name, value in chosen.items()},
        "content of the poses": options.poses.digest,
    }


class EarlierLabels:
    """Labelled clouds by the number of their cloud, which must be asked for in rising order."""

    def __init__(self, messages: Iterator[Message]) -> None:
        self._messages = messages
        self._next = next(messages, None)

    @property
    def any_left(self) -> bool:
        """Whether there are labelled clouds that were not taken."""
        return self._next is not None

    def take(self, number: int) -> bytes | None:
        """The labelled cloud as CDR, or None if it is not there."""
        while self._next is not None and self._next.sequence < number:
            self._next = next(self._messages, None)
        return self._next.raw if self._next is not None and self._next.sequence == number else None


@contextmanager
def earlier_labels(
    file: Path | None, labelled: Path, labelled_topic: str, settings: Mapping[str, str] | None
) -> Iterator[EarlierLabels]:
    """Those in the file that was left of the bag `labelled`; none for None, or where it was cut before the first.
    UserError if it was written with other settings; settings None: whatever they were."""
    with ExitStack() as held:
        bag = None
        # Nothing can be read where the process was killed before it wrote anything.
        with suppress(BagError):
            bag = held.enter_context(open_bag(file, salvage=True)) if file else None
        if bag is not None and RECORD in bag.metadata:
            written = bag.metadata[RECORD]
            if settings is not None:
                check_settings(bag, labelled, settings)
            else:
                labelled_topic = written.get("labelled_topic") or f"{written['topic'].rstrip('/')}/labelled"
            yield EarlierLabels(bag.messages(labelled_topic))
        else:
            yield EarlierLabels(iter(()))


def check_settings(bag: Bag, labelled: Path, settings: Mapping[str, str]) -> None:
    """UserError if `bag`, the bag `labelled` or what was left of it, was written with other settings, or does not say
    with which."""
    written = bag.metadata.get(RECORD)
    if written is None:
        raise UserError(
            f"{labelled} does not say how it was labelled, so it cannot be continued; --overwrite starts anew"
        )
    if other := sorted(_option(name) for name in {*written, *settings} if written.get(name) != settings.get(name)):
        raise UserError(
            f"{labelled} was labelled with other settings ({', '.join(other)}); use those again, or "
            "--overwrite in place of --resume to start anew"
        )


def _option(name: str) -> str:
    return _NAMES.get(name, f"--{name.replace('_', '-')}")


def _digest(segmenter: AnySegmenter) -> str:
    # In whichever order they are named, they vote alike.
    return ",".join(sorted(map(_digest_of_one, segmenter.members)))


def _digest_of_one(segmenter: Segmenter) -> str:
    digest = hashlib.sha256()
    if segmenter.temperature != 1:
        digest.update(f"temperature {segmenter.temperature}".encode())
    model = segmenter.model
    for name, tensor in (*model.state_dict().items(), *(model.bare_statistics or {}).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
