"""Everything of a run that changes from step to step."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import Network
from training.distil.distillation import Method
from training.run.checkpoint import WAY_ON, load_checkpoint, random_states, restore_random_states, save_checkpoint
from training.run.optimization import RunningMean
from training.run.run_folder import changed_settings


class DivergedError(UserError):
    """A loss, a gradient or a weight is not a finite number any more."""


@dataclasses.dataclass
class TrainingState:
    """What a checkpoint holds."""

    model: Network
    optimizer: torch.optim.Optimizer
    running_mean: RunningMean | None
    data_fingerprint: str
    method: Method | None = None
    """A distillation method, which may have learnable parts."""
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    """All settings of the run, as plain values."""
    teacher: str | None = None
    """A digest of the weights of the distillation teachers; None without."""
    step: int = 0
    """Number of steps done."""
    best_miou: float = -1.0
    best_step: int = 0
    last_validation: dict[str, Any] | None = None
    """Its metrics, and its "step"."""
    seconds: float = 0.0
    """Time spent on the run, over all times that it was resumed."""

    def save(self, path: Path) -> None:
        """Writes a checkpoint; DivergedError, and no file, where a weight is not finite."""
        name = first_not_finite(self.model)
        if name is not None:
            raise DivergedError(f"step {self.step}: {name} of the network is not finite; {path} is kept as it was")
        state = {name: getattr(self, name) for name in _PLAIN_FIELDS}
        state["model"] = self.model.state_dict()
        state["optimizer"] = self.optimizer.state_dict()
        state["method"] = self.method.state_dict() if self.method else None
        state["running_mean"] = self.running_mean.state_dict() if self.running_mean else None
        state["random"] = random_states()
        state["settings"] = self.settings
        state["teacher"] = self.teacher
        save_checkpoint(path, state)

    def restore(self, path: Path) -> None:
        """Restores a checkpoint, also the states of the global random generators. UserError where it was trained on
        other scans, with other settings, by another teacher or with another network."""
        state = load_checkpoint(path)
        missing = sorted({*_PLAIN_FIELDS, *_PARTS} - state.keys())
        if missing or not isinstance(state["step"], int):
            raise UserError(
                f"checkpoint {path} has no {', '.join(missing) or 'number of steps'}: it is damaged; {WAY_ON}"
            )
        if changed := changed_settings(state.get("settings"), self.settings):
            raise UserError(
                f"{path.parent / 'config.yaml'} was changed since this run started, in {', '.join(changed)}: a run "
                "goes on with the settings that it began with; put them back, or start a new run"
            )
        if state["data_fingerprint"] != self.data_fingerprint:
            raise UserError(
                f"{path} was trained on other scans than the data set holds now; put the same scans there or start a "
                "new run"
            )
        # Checkpoints of earlier versions know nothing of their teacher.
        if state.get("teacher", self.teacher) != self.teacher:
            raise UserError(
                "distillation.teacher or its committee holds other weights than those that taught the first "
                f"{state['step']} steps of {path.parent}: put those there, or start a new run"
            )
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.method:
                self.method.load_state_dict(state["method"])
            if self.running_mean:
                self.running_mean.load_state_dict(state["running_mean"])
            restore_random_states(state["random"])
        # torch has no exception of its own for a state of another network.
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"checkpoint {path} does not fit the network, optimizer and method that {path.parent / 'config.yaml'} "
                f"describes: put back the settings that the run began with; or {WAY_ON}"
            ) from error
        for name in _PLAIN_FIELDS:
            setattr(self, name, state[name])

    @contextlib.contextmanager
    def weights_to_keep(self) -> Iterator[Network]:
        """Within the `with` block the model has the weights that are validated and saved: the running mean where there
        is one."""
        if self.running_mean is None:
            yield self.model
            return
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.running_mean.state)
        try:
            yield self.model
        finally:
            self.model.load_state_dict(own)


_PARTS = ("model", "optimizer", "method", "running_mean", "random")
_PLAIN_FIELDS = ("data_fingerprint", "step", "best_miou", "best_step", "last_validation", "seconds")


def first_not_finite(model: torch.nn.Module) -> str | None:
    """Name of the first tensor in the state of a module that has a value that is not finite; None if all are."""
    return next((name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()), None)
