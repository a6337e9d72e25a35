"""Distillation as training runs it: which teacher fits, what the student starts from, exact resume, the command."""

import json
import re
import signal

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan, write_dataset
from toy_network import ToyConfig, ToyNetwork
from training_runs import finish, kill_after_step, results, start

from pvd_cli.checks.weights import _found
from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.losses import cross_entropy, lovasz_softmax
from pvd_core.losses.distillation import DistillationPair
from pvd_core.losses.methods import METHODS
from pvd_core.models import build_model
from pvd_core.models.build import ARCHITECTURES
from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN
from pvd_core.weights import load_model, read_facts, save_weights
from pvd_core.weights.facts import DISTILLED_KEY
from training.data.batches import make_batch
from training.data.example import Example
from training.distil.config import DistillationConfig
from training.distil.distillation import DistillationObjective, build_method, load_teacher
from training.run.config import LossConfig, load_config
from training.run.loop import train
from training.run.objective import SegmentationObjective
from training.run.progress import NoProgress

pytestmark = pytest.mark.usefixtures("without_curves")

WIDE_MODEL = {**TINY_MODEL, "width": 6, "num_voxel_features": 5}
SMALL_BOXES = {"supervoxel_size": [6, 6, 4]}


@pytest.fixture(scope="module")
def teacher_path(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "teacher.safetensors"
    save_weights(path, build_model(WIDE_MODEL))
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 4, "08": 1})


@pytest.fixture
def batch():
    points, raw = random_scan(np.random.default_rng(0))
    scan = Example.of_scan(points, SEMANTICKITTI.class_ids_from_raw(raw))
    return make_batch([scan] * 2, build_model(TINY_MODEL).grid, number=3)


def settings(method):
    return {"pvd": SMALL_BOXES, "skd": {"node_size": [6, 6, 4]}, "ka": {"autoencoder_steps": 0}}.get(method, {})


def objective_of(method, teacher_path, seed=0, num_taught=None):
    torch.manual_seed(0)
    student = build_model(TINY_MODEL)
    config = DistillationConfig(str(teacher_path), method, settings(method))
    teacher = load_teacher(teacher_path, student, SEMANTICKITTI, "cpu")
    supervised = SegmentationObjective(student, LossConfig())
    built = build_method(config, student, [teacher])
    return DistillationObjective(supervised, built, [teacher], SEMANTICKITTI, seed, num_taught=num_taught)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_adds_its_terms_to_the_supervised_ones_and_teaches_the_student(method, teacher_path, batch):
    objective = objective_of(method, teacher_path)
    terms = objective(batch)
    assert {"cross_entropy", "lovasz", "point_cross_entropy"} < set(terms)
    own = [name for name in terms if name not in ("cross_entropy", "lovasz", "point_cross_entropy", "ka_autoencoder")]
    before = [parameter.clone() for parameter in objective.teachers[0].parameters()]
    sum(terms[name] for name in own).backward()
    student = objective.supervised.model
    assert sum(parameter.grad.abs().sum().item() for parameter in student.backbone.parameters()) > 0
    after = list(objective.teachers[0].parameters())
    assert all(parameter.grad is None for parameter in after)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_terms_are_those_of_the_losses_on_the_outputs_of_both_networks(teacher_path, batch):
    objective = objective_of("pvd", teacher_path)
    terms = objective(batch)
    student = objective.supervised.model
    output, of_teacher = student(batch.voxels), objective.teachers[0](batch.voxels)
    assert terms["cross_entropy"].item() == pytest.approx(
        cross_entropy(output.voxel_logits_VC, batch.voxel_labels_V).item(), rel=1e-5
    )
    assert terms["lovasz"].item() == pytest.approx(
        lovasz_softmax(output.voxel_logits_VC.softmax(1), batch.voxel_labels_V).item(), rel=1e-5
    )
    pair = DistillationPair(
        output,
        of_teacher,
        batch.voxels,
        batch.voxel_labels_V,
        batch.point_labels_P,
        torch.from_numpy(SEMANTICKITTI.is_minority_C),
    )
    expected = objective.method._outputs(pair)
    assert {name: terms[name].item() for name in expected} == pytest.approx(
        {name: term.item() for name, term in expected.items()}, rel=1e-4
    )


def test_what_is_drawn_depends_on_the_seed_and_the_batch_alone(teacher_path, batch):
    def affinity(seed, number):
        batch.number = number
        return objective_of("pvd", teacher_path, seed)(batch)["point_affinity"].item()

    assert affinity(0, 3) == affinity(0, 3)
    assert len({affinity(0, 3), affinity(0, 4), affinity(1, 3)}) == 3


@pytest.mark.parametrize("method", METHODS)
def test_after_its_last_batch_the_teacher_is_not_asked_and_labels_alone_teach(method, teacher_path, batch):
    objective = objective_of(method, teacher_path, num_taught=4)
    assert objective(batch).keys() == objective_of(method, teacher_path)(batch).keys()  # its number is 3
    batch.number = 4
    objective.source = None
    terms, expected = objective(batch), objective.supervised(batch)
    assert {name: term.item() for name, term in terms.items()} == {name: term.item() for name, term in expected.items()}


def test_teacher_stays_in_evaluation_mode_and_out_of_what_is_trained_and_saved(teacher_path):
    objective = objective_of("pvd", teacher_path).train()
    assert not objective.teachers[0].training
    teachers = {id(parameter) for parameter in objective.teachers[0].parameters()}
    assert not teachers & {id(parameter) for parameter in objective.parameters()}


def test_teacher_with_other_classes_is_refused(teacher_path):
    student = build_model({**TINY_MODEL, "num_classes": 26})
    with pytest.raises(UserError, match="has taxonomy semantickitti, the student semantickitti-multiscan"):
        load_teacher(teacher_path, student, SEMANTICKITTI_MULTISCAN, "cpu")


def test_the_command_without_a_teacher_names_the_option(tmp_path, capsys):
    config = tmp_path / "student.yaml"
    config.write_text("max_steps: 2\n")
    for options in ([], ["--config", str(config)], ["--set", "distillation=null"]):
        assert run(["distill", str(tmp_path), *options, "--out", str(tmp_path / "run")]) == 2
        assert "no teacher: name its weights with --teacher" in capsys.readouterr().err
    config.write_text("distillation: {teacher: absent.safetensors}\n")
    for options in (["--config", str(config)], ["--set", "distillation.teacher=absent.safetensors"]):
        assert run(["distill", str(tmp_path), *options, "--out", str(tmp_path / "run")]) == 2
        assert "no teacher" not in capsys.readouterr().err
    assert run(["distill", str(tmp_path), "--set", "distillation=3", "--out", str(tmp_path / "run")]) == 2
    assert "distillation is 3: expected a section or null" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "reads", "without"),
    [
        ("pvd", {}, {"point_output": 0, "point_affinity": 0}),
        ("kd", {"on_points": True}, {"on_points": False}),
    ],
)
def test_a_method_on_points_names_the_settings_for_networks_without(teacher_path, method, reads, without):
    bare, path = build_model({**TINY_MODEL, "refinement": "none"}), str(teacher_path)
    teacher = load_teacher(teacher_path, bare, SEMANTICKITTI, "cpu")
    named = " and ".join(f"distillation.settings.{name}={json.dumps(value)}" for name, value in without.items())
    reading = DistillationConfig(path, method, reads)
    with pytest.raises(UserError, match=f"the student, a cylinder3d, has none: set {named}, or model.refinement"):
        build_method(reading, bare, [teacher])
    with pytest.raises(UserError, match=f"the teacher, a cylinder3d, has none: set {named}$"):
        build_method(reading, build_model(TINY_MODEL), [bare])
    build_method(DistillationConfig(path, method, without), bare, [teacher])


def test_a_network_that_never_has_point_outputs_is_told_no_setting_of_another(teacher_path, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "toy", (ToyNetwork, ToyConfig))
    teacher = load_teacher(teacher_path, build_model(TINY_MODEL), SEMANTICKITTI, "cpu")
    with pytest.raises(UserError, match=r"the student, a toy, has none: set (?!.*refinement)"):
        build_method(DistillationConfig(str(teacher_path)), ToyNetwork(), [teacher])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"method": "pvdd"}, "distillation.method is 'pvdd'"),
        ({"settings": {"point_outputs": 1}}, "did you mean distillation.settings.point_output"),
        ({"teachr": "x"}, "did you mean distillation.teacher"),
        ({"settings": {"temperature": -1}}, "temperature"),
        ({"until_step": 0}, "distillation.until_step is 0: expected at least 1"),
        ({"backbone": "resnet"}, "distillation.backbone is 'resnet', but the network is cylinder3d"),
        ({"backbone": "spvcnn"}, "distillation.backbone is 'spvcnn', but the network is cylinder3d"),
    ],
)
def test_settings_that_do_not_exist_are_refused_by_name(section, message, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"dataset": "x", "distillation": {"teacher": "t", **section}}))
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        load_config(path)


@pytest.fixture
def ka_overrides(dataset, teacher_path):
    """KA has it all: parts that learn beside the student, a step counter, random draws. A run that ends in step 5 goes
    on after step 3, before the counter ends the training of the autoencoder."""
    return [
        f"dataset={dataset}",
        f"model={json.dumps(TINY_MODEL)}",
        "max_steps=8",
        "num_threads=1",
        "checkpoint_every_steps=3",
        "validation.every_steps=0",
        f"distillation.teacher={teacher_path}",
        "distillation.method=ka",
        'distillation.settings={"autoencoder_steps": 4}',
        f"initial_weights={teacher_path}",
        "initial_slice=true",
    ]


class FailingInStep5(NoProgress):
    def step(self, step, record, step_s):
        if step == 5:
            raise RuntimeError("as if killed")


def failed_and_resumed(overrides, tmp_path):
    """The folder of a run that failed in step 5 and went on, after a check that its results are those of an unbroken
    one."""
    config, broken = load_config(None, overrides), tmp_path / "broken"
    train(config, tmp_path / "unbroken")
    with pytest.raises(RuntimeError, match="as if killed"):
        train(config, broken, progress=FailingInStep5())
    train(config, broken, resume=True)
    assert results(broken) == results(tmp_path / "unbroken")
    return broken


def test_distillation_that_fails_and_is_resumed_gives_the_same_losses(ka_overrides, tmp_path):
    failed_and_resumed(ka_overrides, tmp_path)


def test_a_teacher_that_stops_leaves_its_terms_out_also_after_a_resume(ka_overrides, tmp_path):
    run_dir = failed_and_resumed([*ka_overrides, "distillation.until_step=4", "accumulate=2"], tmp_path)
    lines = [json.loads(line) for line in (run_dir / "losses.jsonl").read_text().splitlines()]
    assert ["ka_autoencoder" in line for line in lines] == [True] * 4 + [False] * 4
    facts = read_facts(run_dir / "last.safetensors")
    assert (facts[DISTILLED_KEY]["until_step"], facts["step"]) == (4, 8)


def test_a_run_does_not_go_on_with_other_weights_under_the_name_of_its_teacher(ka_overrides, tmp_path, teacher_path):
    teacher = tmp_path / "teacher.safetensors"
    teacher.write_bytes(teacher_path.read_bytes())
    config = load_config(None, [*ka_overrides, f"distillation.teacher={teacher}"])
    with pytest.raises(RuntimeError, match="as if killed"):
        train(config, tmp_path / "run", progress=FailingInStep5())
    torch.manual_seed(2)
    save_weights(teacher, build_model(WIDE_MODEL))
    with pytest.raises(UserError, match=r"holds other weights than those that taught the first 3 steps"):
        train(config, tmp_path / "run", resume=True)
    moved = load_config(None, [*ka_overrides, f"distillation.teacher={teacher_path}"])  # the same under another name
    assert train(moved, tmp_path / "run", resume=True)["steps"] == 8


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_dry_run_ends_at_once(number, code, dataset, monkeypatch, capsys):
    monkeypatch.setattr("training.simulate.dataset.write_dataset", lambda folder, **_: folder.symlink_to(dataset))
    monkeypatch.setattr("training.run.progress.ConsoleProgress.step", lambda *_: signal.raise_signal(number))
    assert run(["distill", "--dry-run"]) == code
    assert "3 of 4" not in capsys.readouterr().out


def test_two_interrupts_end_a_run_at_once_and_say_how_it_goes_on(dataset, ka_overrides, tmp_path, monkeypatch, capsys):
    def interrupted_twice(*_):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("training.run.progress.ConsoleProgress.step", interrupted_twice)
    out, settings = tmp_path / "run", [word for setting in ka_overrides for word in ("--set", setting)]
    assert run(["distill", str(dataset), *settings, "--out", str(out)]) == 130
    assert f"go on with: pvd train --resume {out}" in capsys.readouterr().err


@pytest.mark.slow
def test_distillation_killed_and_resumed_gives_the_same_losses(ka_overrides, tmp_path, project_root):
    overrides = ka_overrides
    finish(start(tmp_path / "unbroken", overrides, project_root))
    kill_after_step(5, tmp_path / "killed", overrides, project_root)
    finish(start(tmp_path / "killed", overrides, project_root, resume=True))
    assert results(tmp_path / "killed") == results(tmp_path / "unbroken")


def test_distill_runs_from_the_command_line_and_writes_every_term(dataset, teacher_path, tmp_path, capsys):
    out = tmp_path / "run"
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"model": TINY_MODEL, "max_steps": 2, "num_threads": 1}))
    command = ["distill", str(dataset), "--teacher", str(teacher_path), "--config", str(config), "--out", str(out)]
    assert run([*command, "--method", "pvd", "--set", "distillation.settings.num_supervoxels=2"]) == 0
    line = json.loads((out / "losses.jsonl").read_text().splitlines()[-1])
    assert {"point_output", "voxel_output", "point_affinity", "voxel_affinity", "lovasz"} <= set(line)
    assert load_model(out / "best.safetensors")[1]["training_config"]["distillation"]["method"] == "pvd"
    printed = capsys.readouterr()
    assert f"PVD from {teacher_path}\n" in printed.out
    assert "pvd: " not in printed.err


@pytest.mark.parametrize(("until_step", "stops"), [(1, True), (2, False), (3, False)])
def test_a_run_says_whether_its_teacher_stops(until_step, stops, dataset, ka_overrides, tmp_path, capsys):
    sets = [*ka_overrides, f"distillation.until_step={until_step}", "max_steps=2"]
    words = [word for setting in sets for word in ("--set", setting)]
    assert run(["distill", str(dataset), *words, "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert (f"until step {until_step}\n" in printed) == stops
    assert ("until_step has no effect: the run has 2 steps" in printed) != stops
    found = _found("weights", tmp_path / "run/last.safetensors").found
    assert (f"in the first {until_step} of 2 steps" in found) == stops


def test_both_networks_share_one_set_of_kernel_maps(teacher_path, batch):
    objective, seen = objective_of("pvd", teacher_path), []
    for network in (objective.supervised.model, *objective.teachers):
        network.backbone.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].sites))
    objective(batch)
    assert len(seen) == 2
    assert seen[0] is seen[1]


def test_time_prints_what_the_parts_of_a_step_cost_and_keeps_nothing(dataset, teacher_path, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"model": TINY_MODEL, "num_threads": 1}))
    command = ["distill", str(dataset), "--teacher", str(teacher_path), "--config", str(config), "--time", "3"]
    command += ["--set", f"distillation.cache={tmp_path / 'cache'}", "--set", "scan_versions=1"]
    assert run(command) == 0
    output = capsys.readouterr().out
    plain, teacher, distilling = map(int, re.findall(r"(\d+) ms", output))
    assert min(plain, teacher, distilling) > 0
    # Of the printed, rounded times.
    (ratio,) = map(float, re.findall(r"([\d.]+) times the sum", output))
    assert ratio == pytest.approx(distilling / (plain + teacher), rel=0.2)
    assert list(tmp_path.iterdir()) == [config]
    assert run([*command, "--out", str(tmp_path / "run")]) != 0
    assert "leave out --out" in capsys.readouterr().err


def test_distill_without_a_teacher_says_how_to_get_one(dataset, tmp_path, capsys):
    assert run(["distill", str(dataset), "--out", str(tmp_path / "run")]) != 0
    assert "--teacher" in capsys.readouterr().err


def test_resume_refuses_another_teacher_or_method(tmp_path, capsys):
    for option in ("--teacher", "--method"):
        assert run(["distill", "--resume", str(tmp_path), option, "kd"]) == 2
        assert "leave out --teacher and --method" in capsys.readouterr().err


def test_method_chosen_by_name_leaves_out_what_a_config_file_says_of_another(dataset, teacher_path, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    section = {"method": "pvd", "settings": {"point_output": 0.1}}
    config.write_text(json.dumps({"model": TINY_MODEL, "max_steps": 1, "num_threads": 1, "distillation": section}))
    command = ["distill", str(dataset), "--teacher", str(teacher_path), "--config", str(config)]
    for method, num_notes in (("kd", 1), ("pvd", 0), (None, 0)):
        out = tmp_path / f"run_{method}"
        chosen = ["--method", method] if method else []
        assert run([*command, "--out", str(out), *chosen]) == 0
        assert capsys.readouterr().err.count("are those of pvd and left out") == num_notes
        distillation = load_model(out / "last.safetensors")[1]["training_config"]["distillation"]
        assert distillation["method"] == (method or "pvd")
        assert distillation["settings"] == ({} if method == "kd" else section["settings"])


def test_training_without_a_label_or_with_other_classes_is_refused(dataset, tmp_path, capsys):
    data = write_dataset(tmp_path / "data", {"00": 1, "08": 1})
    path = data / "sequences/00/labels/000000.label"
    path.write_bytes(bytes(path.stat().st_size))
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"model": TINY_MODEL, "loss": {"class_weights": "sqrt"}}))
    command = ["train", str(data), "--config", str(config), "--out", str(tmp_path / "run"), "--set"]
    assert run([*command, "max_steps=1"]) == 2
    assert "no labelled point" in capsys.readouterr().err
    config.write_text(json.dumps({"model": {**TINY_MODEL, "num_classes": 10}}))
    assert run(["train", str(dataset), *command[2:], "max_steps=1"]) == 2
    assert "model.num_classes is 10" in capsys.readouterr().err
