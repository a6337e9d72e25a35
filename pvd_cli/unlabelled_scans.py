"""Scans without labels from files, folders and bags, as one list that can be gone through several times."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pvd_core.borders.errors import UserError
from pvd_core.clouds import CloudFileError, find_clouds, read_cloud
from pvd_core.clouds.bin_columns import bin_columns
from pvd_core.clouds.exported import sequences_of
from training.data.scan_list import evenly_spaced

if TYPE_CHECKING:
    import numpy as np


class UnlabelledScan(NamedTuple):
    """points: float32 (N, 4), x, y, z in metres and intensity, as the file or the message has them. label_path: where
    in a folder of labels the truth about it would be."""

    name: str
    points: "np.ndarray"
    label_path: Path


class UnlabelledScans:
    """At most `max_scans` of the scans in `inputs`, evenly spread over each input's own. UserError where an input holds
    no scans or cannot be read."""

    def __init__(self, inputs: Sequence[Path], topic: str | None, columns: str, max_scans: int) -> None:
        bin_columns(columns)  # refused before anything is read
        self._inputs, self._topic, self._columns = inputs, topic, columns
        totals = [_count_in_bag(path, topic) if is_bag(path) else len(_clouds_in(path)) for path in inputs]
        if topic is not None and not any(map(is_bag, inputs)):
            raise UserError(f"--topic {topic} is for bags, and none is given")
        self.num_found = sum(totals)
        self._chosen = [evenly_spaced(total, _share(total, self.num_found, max_scans)) for total in totals]

    def __len__(self) -> int:
        return sum(map(len, self._chosen))

    def __iter__(self) -> Iterator[UnlabelledScan]:
        return self.numbered(range(len(self)))

    def numbered(self, numbers: Collection[int]) -> Iterator[UnlabelledScan]:
        """Those of the scans that have these numbers, from 0 on, in their order; the others are not read."""
        first = 0
        for path, chosen in zip(self._inputs, self._chosen, strict=True):
            wanted = [index for number, index in enumerate(chosen, start=first) if number in numbers]
            first += len(chosen)
            if wanted:
                yield from self._of_bag(path, set(wanted)) if is_bag(path) else self._of_folder(path, wanted)

    @property
    def folders(self) -> set[Path]:
        """The folders of sequences among whose scans they were chosen; none where there is a bag among the inputs."""
        if any(map(is_bag, self._inputs)):
            return set()
        return sequences_of(cloud for path in self._inputs for cloud in _clouds_in(path))

    @property
    def sequences(self) -> dict[str, list[str]]:
        """{name of a data set: its sequences} of the scans that lie in SemanticKITTI's layout."""
        found: dict[str, list[str]] = {}
        for path in (each for each in self._inputs if not is_bag(each)):
            for cloud in _clouds_in(path):
                *_, root, folder, sequence, velodyne, _ = ("", "", "", "", *cloud.resolve().parts)
                if (folder, velodyne) == ("sequences", "velodyne") and sequence not in found.setdefault(root, []):
                    found[root].append(sequence)
        return found

    def _of_folder(self, path: Path, chosen: Sequence[int]) -> Iterator[UnlabelledScan]:
        clouds = _clouds_in(path)
        top = path if path.is_dir() else path.parent
        for cloud in (clouds[index] for index in chosen):
            parts = ["labels" if part == "velodyne" else part for part in cloud.relative_to(top).with_suffix("").parts]
            points = read_cloud(cloud, columns=self._columns)
            yield UnlabelledScan(str(cloud), points, Path(*parts[:-1], f"{parts[-1]}.label"))

    def _of_bag(self, path: Path, chosen: set[int]) -> Iterator[UnlabelledScan]:
        from pvd_ros.bags.reader import cloud_topic, open_bag
        from pvd_ros.bags.types import cloud_from_bytes
        from pvd_ros.codec import MalformedCloudError, decode

        with open_bag(path) as bag:
            for index, message in enumerate(bag.messages(cloud_topic(bag, self._topic))):
                if index not in chosen:
                    continue
                name = f"cloud {index + 1} of {path}"
                try:
                    cloud = decode(cloud_from_bytes(message.raw))
                except MalformedCloudError as error:
                    raise UserError(f"{name}: {error}") from error
                yield UnlabelledScan(name, cloud.points, Path(f"{index:06d}.label"))


def is_bag(path: Path) -> bool:
    """Whether `path` is to be read as a bag, not as a scan or a folder of scans."""
    from pvd_ros.bags.folder import METADATA, kind_of

    files = path.iterdir() if path.is_dir() else [path]
    return any(each.name == METADATA or kind_of(each) is not None for each in files)


def _count_in_bag(path: Path, topic: str | None) -> int:
    from pvd_ros.bags.reader import cloud_topic, open_bag

    with open_bag(path) as bag:
        topic = cloud_topic(bag, topic)
        if not (count := bag.count(topic)):
            raise UserError(f"topic {topic} of {path} holds no clouds: there is nothing to adapt to")
        return count


def _clouds_in(path: Path) -> list[Path]:
    try:
        return find_clouds([path])
    except CloudFileError as error:
        raise UserError(f"{error}; expected a bag, or scans and folders of them") from None


def _share(total: int, all_found: int, max_scans: int) -> int:
    return total if all_found <= max_scans else max(1, total * max_scans // all_found)
