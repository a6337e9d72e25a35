"""Trains one network as `pvd train` does, for the time of a step: a family's teacher, its student taught by it, or its
student alone for as many steps.

A short run shows first how many steps there is time for, beside the other trainings of the stage like the long one.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from scripts.gpu.report import Rows
from scripts.gpu.sizes import Family, sizes_on
from scripts.gpu.step_options import run_main, seconds_left, step_parser
from training.run.config import TrainConfig, load_config
from training.run.loop import train
from training.run.run_folder import RunFolder

ROLES = ("teacher", "pvd", "student")
_CONFIG = Path(__file__).resolve().parents[2] / "config" / "train_simulated.yaml"
# Compiling and filling the queue of batches are over after so many of the short run's steps.
_SHORT_RUN, _STEPS_BEFORE_TIMING = 24, 12
# Of the time that is left after it; the rest is for starting, scoring and saving.
_SHARE_OF_TRAINING = 0.8


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("family")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds `sequences`")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs, ROLE-FAMILY")
    options = parser.parse_args()
    sizes, name = sizes_on(options.device), f"{options.role}-{options.family}"
    config = _config(options.role, sizes.families[options.family], options)
    step_s = _seconds_a_step(config, RunFolder(options.runs / f"short-{name}"))
    if options.role == "student":
        taught = RunFolder(options.runs / f"pvd-{options.family}")
        steps = _steps_of(taught, until=options.end - seconds_left(options) / 2)
    else:
        steps = min(int(_SHARE_OF_TRAINING * seconds_left(options) / step_s), sizes.most_training_steps)
    run = RunFolder(options.runs / name)
    config = replace(config, max_steps=max(steps, 1), max_minutes=max(seconds_left(options), 1) / 60)
    summary = train(config, run.path)

    assert summary is not None  # there is one rank
    row = {key: summary[key] for key in ("num_parameters", "steps", "minutes", "miou", "miou_present")}
    rates = {key: float(np.median(_logged(run, key))) for key in ("step_ms", "data_wait_ms")}
    about = {"planned_steps": config.max_steps, "batch_size": config.batch_size, "precision": config.precision}
    Rows(options.json).add({"role": options.role, "family": options.family, **about, **row, **rates})


def _config(role: str, family: Family, options: argparse.Namespace) -> TrainConfig:
    training, validation = _sequences(options.data)
    model = family.teacher if role == "teacher" else family.student
    settings: dict[str, Any] = {
        "dataset": str(options.data),
        "device": options.device,
        "model": model,
        "initial_weights": family.initial_weights,
        "initial_widen": family.initial_weights is not None,
        "sequences": training,
        "validation.sequences": [validation],
        "validation.every_steps": 0,
        "checkpoint_every_steps": 1_000_000,  # a run that is cut here is not resumed
    }
    if role == "pvd":
        weights = options.runs / f"teacher-{options.family}" / "last.safetensors"
        settings["distillation"] = {"teacher": str(weights), "method": "pvd", "settings": family.strengths}
    texts = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return load_config(_CONFIG, [*texts, *sizes_on(options.device).training_settings, *family.training_settings])


def _sequences(root: Path) -> tuple[list[str], str]:
    """(training sequences, the one that validates): 08, or the last one if it is not there. With one sequence it is
    both. UserError where nothing is labelled."""
    labelled = sorted(path.parent.name for path in root.glob("sequences/*/labels") if any(path.glob("*.label")))
    if not labelled:
        raise UserError(f"{root}: no labelled scans, so nothing to train on")
    valid = "08" if "08" in labelled else labelled[-1]
    return [name for name in labelled if name != valid] or [valid], valid


def _seconds_a_step(config: TrainConfig, run: RunFolder) -> float:
    """Of a short run on one validation scan."""
    train(replace(config, max_steps=_SHORT_RUN, validation=replace(config.validation, max_scans=1)), run.path)
    return float(np.median(_logged(run, "step_ms")[_STEPS_BEFORE_TIMING:])) / 1e3


def _logged(run: RunFolder, key: str) -> list[float]:
    """Of each step of a run."""
    return [json.loads(line)[key] for line in run.losses.read_text().splitlines()]


def _steps_of(run: RunFolder, until: float) -> int:
    """How many steps a run is to take, which another process starts. UserError where it has not by then."""
    while time.time() < until:
        if run.config.is_file():
            return load_config(run.config).max_steps or 0
        time.sleep(0.2)
    raise UserError(f"{run.path}: not started, so nobody knows how many steps the student alone is to take")


if __name__ == "__main__":
    run_main(main)
