"""What labelling the demo's drive gave, by the node or without it."""

from dataclasses import dataclass, field
from pathlib import Path

from pvd_core.taxonomy import Taxonomy


@dataclass(frozen=True)
class LabelledDrive:
    labelled_bag: Path
    labelled_topic: str
    counts: dict[str, int]
    """played = labelled + dropped + rejected + skipped (nobody listened yet) + lost (never received); recorded."""
    rejected_by_reason: dict[str, int]
    latency_ms: dict[str, dict[str, float]]
    taxonomy: Taxonomy
    """Of the labels."""
    bag_stamp_of_published: dict[int, int]
    """Stamp of a cloud as published in ns -> its stamp in the bag."""
    remarks: list[str] = field(default_factory=list)
    """Sentences on what of the clouds is not as networks expect it."""
    history: dict[str, int] = field(default_factory=dict)
    """Counters of pvd_ros.poses.CloudHistory; empty where each cloud was labelled alone."""
    is_live: bool = True
    """Labelled by the node over ROS 2."""
