"""The logs of a run: JSON lines always, TensorBoard where it is installed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.run.run_folder import JsonLines, RunFolder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SHARE = "gradient_share_"
"""Begins the names of shares of terms in the supervised gradient, before that of the term."""


class Logs:
    """Losses and validations, written into the folder of a run."""

    def __init__(self, run: RunFolder, last_step: int) -> None:
        """Drops what is logged of steps after `last_step`: a run that was killed repeats them."""
        self._losses = JsonLines(run.losses, last_step)
        self._validations = JsonLines(run.validations, last_step)
        self._tensorboard = _tensorboard(run.tensorboard, last_step)

    @property
    def has_tensorboard(self) -> bool:
        """Whether TensorBoard is installed."""
        return not isinstance(self._tensorboard, _NoTensorBoard)

    def losses(self, step: int, **values: float) -> None:
        """Logs the losses of a step and what else was measured in it."""
        self._losses.write(step=step, **values)
        for name, value in values.items():
            self._tensorboard.add_scalar(f"train/{name}", value, step)

    def validation(self, step: int, metrics: dict[str, Any]) -> None:
        """Logs the metrics, as `judge.evaluate.metrics_of` gives them, of the weights after a step."""
        self._validations.write(step=step, **metrics)
        for name in ("miou", "miou_present", "accuracy"):
            self._tensorboard.add_scalar(f"validation/{name}", metrics[name], step)
        for name, value in metrics["iou"].items():
            self._tensorboard.add_scalar(f"iou/{name}", value, step)

    def close(self) -> None:
        """Closes the files."""
        self._losses.close()
        self._validations.close()
        self._tensorboard.close()


class NoLogs:
    """Writes nothing: for all ranks but the first one."""

    has_tensorboard = True

    def losses(self, step: int, **values: float) -> None:
        pass

    def validation(self, step: int, metrics: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


class _NoTensorBoard:
    def add_scalar(self, name: str, value: float, step: int) -> None:
        pass

    def close(self) -> None:
        pass


def _tensorboard(path: Path, last_step: int) -> "SummaryWriter | _NoTensorBoard":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return _NoTensorBoard()
    return SummaryWriter(str(path), purge_step=last_step + 1)
