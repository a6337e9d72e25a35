"""The labelled clouds of a bag, as scans: their points, labels and confidences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds.intensity import AUTO
from pvd_core.clouds.mounting import Mounting
from pvd_core.clouds.stream import CloudStream
from pvd_core.taxonomy import SEMANTICKITTI, TAXONOMIES, taxonomy_named
from pvd_ros.bags import labelled_cloud
from pvd_ros.bags.bag import Bag
from pvd_ros.bags.channel import BagError
from pvd_ros.bags.labelled_cloud import LabelFacts, confidence_of, facts_of, labels_of
from pvd_ros.bags.reader import cloud_topic
from pvd_ros.bags.resume import RECORD
from pvd_ros.bags.types import cloud_from_bytes
from pvd_ros.codec import CLOUD_TYPE, MalformedCloudError, decode, stamp_of


class LabelledScan(NamedTuple):
    """A labelled cloud of N points.

    number: among the labelled clouds, from 0 on. points: float32 (N, 4) as received: x, y, z in metres in the sensor's
    frame, intensity. labels: class ids, uint32 (N,). confidence: float32 (N,). stamp_ns, frame: of its header.
    """

    number: int
    points: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    stamp_ns: int
    frame: str
    log_time_ns: int


class LabelledBag:
    """The labelled clouds on a topic of an open bag; topic None: the one that `pvd label-bag` wrote.

    facts: the classes of the labels and how clouds come to the network's frame. source_numbers: for each labelled cloud
    the number of the cloud that was labelled, from 0 on; None where the bag does not say. num_sources: the number of
    those, None where they are not in the bag. remarks: in plain words. BagError for a bag without such a topic.
    """

    def __init__(
        self, bag: Bag, topic: str | None = None, taxonomy: str | None = None, intensity_scale: float | str = AUTO
    ) -> None:
        self.bag, self.remarks = bag, list[str]()
        written = bag.metadata.get(RECORD)
        self.topic = topic or _labelled_topic(bag, written)
        cloud_topic(bag, self.topic)
        self.num_scans = bag.count(self.topic)
        if not self.num_scans:
            raise BagError(f"topic {self.topic} of {bag.path} holds no clouds: there is nothing to export")
        self.weights = (written or {}).get("weights", "")
        self.num_sources = bag.count(written["topic"]) or None if written else None
        self.facts = self._facts(taxonomy, intensity_scale)

    def scans(self) -> Iterator[LabelledScan]:
        """Each labelled cloud in the order of their log times. BagError for one that is not labelled."""
        for number, message in enumerate(self.bag.messages(self.topic)):
            try:
                cloud = cloud_from_bytes(message.raw)
                points = decode(cloud).raw_points
                labels, confidence = labels_of(cloud), confidence_of(cloud)
            except (MalformedCloudError, BagError) as error:
                raise BagError(f"cloud {number + 1} on {self.topic} of {self.bag.path}: {error}") from error
            self._check_labels(labels, number)
            frame = cloud.header.frame_id
            yield LabelledScan(number, points, labels, confidence, stamp_of(cloud), frame, message.log_time_ns)

    @property
    def source_numbers(self) -> list[int] | None:
        """As above."""
        sequences = [message.sequence for message in self.bag.messages(self.topic)]
        rises = all(a < b for a, b in zip([0, *sequences], sequences, strict=False))
        return [sequence - 1 for sequence in sequences] if rises else None

    def _facts(self, taxonomy: str | None, intensity_scale: float | str) -> LabelFacts:
        record = self.bag.metadata.get(labelled_cloud.RECORD)
        facts = facts_of(record) if record else None
        if facts is None:
            self.remarks.append(
                f"{self.bag.path} does not say with which mounting it was labelled, as bags of `pvd label-bag` do: "
                "clouds keep their frame"
            )
        chosen = taxonomy_named(taxonomy) if taxonomy else facts.taxonomy if facts else SEMANTICKITTI
        if facts and taxonomy and chosen != facts.taxonomy:
            raise UserError(f"{self.bag.path} was labelled with the classes of {facts.taxonomy.name}, not {taxonomy}")
        factor = facts.intensity_factor if facts else None
        if intensity_scale != AUTO or factor is None:
            factor = self._factor(intensity_scale)
        return LabelFacts(chosen, factor, facts.mounting if facts else Mounting())

    def _factor(self, intensity_scale: float | str) -> float:
        """The factor that was given, or that the first clouds tell."""
        stream = CloudStream(intensity_scale)
        for message in self.bag.messages(self.topic):
            if stream.is_decided:
                break
            try:
                sentence = stream.decide(decode(cloud_from_bytes(message.raw)).raw_points)
            except MalformedCloudError:
                continue  # said when the clouds are read
            self.remarks += [sentence] if sentence else []
        return stream.factor

    def _check_labels(self, labels: np.ndarray, number: int) -> None:
        taxonomy = self.facts.taxonomy
        largest = int(labels.max(initial=0))
        if largest < taxonomy.num_classes:
            return
        fitting = next((name for name, each in TAXONOMIES.items() if largest < each.num_classes), None)
        advice = f"give --taxonomy {fitting}" if fitting else "it was not written by this program"
        raise BagError(
            f"cloud {number + 1} on {self.topic} of {self.bag.path} has label {largest}, {taxonomy.name} has 0 to "
            f"{taxonomy.num_classes - 1}: {advice}"
        )


def _labelled_topic(bag: Bag, written: dict[str, str] | None) -> str:
    if written:
        return written.get("labelled_topic") or f"{written['topic'].rstrip('/')}/labelled"
    topics = sorted({channel.topic for channel in bag.channels if channel.message_type == CLOUD_TYPE})
    labelled = [topic for topic in topics if topic.endswith("/labelled")]
    if len(labelled) == 1:
        return labelled[0]
    if len(topics) == 1:
        return topics[0]
    has = ", ".join(topics) or "no clouds"
    raise BagError(
        f"{bag.path} does not say where its labelled clouds are; name their topic with --topic; it has {has}"
    )
