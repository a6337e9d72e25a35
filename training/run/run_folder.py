"""The folder of one training run: its settings, logs, checkpoint and weights. Never overwritten."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import write_atomically
from pvd_core.borders.settings import filled
from training.run.config import TrainConfig, config_as_dict, differing_keys, load_config

# Settings that a resumed run may change, because they do not change what is computed, or only when it stops.
_FREE_ON_RESUME = (
    "checkpoint_every_steps",
    "dataset",
    "device",
    "distillation.cache",
    "distillation.committee",
    "distillation.teacher",
    "initial_weights",
    "log_gradients_every_steps",
    "max_minutes",
    "multi_to_single.instances",
    "num_threads",
    "num_workers",
    "stream.num_processes",
)


class RunFolder:
    """The paths of the files of a run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.checkpoint = self.path / "checkpoint.pt"
        self.losses = self.path / "losses.jsonl"
        self.validations = self.path / "validation.jsonl"
        self.best_weights = self.path / "best.safetensors"
        self.last_weights = self.path / "last.safetensors"
        self.summary = self.path / "summary.json"
        self.curves = self.path / "curves.png"
        self.tensorboard = self.path / "tensorboard"

    def check(self, config: TrainConfig, resume: bool) -> None:
        """UserError where the folder is not empty or, with `resume`, where it does not hold the run of `config`."""
        if resume:
            self._check_same_run(config)
        elif self.path.is_file():
            raise UserError(f"run folder {self.path} is a file; give the name of a new folder")
        elif self.path.exists() and any(self.path.iterdir()):
            raise UserError(f"run folder {self.path} is not empty; give a new one, or resume the run in it")

    def open(self, config: TrainConfig) -> None:
        """Makes the folder if it is missing and writes the full config into it."""
        for leftover in self.path.glob(".*.tmp"):
            # From a run that was killed while writing.
            leftover.unlink()
        write_atomically(self.config, yaml.safe_dump(config_as_dict(config), sort_keys=False).encode())

    def _check_same_run(self, config: TrainConfig) -> None:
        if not self.config.is_file():
            raise UserError(f"{self.path} holds no run to resume: {self.config.name} is missing")
        changed = [key for key in differing_keys(load_config(self.config), config) if key not in _FREE_ON_RESUME]
        if changed:
            raise UserError(
                f"{self.config} differs from the settings given in {', '.join(changed)}; resume with the same settings "
                "or start a new run"
            )


def changed_settings(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """Dotted names of the settings, as `config_as_dict` gives them, in which a run that goes on differs from what it
    was; none where nothing is known of `before`."""
    if not isinstance(before, dict):
        return []
    # What a checkpoint does not name is newer than the checkpoint, and had its default.
    known = config_as_dict(filled(TrainConfig, before))
    return [key for key in differing_keys(known, now) if key not in _FREE_ON_RESUME]


def read_run_config(run_dir: str | Path) -> TrainConfig:
    """The config of the run in a folder; UserError where there is no run."""
    path = RunFolder(run_dir).config
    if not path.is_file():
        raise UserError(f"{run_dir} holds no training run: {path.name} is missing")
    return load_config(path)


class JsonLines:
    """A file with one JSON object a line. Each is handed to the operating system before `write` returns."""

    def __init__(self, path: Path, last_step: int) -> None:
        """Keeps the lines of steps up to `last_step`. A killed run may have logged steps after its checkpoint, which
        are repeated now, and half a line."""
        if Path(path).exists():
            kept = [line for line in Path(path).read_text().splitlines() if _step_of(line) <= last_step]
            write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
        try:
            self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error

    def write(self, **values: Any) -> None:
        """Adds a line; UserError on a full disk."""
        try:
            self._file.write(json.dumps(values) + "\n")
        except OSError as error:
            raise UserError(
                f"{self._file.name} cannot be written: {error.strerror}; free some space and resume"
            ) from error

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")


def source_commit() -> str:
    """The git commit of this source tree, with "-dirty" if there are local changes; "unknown" outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return "unknown"
    command = ["git", "-C", os.fspath(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
