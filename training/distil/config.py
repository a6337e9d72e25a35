"""Settings of distillation: which teacher, which method, with which coefficients; and those of M2SKD."""

from dataclasses import dataclass, field, replace
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import filled
from pvd_core.borders.wording import shown
from pvd_core.losses.methods import METHODS, paper_coefficients
from pvd_core.losses.multi_to_single import MultiToSingleLossConfig
from training.data.augmentation.votes import VOTES
from training.data.instances.past import PLACINGS


@dataclass(frozen=True)
class DistillationConfig:
    teacher: str
    """Weights file of the teacher."""
    method: str = "pvd"
    settings: dict = field(default_factory=dict)
    """Fields of the method's own config. Those left out have the paper's value for 'backbone'."""
    backbone: str | None = None
    """Network of the paper's table 4 whose coefficients are the defaults; null: the one that is trained."""
    votes: int = 1
    """How often the teacher sees each scan, flipped and from 5 on turned too, as `pvd evaluate --votes`."""
    committee: tuple[str, ...] = ()
    """Weights files of further networks that see each scan as the teacher does. The scores that the student learns from
    are means over all of them; features are the teacher's."""
    until_step: int | None = None
    """The step of the run after which the teacher says no more and the student learns from the labels alone (ESKD, Cho
    and Hariharan, ICCV 2019); null: it teaches to the end."""
    cache: str | None = None
    """Folder that keeps the teacher's outputs for scans that come again, which needs 'scan_versions'; null: the teacher
    runs at every step."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"distillation.method is {self.method!r}: expected one of {', '.join(METHODS)}")
        if not 1 <= self.votes <= len(VOTES):
            raise UserError(f"distillation.votes is {self.votes}: expected 1 to {len(VOTES)}")
        if self.until_step is not None and self.until_step < 1:
            raise UserError(
                f"distillation.until_step is {self.until_step}: expected at least 1, or null for a teacher that "
                "teaches to the end; distillation=null trains without one"
            )
        if self.backbone is not None:
            self.method_config()

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teacher and its committee."""
        return (self.teacher, *self.committee)

    def stops_within(self, num_steps: int) -> bool:
        """Whether some of so many steps are done without the teacher."""
        return self.until_step is not None and self.until_step < num_steps

    def in_words(self, num_steps: int) -> str:
        """Who teaches how in a run of so many steps, for the user."""
        until = f" until step {self.until_step}" if self.stops_within(num_steps) else ""
        return f"{self.method.upper()} from {' and '.join(self.teachers)}{until}"

    def of_network(self, architecture: str) -> "DistillationConfig":
        """The same for a student of this architecture. UserError where 'backbone' is another."""
        if self.backbone not in (None, architecture):
            raise UserError(
                f"distillation.backbone is {shown(self.backbone)}, but the network is {architecture}: leave it out, or "
                "give your own coefficients in distillation.settings"
            )
        return replace(self, backbone=architecture)

    def method_config(self) -> Any:
        """The method's config, such as a PVDConfig: the paper's coefficients with 'settings' laid over them. UserError
        for a setting that the method does not have."""
        assert self.backbone is not None  # `of_network` fills it in
        settings = {**paper_coefficients(self.backbone, self.method), **self.settings}
        return filled(METHODS[self.method][1], settings, "distillation.settings.")


@dataclass(frozen=True)
class MultiToSingleConfig:
    """M2SKD: the network also sees each scan enriched with what earlier scans saw of its hard objects, and learns on
    the single scan what it finds there. Training scans need instance ids."""

    instances: str
    """Folder of objects that `pvd dataset instances` cut out of the training scans."""
    num_past: int = 4
    """Earlier scans whose objects are put onto a scan; the first scans of a sequence have fewer."""
    placed_by: str = "centroid"
    """How past points come onto a scan. centroid, as released: so that their centroid is the object's. poses: to where
    they were, by poses.txt and calib.txt of the sequence; moving objects are then smeared along their way."""
    loss: MultiToSingleLossConfig = field(default_factory=MultiToSingleLossConfig)
    """Coefficients, thresholds, and the hard classes."""

    def __post_init__(self) -> None:
        if self.num_past < 1:
            raise UserError(f"multi_to_single.num_past is {self.num_past}: expected at least 1")
        if self.placed_by not in PLACINGS:
            choices = ", ".join(PLACINGS)
            raise UserError(f"multi_to_single.placed_by is {self.placed_by!r}: expected one of {choices}")
