"""What a run writes down as it goes: JSON lines always, TensorBoard where it is installed."""

from training.run.run_folder import JsonLines


class Logs:
    """Losses and validations of a run folder. Lines after `last_step`, of a run that was killed, are dropped."""

    def __init__(self, run, last_step):
        self._losses = JsonLines(run.losses, last_step)
        self._validations = JsonLines(run.validations, last_step)
        self._tensorboard = _tensorboard(run.tensorboard, last_step)

    @property
    def has_tensorboard(self):
        return not isinstance(self._tensorboard, _NoTensorBoard)

    def losses(self, step, **values):
        self._losses.write(step=step, **values)
        for name, value in values.items():
            self._tensorboard.add_scalar(f"train/{name}", value, step)

    def validation(self, step, metrics):
        self._validations.write(step=step, **metrics)
        for name in ("miou", "miou_present", "accuracy"):
            self._tensorboard.add_scalar(f"validation/{name}", metrics[name], step)
        for name, value in metrics["iou"].items():
            self._tensorboard.add_scalar(f"iou/{name}", value, step)

    def close(self):
        self._losses.close()
        self._validations.close()
        self._tensorboard.close()


class NoLogs:
    """Writes nothing, for the ranks that leave it to the first."""

    has_tensorboard = True

    def losses(self, step, **values):
        pass

    def validation(self, step, metrics):
        pass

    def close(self):
        pass


class _NoTensorBoard:
    def add_scalar(self, name, value, step):
        pass

    def close(self):
        pass


def _tensorboard(path, last_step):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return _NoTensorBoard()
    return SummaryWriter(str(path), purge_step=last_step + 1)
