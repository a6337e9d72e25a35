"""The choices for labelling a bag."""

from __future__ import annotations

from dataclasses import dataclass, field

from pvd_core.borders.errors import UserError
from pvd_core.clouds.intensity import AUTO, check_intensity_scale
from pvd_core.clouds.judge import Wording
from pvd_core.clouds.mounting import Mounting
from pvd_ros.bags.pose_options import PoseOptions
from pvd_ros.bags.topic_names import check_bag_topic
from pvd_ros.codec import check_intensity_field

_MOST_SECONDS = 1e9


@dataclass(frozen=True)
class LabelOptions:
    """How a bag is labelled. UserError for a labelled_topic that is no topic name, for settings that CloudStream or
    decode do not take, and for choices that exclude each other.

    intensity_scale, mounting, wording: as CloudStream takes them. intensity_field: as pvd_ros.codec.decode takes it.
    entropy: whether labelled clouds have that field too. labelled_topic: where the labelled clouds go;
    "" is <topic>/labelled. copy_other_topics: whether the topics of the old bag are in the new one too.
    storage: a key of pvd_ros.bags.writer.STORAGES. start_s, end_s: only messages logged from then on and before then,
    in seconds from the first one. salvage: label what is whole of a damaged bag. resume: continue what a killed run
    left; a bag that is complete stays as it is. overwrite: replace a bag that is already there.
    """

    intensity_scale: float | str = AUTO
    mounting: Mounting = field(default_factory=Mounting)
    wording: Wording = field(default_factory=Wording)
    intensity_field: str = ""
    entropy: bool = False
    labelled_topic: str = ""
    copy_other_topics: bool = True
    storage: str = "mcap"
    start_s: float | None = None
    end_s: float | None = None
    salvage: bool = False
    resume: bool = False
    overwrite: bool = False
    poses: PoseOptions = field(default_factory=PoseOptions)

    def __post_init__(self) -> None:
        check_intensity_scale(self.intensity_scale)
        check_intensity_field(self.intensity_field)
        if self.labelled_topic:
            check_bag_topic("labelled_topic", self.labelled_topic)
        for name, seconds in (("start", self.start_s), ("end", self.end_s)):
            if seconds is not None and not 0 <= seconds <= _MOST_SECONDS:
                raise UserError(f"the {name} is {seconds} s, expected 0 to {_MOST_SECONDS:.0e}")
        if self.end_s is not None and self.end_s <= (self.start_s or 0):
            raise UserError(f"the end, {self.end_s:g} s, must lie after the start, {self.start_s or 0:g} s")
        if self.poses.file and self.salvage:
            raise UserError(
                "--poses has a line for each cloud, and --salvage may leave clouds out: give one of the two"
            )
        if self.resume and self.overwrite:
            raise UserError("--resume continues a bag and --overwrite replaces it; choose one of them")
