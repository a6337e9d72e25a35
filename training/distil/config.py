"""Settings of distillation: which teacher, which method, with which coefficients."""

from dataclasses import dataclass, field

from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import filled
from pvd_core.losses.methods import METHODS, PAPER_COEFFICIENTS


@dataclass(frozen=True)
class DistillationConfig:
    teacher: str
    """Weights file of the teacher."""
    method: str = "pvd"
    settings: dict = field(default_factory=dict)
    """Any field of the method's own settings; the rest are the paper's for 'backbone'."""
    backbone: str = "cylinder3d"
    """Whose coefficients of the paper's table are the defaults."""
    cache: str | None = None
    """Folder that keeps the teacher's outputs on scans that come again, which needs 'scan_versions'; null: the teacher
    is asked at every step."""

    def __post_init__(self):
        for name, choices in (("method", METHODS), ("backbone", PAPER_COEFFICIENTS)):
            if getattr(self, name) not in choices:
                raise UserError(f"distillation.{name} is {getattr(self, name)!r}: expected one of {', '.join(choices)}")
        self.method_config()

    def method_config(self):
        """The method's config: the paper's coefficients, then 'settings'."""
        settings = {**PAPER_COEFFICIENTS[self.backbone].get(self.method, {}), **self.settings}
        return filled(METHODS[self.method][1], settings, "distillation.settings.")
