"""Settings of the networks on Cartesian voxels: MinkUNet, SPVCNN, SPVNAS."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pvd_core.borders.wording import shown
from pvd_core.models.channels import MOST_CLASSES, check_channels
from pvd_core.models.unet_plan import UNetPlan, plan_from_settings, plan_settings, ratio_plan
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.voxels import CartesianGrid


@dataclass(frozen=True)
class CartesianConfig:
    """Sizes of the network, by `channel_ratio` (1 is the full network) or, for searched ones, by a `plan` in settings
    as `unet_plan.plan_settings` makes them. ValueError for impossible ones, and for both."""

    channel_ratio: float = 1.0
    plan: Mapping[str, Any] | None = None
    num_classes: int = SEMANTICKITTI.num_classes
    grid: CartesianGrid = field(default_factory=CartesianGrid)

    def __post_init__(self) -> None:
        check_channels("num_classes", self.num_classes, MOST_CLASSES)
        if self.plan is not None:
            object.__setattr__(self, "plan", plan_settings(plan_from_settings(self.plan)))
            if self.channel_ratio != CartesianConfig.channel_ratio:
                ratio = shown(self.channel_ratio)
                raise ValueError(f"channel_ratio is {ratio}, but plan names the channels of each layer: leave one out")
        ratio_plan(self.channel_ratio)

    @property
    def unet(self) -> UNetPlan:
        """The channels of its layers."""
        return ratio_plan(self.channel_ratio) if self.plan is None else plan_from_settings(self.plan)
