"""The result file of one run of a grid, and the check that the run in a folder has the settings of the grid."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import write_atomically
from pvd_core.borders.settings import filled
from pvd_core.runtime.hardware import hardware, versions
from pvd_core.segmenter import resolve_device
from training.ablation.plan import Run
from training.run.config import TrainConfig, config_as_dict, differing_keys, load_config
from training.run.run_folder import RunFolder, source_commit

_FILE = "result.json"
_METRICS = ("miou", "miou_present", "iou", "accuracy")
# Settings that do not make it another run: where files lie, and what computes.
_FREE = (
    "dataset",
    "device",
    "distillation.cache",
    "distillation.committee",
    "distillation.teacher",
    "initial_weights",
    "num_threads",
    "num_workers",
)


def write_result(run: Run, metrics: Mapping[str, Any], steps: int, minutes: float) -> None:
    """Writes the result file of a run. `metrics`: those of `judge.evaluate.metrics_of` at least."""
    result = {
        "row": run.row,
        "seed": run.seed,
        **{name: metrics[name] for name in _METRICS},
        "steps": steps,
        "minutes": minutes,
        "hardware": hardware(resolve_device(run.config.device)),
        "versions": versions(),
        "commit": source_commit(),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "config": config_as_dict(run.config),
    }
    write_atomically(run.folder / _FILE, json.dumps(result, indent=2).encode())


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` has a result file."""
    return (folder / _FILE).is_file()


def read_result(run: Run) -> dict[str, Any] | None:
    """What the result file of a run holds; None for a run that has not finished."""
    try:
        return json.loads((run.folder / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def check_same_run(run: Run) -> None:
    """UserError where the folder of `run` holds a run with other settings."""
    result, config_path = read_result(run), RunFolder(run.folder).config
    if result is not None:
        found = filled(TrainConfig, result["config"])
    elif config_path.is_file():
        found = load_config(config_path)
    else:
        return
    changed = [key for key in differing_keys(found, run.config) if key not in _FREE]
    if changed:
        raise UserError(
            f"{run.folder} holds a run that differs from the grid in {', '.join(changed)}; give another --out, or "
            "remove that folder to run it again"
        )
