import itertools
import json

import pytest
from tiny_dataset import TINY_MODEL, write_dataset

from training.run.config import load_config
from training.run.curves import draw_curves
from training.run.loop import train
from training.run.run_folder import RunFolder


def test_curves_of_a_run_are_drawn_even_before_its_first_validation(tmp_path):
    run = RunFolder(tmp_path)
    assert draw_curves(run).read_bytes().startswith(b"\x89PNG")

    lines = [{"step": step, "lovasz": 1 / step, "cross_entropy": 2 / step} for step in range(1, 200)]
    run.losses.write_text("".join(json.dumps(line) + "\n" for line in lines))
    empty = run.curves.stat().st_size
    assert draw_curves(run).stat().st_size > empty


def test_terms_of_a_distillation_have_axes_of_their_own(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="curves need matplotlib: pip install 'pvd_ros[view]'")
    run = RunFolder(tmp_path)
    widths = []
    for terms in ({}, {"voxel_affinity": 0.01}):
        run.losses.write_text(json.dumps({"step": 1, "lovasz": 1.0, **terms}) + "\n")
        widths.append(pyplot.imread(draw_curves(run)).shape[1])
    assert widths[1] == 1.5 * widths[0]


def test_terms_of_a_teacher_that_stops_are_drawn_as_far_as_they_go(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="curves need matplotlib: pip install 'pvd_ros[view]'")
    run, pictures = RunFolder(tmp_path), []
    for last in (40, 100, 200):
        terms = [{"voxel_affinity": 0.01} if step <= last else {} for step in range(1, 201)]
        lines = [{"step": step, "lovasz": 1.0, **term} for step, term in enumerate(terms, start=1)]
        run.losses.write_text("".join(json.dumps(line) + "\n" for line in lines))
        pictures.append(pyplot.imread(draw_curves(run)))
    assert all((first != second).any() for first, second in itertools.pairwise(pictures))


def test_training_ends_with_its_curves(tmp_path):
    dataset = write_dataset(tmp_path / "data", {"00": 1, "08": 1})
    train(load_config(None, [f"dataset={dataset}", f"model={json.dumps(TINY_MODEL)}", "max_steps=1"]), tmp_path / "run")
    assert RunFolder(tmp_path / "run").curves.read_bytes().startswith(b"\x89PNG")
