"""Training runs from end to end on tiny data: learning, run folder, limits, mistakes."""

import json

import numpy as np
import pytest
import torch
import yaml
from tiny_dataset import TINY_MODEL, write_dataset, write_scan

from pvd_core.borders.errors import UserError
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import read_facts
from training.judge.evaluate import evaluate
from training.run.config import config_as_dict, load_config
from training.run.loop import train
from training.run.progress import NoProgress
from training.run.run_folder import read_run_config
from training.run.state import DivergedError

pytestmark = pytest.mark.usefixtures("without_curves")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 6, "01": 2, "08": 3})


def config_for(dataset, *overrides):
    base = [f"dataset={dataset}", f"model={json.dumps(TINY_MODEL)}", "num_threads=1", "schedule.warmup_steps=2"]
    return load_config(None, [*base, "optimizer.learning_rate=0.01", *overrides])


class AtStart(NoProgress):
    """Does something when the data set has been checked and the first step is about to come."""

    def __init__(self, action):
        self.start = lambda step, num_steps: action()


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished_run(dataset, tmp_path_factory):
    """(run folder, summary, config) of a run that had the time to learn."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    config = config_for(dataset, "max_steps=36", "validation.every_steps=15", "ema_decay=0.9", "epochs=100")
    return run_dir, train(config, run_dir), config


def test_network_learns(finished_run):
    run_dir, summary, _ = finished_run
    losses = [line["loss"] for line in lines_of(run_dir / "losses.jsonl")]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert summary["miou_present"] > 0.6
    assert summary["miou"] == pytest.approx(summary["miou_present"] * 3 / 19)


def test_run_folder_holds_settings_logs_and_weights(finished_run):
    run_dir, summary, config = finished_run
    assert yaml.safe_load((run_dir / "config.yaml").read_text()) == config_as_dict(config)
    assert read_run_config(run_dir) == config
    losses = lines_of(run_dir / "losses.jsonl")
    assert [line["step"] for line in losses] == list(range(1, 37))
    terms = ("cross_entropy", "lovasz", "point_cross_entropy")
    assert all(line["loss"] == pytest.approx(sum(line[term] for term in terms)) for line in losses)
    validations = lines_of(run_dir / "validation.jsonl")
    assert [line["step"] for line in validations] == [15, 30, 36]
    best = max(validations, key=lambda line: line["miou"])
    assert (summary["best_step"], summary["best_miou"]) == (best["step"], best["miou"])
    assert json.loads((run_dir / "summary.json").read_text()) == summary
    assert list((run_dir / "tensorboard").glob("events*"))
    assert not list(run_dir.glob(".*"))


def test_evaluating_the_saved_weights_gives_the_validated_score(dataset, finished_run):
    _, summary, _ = finished_run
    seen = []
    result = evaluate(dataset, summary["last_weights"], "valid", "cpu", lambda *counts: seen.append(counts))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert (result["miou"], result["miou_present"]) == (summary["miou"], summary["miou_present"])
    assert result["iou"] == summary["iou"]
    assert list(result["iou"]) == list(SEMANTICKITTI.names[1:])
    assert (result["num_points"], result["num_scans"], result["sequences"]) == (6000, 3, ["08"])
    assert evaluate(dataset, summary["weights"], ["08"], "cpu")["miou"] == summary["best_miou"]
    assert json.loads(json.dumps(result)) == result


def test_evaluation_says_which_sequences_the_weights_were_trained_on(dataset, finished_run, tmp_path):
    _, summary, _ = finished_run
    assert evaluate(dataset, summary["weights"], "valid", "cpu")["seen_in_training"] == []
    assert evaluate(dataset, summary["weights"], ["01", "08"], "cpu")["seen_in_training"] == ["01"]
    elsewhere = write_dataset(tmp_path / "other_drive", {"01": 1})
    assert evaluate(elsewhere, summary["weights"], "train", "cpu")["seen_in_training"] == []


def test_evaluation_says_which_sequences_ancestors_of_the_weights_were_trained_on(dataset, tmp_path):
    def trained(name, *overrides):
        config = config_for(dataset, "max_steps=1", "validation.max_scans=1", *overrides)
        return train(config, tmp_path / name)["last_weights"]

    def seen(weights):
        return evaluate(dataset, weights, ["00", "01", "08"], "cpu", max_scans=1)["seen_in_training"]

    first = trained("first", "sequences=[08]")
    finetuned = trained("finetuned", "sequences=[00]", f"initial_weights={first}")
    distilled = trained("distilled", "sequences=[00]", f"distillation.teacher={first}")
    assert seen(first) == ["08"]
    assert seen(finetuned) == seen(distilled) == ["00", "08"]
    assert read_facts(finetuned)["training_data"]["sequences"] == ["00"]
    taught = read_facts(distilled)["distilled"]
    assert taught["method"] == "pvd"
    assert taught["teacher"]["training_data"]["sequences"] == ["08"]
    assert taught["teacher"]["model"] == read_facts(first)["model"]
    assert "distilled" not in read_facts(finetuned)
    # Ancestors of ancestors count too, through the teacher as well as through the initial weights.
    assert seen(trained("grandchild", "sequences=[01]", f"initial_weights={distilled}")) == ["00", "01", "08"]
    assert seen(trained("pupil", "sequences=[01]", f"distillation.teacher={finetuned}")) == ["00", "01", "08"]


def test_evaluation_counts_what_the_segmenter_labels(dataset, finished_run):
    _, summary, _ = finished_run
    segmenter = Segmenter.from_weights(summary["weights"], "cpu")
    hits = 0
    for frame in range(3):
        stem = dataset / "sequences" / "08"
        points = np.fromfile(stem / "velodyne" / f"{frame:06d}.bin", "<f4").reshape(-1, 4)
        raw = np.fromfile(stem / "labels" / f"{frame:06d}.label", "<u4") & 0xFFFF
        truth = np.select([raw == 40, raw == 50, raw > 0], [9, 13, 1])
        hits += (segmenter.segment(points).labels == truth).sum()
    assert evaluate(dataset, summary["weights"], "valid", "cpu")["accuracy"] == pytest.approx(hits / 6000)


def test_weights_carry_where_they_come_from(finished_run):
    _, summary, config = finished_run
    facts = read_facts(summary["weights"])
    assert facts["classes"] == list(SEMANTICKITTI.names)
    assert facts["training_data"]["sequences"] == ["00", "01"]
    assert facts["training_data"]["num_scans"] == 8
    assert (facts["seed"], facts["step"]) == (config.seed, summary["best_step"])
    assert facts["validation"]["miou"] == summary["best_miou"]
    assert facts["model"]["grid"]["shape"] == TINY_MODEL["grid"]["shape"]
    assert facts["commit"]


def test_run_folder_in_use_is_not_overwritten(dataset, finished_run):
    run_dir, _, config = finished_run
    with pytest.raises(UserError, match="not empty; give a new one, or resume"):
        train(config, run_dir)


def test_resuming_a_finished_run_repeats_its_summary(finished_run):
    run_dir, summary, config = finished_run
    assert train(config, run_dir, resume=True) == summary


def test_resuming_with_other_settings_names_them(dataset, finished_run):
    run_dir, _, _ = finished_run
    with pytest.raises(UserError, match=r"differs from the settings given in ema_decay, seed"):
        train(config_for(dataset, "max_steps=36", "validation.every_steps=15", "epochs=100", "seed=9"), run_dir, True)


def test_resuming_where_no_run_is_says_so(dataset, tmp_path):
    with pytest.raises(UserError, match="holds no run to resume"):
        train(config_for(dataset), tmp_path / "absent", resume=True)


def test_resuming_on_other_scans_is_refused(tmp_path):
    data = write_dataset(tmp_path / "data", {"00": 2, "08": 1})
    config = config_for(data, "max_steps=2")
    train(config, tmp_path / "run")
    write_dataset(data, {"00": 3})
    with pytest.raises(UserError, match="trained on other scans"):
        train(config, tmp_path / "run", resume=True)


def test_losses_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    losses = []
    for num_workers in (0, 2):
        run_dir = tmp_path / str(num_workers)
        train(config_for(dataset, "max_steps=4", f"num_workers={num_workers}"), run_dir)
        losses.append([line["loss"] for line in lines_of(run_dir / "losses.jsonl")])
    assert losses[0] == losses[1]


def test_accumulated_batches_count_as_one_step(dataset, tmp_path):
    config = config_for(dataset, "batch_size=1", "accumulate=4", "epochs=1.5")
    assert train(config, tmp_path / "run")["steps"] == 3
    assert [line["epoch"] for line in lines_of(tmp_path / "run" / "losses.jsonl")] == [0, 0.5, 1]


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer.name=adam", "schedule.name=constant", "optimizer.gradient_clip=0"],
        ["loss.class_weights=sqrt", "model.refinement=none"],
        ["model.refinement=R1", "loss.lovasz=0"],
        ["augmentation.drop_points=0.5", "augmentation.intensity_jitter=0.2"],
        ["mixing.laser_mix=0.5", "mixing.polar_mix=0.5", "mixing.paste_objects=2"],
        ["epochs=null", "augmentation.drop_rings=1", "augmentation.drop_patches=3", "augmentation.tilt_degrees=2"],
    ],
)
def test_options_train(dataset, tmp_path, overrides):
    summary = train(config_for(dataset, "max_steps=3", *overrides), tmp_path / "run")
    assert summary["stopped"] == "done"
    assert all(np.isfinite(line["loss"]) for line in lines_of(tmp_path / "run" / "losses.jsonl"))


def test_training_starts_from_given_weights(dataset, finished_run, tmp_path):
    _, summary, _ = finished_run
    config = config_for(dataset, "max_steps=1", f"initial_weights={summary['weights']}", "optimizer.learning_rate=1e-9")
    assert train(config, tmp_path / "run")["miou"] == pytest.approx(summary["best_miou"], abs=0.02)


def test_time_limit_stops_the_run_and_resuming_finishes_it(dataset, tmp_path):
    config = config_for(dataset, "max_steps=5", "max_minutes=1e-6")
    summary = train(config, tmp_path / "run")
    assert (summary["stopped"], summary["steps"]) == ("max_minutes", 0)
    unlimited = config_for(dataset, "max_steps=5")
    assert train(unlimited, tmp_path / "run", resume=True)["stopped"] == "done"
    assert len(lines_of(tmp_path / "run" / "losses.jsonl")) == 5


def test_loss_that_is_not_finite_stops_the_run_names_the_term_and_keeps_the_state(tmp_path):
    data = write_dataset(tmp_path / "data", {"00": 1, "08": 1})
    points = np.random.default_rng(0).uniform(-5, 5, (100, 4))
    write_scan(data, "00", "000001", points, np.full(100, 40))
    # Finite, yet the sums of the first norm overflow.
    points[:, 3] = 3e38
    spoilt = AtStart(lambda: write_scan(data, "00", "000001", points, np.full(100, 40)))
    config = config_for(data, "batch_size=1", "max_steps=20", "checkpoint_every_steps=1")
    with pytest.raises(DivergedError, match=r"cross_entropy is nan on scans 00/000001; .*checkpoint\.pt keeps"):
        train(config, tmp_path / "run", progress=spoilt)
    kept = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert all(torch.isfinite(tensor).all() for tensor in kept["model"].values())
    assert kept["step"] == len(lines_of(tmp_path / "run" / "losses.jsonl"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.widht=3"], "did you mean 'width'"),
        (["loss.point_cross_entropy=0"], "labels points by its point outputs"),
        (["device=tpu"], "expected auto, cpu, cuda"),
        (["sequences=[05]"], "no sequence 05; found 00, 01, 08"),
        (["initial_weights=absent.safetensors"], "does not exist"),
        (["initial_slice=true"], "give initial_weights"),
    ],
)
def test_mistakes_are_found_before_a_folder_is_made(dataset, tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        train(config_for(dataset, *overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_folder_that_cannot_be_made_is_refused(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        train(config_for(dataset), tmp_path / "file")
    with pytest.raises(UserError, match="cannot write"):
        train(config_for(dataset), tmp_path / "file" / "run")


def test_broken_scan_met_while_training_is_reported_and_the_run_can_go_on(tmp_path):
    data = write_dataset(tmp_path / "data", {"00": 4, "08": 1})
    path = data / "sequences" / "00" / "velodyne" / "000002.bin"
    whole = path.read_bytes()
    config = config_for(data, "batch_size=1", "max_steps=4", "num_workers=1", "checkpoint_every_steps=1")
    with pytest.raises(UserError, match=r"000002\.bin is truncated"):
        train(config, tmp_path / "run", progress=AtStart(lambda: path.write_bytes(whole[:-3])))
    path.write_bytes(whole)
    assert train(config, tmp_path / "run", resume=True)["steps"] == 4


def test_evaluating_unknown_labels_or_the_test_split_is_an_error(tmp_path, finished_run):
    _, summary, _ = finished_run
    data = write_dataset(tmp_path, {"08": 1})
    (data / "sequences" / "08" / "labels" / "000000.label").write_bytes(np.full(2000, 41, "<u4").tobytes())
    with pytest.raises(UserError, match=r"000000\.label: unknown raw label ids 41"):
        evaluate(data, summary["weights"], "valid", "cpu")
    with pytest.raises(UserError, match="no labels"):
        evaluate(data, summary["weights"], "test", "cpu")
