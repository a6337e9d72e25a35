"""The picture of a training run over its steps: terms of the loss, those of distillation in a plot of their own, and
validation mIoU."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.run.config import SUPERVISED_TERMS
from training.run.logs import SHARE
from training.run.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Keys in a line of losses.jsonl that are not terms of the loss.
_OTHERS = ("step", "loss", "epoch", "learning_rate", "gradient_norm", "data_wait_ms", "step_ms")
# Each drawn point is the mean over this share of the run.
_SMOOTHING_SHARE = 1 / 60


def draw_curves(run: RunFolder) -> Path | None:
    """Draws `curves.png` in the folder of a run from its logs. Returns its path, or None where matplotlib is not
    installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    losses, validations = _read_lines(run.losses), _read_lines(run.validations)
    terms = [name for name in losses[0] if name not in _OTHERS and not name.startswith(SHARE)] if losses else []
    titles = {"training losses": [name for name in terms if name in SUPERVISED_TERMS]}
    if set(terms) - set(SUPERVISED_TERMS):
        # They are ten or more times smaller: in one plot with the others they would lie on the axis.
        titles["terms of the distillation"] = [name for name in terms if name not in SUPERVISED_TERMS]
    figure = Figure(figsize=(5 * len(titles) + 5, 4), layout="constrained")
    FigureCanvasAgg(figure)
    *loss_axes, score_axes = figure.subplots(1, len(titles) + 1)
    for axes, (title, names) in zip(loss_axes, titles.items(), strict=True):
        _draw_terms(axes, losses, names)
        axes.set(title=title, xlabel="step", ylim=(0, None), xlim=(0, losses[-1]["step"] + 1) if losses else None)
    scores = [100 * line["miou_present"] for line in validations]
    score_axes.plot([line["step"] for line in validations], scores, "o-")
    score_axes.set(title="validation mean IoU in %, classes present", xlabel="step", ylim=(0, 100))
    score_axes.grid(alpha=0.3)
    figure.savefig(run.curves, dpi=100)
    return run.curves


def _draw_terms(axes: "Axes", losses: list[dict[str, Any]], names: list[str]) -> None:
    width = max(1, round(len(losses) * _SMOOTHING_SHARE))
    parts = [losses[start : start + width] for start in range(0, len(losses), width)]
    for name in names:
        # Terms of a teacher that teaches in the first steps alone are missing in the others.
        having = [lines for part in parts if (lines := [line for line in part if name in line])]
        means = [sum(line[name] for line in lines) / len(lines) for lines in having]
        axes.plot([lines[-1]["step"] for lines in having], means, label=name.replace("_", " "))
    if names:
        axes.legend()


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
