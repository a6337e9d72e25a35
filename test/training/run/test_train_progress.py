"""What a run shows and writes while it goes on."""

import io
import sys

import pytest
from rich.console import Console

from training.run.config import load_config
from training.run.logs import Logs
from training.run.progress import ConsoleProgress
from training.run.run_folder import RunFolder

RECORD = {"loss": 1.25, "data_wait_ms": 50.0}
METRICS = {
    "miou": 0.25,
    "miou_present": 0.5,
    "accuracy": 0.75,
    "iou": {"car": 0.5, "road": 0.875, "pole": 0.0, "truck": 1e-5},
}


def shown(is_terminal):
    text = io.StringIO()
    progress = ConsoleProgress(Console(file=text, force_terminal=is_terminal, width=160))
    with progress:
        progress.note("a [note] in brackets")
        progress.start(0, 2)
        for step in (1, 2):
            progress.step(step, RECORD, step_s=0.5)
        progress.validating(1, 2)
        progress.validated(2, METRICS, is_best=True)
    return text.getvalue()


@pytest.mark.parametrize("is_terminal", [False, True])
def test_notes_and_validation_are_shown_on_terminals_and_in_files(is_terminal):
    text = shown(is_terminal)
    assert "a [note] in brackets" in text
    num_classes = len(METRICS["iou"])
    assert f"step 2: mean IoU 25.0 % over {num_classes} classes, 50.0 % over those present, the best so far" in text
    for words in ("car", "87.5 %", "2 other classes", "0 %"):
        assert words in text
    assert "pole" not in text


def test_lines_name_rate_time_left_data_wait_and_memory():
    lines = shown(is_terminal=False).splitlines()
    last = next(line for line in lines if line.startswith("step 2/2"))
    for part in ("loss 1.2500", "2.00 steps/s", "left 0 s", "data wait 10%", "peak RAM"):
        assert part in last


def test_without_tensorboard_losses_are_still_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    logs = Logs(RunFolder(tmp_path), last_step=0)
    logs.losses(1, loss=0.5)
    logs.validation(1, METRICS)
    logs.close()
    assert not logs.has_tensorboard
    assert (tmp_path / "losses.jsonl").read_text() == '{"step": 1, "loss": 0.5}\n'
    assert not (tmp_path / "tensorboard").exists()


def test_shipped_training_configs_are_valid(project_root):
    paths = sorted((project_root / "config").glob("train*.yaml"))
    assert paths
    for path in paths:
        assert load_config(path, ["dataset=d"]).dataset == "d"
