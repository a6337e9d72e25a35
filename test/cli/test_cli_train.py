"""`pvd train --dry-run`: it trains, and it leaves nothing behind."""

import json

from bare_streets import bare_streets
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_cli.main import run


def test_train_dry_run_trains_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    small = ["model.width=2", "model.grid.shape=[40,30,8]", "num_threads=1"]
    with bare_streets():
        assert run(["train", "--dry-run", *(word for key in small for word in ("--set", key))]) == 0
    assert "dry run ended well: 3 steps" in capsys.readouterr().out
    assert [path for path in tmp_path.iterdir() if path.name.startswith("pvd_dry_run")] == []


def test_train_dry_run_takes_the_data_and_the_settings_that_are_given(tmp_path, capsys, error_of):
    data = write_dataset(tmp_path / "data", {"00": 2, "08": 1})
    config = tmp_path / "config.yaml"
    config.write_text(f"model: {json.dumps(TINY_MODEL)}\nepochs: 40\nbatch_size: 2\nnum_threads: 1\n")
    line = ["train", str(data), "--config", str(config), "--dry-run"]
    assert run(line) == 0
    printed = "".join(capsys.readouterr())
    assert "dry run ended well: 3 steps" in printed
    assert f"{data}: 2 scans of sequences 00" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "data"]

    assert "unknown" in error_of(*line, "--set", "optimizer.speed=1")
    assert "nowhere" in error_of("train", tmp_path / "nowhere", "--dry-run")
    assert "leave out --out" in error_of(*line, "--out", tmp_path / "run")
    assert "--time 3" in error_of("distill", data, "--dry-run")
