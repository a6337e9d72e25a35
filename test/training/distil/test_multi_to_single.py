"""M2SKD as training runs it: what both passes see, which terms appear, exact resume, what is refused."""

import json

import numpy as np
import pytest
import torch
from bare_streets import bare_streets
from passing_objects import PERSON, TRUCK, scan_with_objects, write_drive
from tiny_dataset import TINY_MODEL, write_scan
from toy_network import ToyNetwork
from training_runs import num_lines, results

from pvd_core.borders.errors import UserError
from pvd_core.losses.multi_to_single import MultiToSingleLossConfig
from pvd_core.models import build_model
from pvd_core.models.norm import Norm
from pvd_core.models.recorded import recorded
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import load_model, save_weights
from training.data.batches import make_enriched_batch
from training.data.dataset import ScanFolder
from training.data.instances.cut import cut_instances
from training.data.instances.past import PastObjects
from training.distil.multi_to_single import MultiToSingleObjective, instances_of_voxels
from training.distil.teacher_source import SharedTeacher
from training.run.config import LossConfig, load_config, settings_without_effect
from training.run.loop import train
from training.run.objective import SegmentationObjective
from training.run.progress import NoProgress
from training.simulate.dataset import write_dataset

pytestmark = pytest.mark.usefixtures("without_curves")

HARD = MultiToSingleLossConfig().hard_ids(SEMANTICKITTI)
ALL_TERMS = MultiToSingleLossConfig(feature=1.0, feature_threshold=0.0, instance_affinity=0.5)
OWN = {"m2s_changed", "m2s_logit", "m2s_feature", "m2s_class_affinity", "m2s_instance_affinity"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """(data set, folder of its cut objects)."""
    return write_drive(tmp_path_factory.mktemp("drive"), {"00": 6, "01": 2, "08": 1}, HARD)


@pytest.fixture(scope="module")
def batch(data):
    folder = ScanFolder(data[0], "00")
    past = PastObjects(data[1], folder, HARD, num_past=4)
    examples = [past.onto(folder.example(index), index) for index in (5, 4)]
    return make_enriched_batch(examples, build_model(TINY_MODEL).grid, number=3)


def objective(config=ALL_TERMS):
    torch.manual_seed(0)
    return MultiToSingleObjective(
        SegmentationObjective(build_model(TINY_MODEL), LossConfig()), config, SEMANTICKITTI, seed=0
    )


def test_a_scan_gets_the_objects_of_the_scans_before_it_in_its_sequence(data):
    folder = ScanFolder(data[0], "train")
    past = PastObjects(data[1], folder, HARD, num_past=4)
    for index, num_before in [(0, 0), (1, 1), (2, 2), (5, 4), (6, 0), (7, 1)]:
        example = folder.example(index)
        enriched = past.onto(example, index)
        assert all(
            np.array_equal(getattr(enriched.chosen(slice(len(example))), name), getattr(example, name))
            for name in ("points", "labels", "instances", "is_current")
        )
        appended = enriched.chosen(slice(len(example), None))
        assert not appended.is_current.any()
        before = [folder.example(index - 1 - i) for i in range(num_before)]
        assert len(appended) == sum(int((each.instances > 0).sum()) for each in before)
        assert {label: set(appended.instances[appended.labels == label]) for label in set(appended.labels)} == (
            {PERSON: {9}, TRUCK: {7}} if num_before else {}
        )


def test_only_hard_classes_of_the_settings_are_put_onto_scans(data):
    folder = ScanFolder(data[0], "00")
    enriched = PastObjects(data[1], folder, (PERSON,), num_past=2).onto(folder.example(3), 3)
    assert set(enriched.labels[~enriched.is_current]) == {PERSON}


def test_the_single_pass_sees_the_scan_alone_and_the_enriched_one_everything(batch):
    enriched = batch.enriched
    assert batch.is_current_P.all()
    assert len(batch.point_labels_P) == enriched.is_current_P.sum() < len(enriched.point_labels_P)
    assert torch.equal(
        batch.voxels.point_features_PF[:, -2:],
        enriched.voxels.point_features_PF[enriched.is_current_P][:, -2:],
    )


def test_rows_of_both_passes_belong_to_the_same_cells(batch):
    network = build_model(TINY_MODEL)
    teaching = SharedTeacher(network).teaching(batch)
    coords_V4, enriched_W4 = batch.voxels.coords_V4, batch.enriched.voxels.coords_V4
    # The enriched scan has all points of the single one, so every voxel is found.
    assert torch.equal(enriched_W4[teaching.row_V], coords_V4)
    assert len(enriched_W4) > len(coords_V4)


def test_all_terms_appear_and_teach_the_network(batch):
    learner = objective()
    terms = learner(batch)
    assert set(terms) == OWN | {"cross_entropy", "lovasz", "point_cross_entropy"}
    assert all(terms[name].item() > 0 for name in OWN)
    sum(terms[name] for name in OWN).backward()
    assert sum(p.grad.abs().sum().item() for p in learner.single.model.backbone.parameters()) > 0
    assert {name.split(".")[0] for name, _ in learner.named_parameters()} == {"single"}


def test_features_are_compared_where_the_released_code_does(batch):
    learner = objective()
    with recorded(learner.single.model, "decoder 2") as levels:
        term = learner(batch)["m2s_feature"]
    single, enriched = levels
    assert single.sites.scale == enriched.sites.scale == (2, 2, 2)
    assert torch.autograd.grad(term, single.features_VC)[0].any()


def test_terms_are_those_of_both_passes_with_the_same_weights(batch):
    learner = objective(MultiToSingleLossConfig(changed=1.0, logit=0, class_affinity=0))
    term = learner(batch)["m2s_changed"]
    network, enriched = learner.single.model, batch.enriched
    row_V = SharedTeacher(network).teaching(batch).row_V
    before_W = torch.zeros_like(enriched.voxel_labels_V).index_put((row_V,), batch.voxel_labels_V)
    is_changed_W = (enriched.voxel_labels_V != before_W) & (enriched.voxel_labels_V != 0)
    logits_WC = network(enriched.voxels, with_points=False).voxel_logits_VC
    expected = torch.nn.functional.cross_entropy(logits_WC[is_changed_W], enriched.voxel_labels_V[is_changed_W])
    assert term.item() == pytest.approx(expected.item(), rel=1e-5)
    assert is_changed_W.sum() > 10


def test_the_norms_see_both_passes(batch):
    def num_runs(learner, network):
        learner(batch)
        (number,) = {int(norm.num_batches_tracked) for norm in network.backbone.modules() if isinstance(norm, Norm)}
        return number

    both, single = objective(), SegmentationObjective(build_model(TINY_MODEL), LossConfig())
    assert (num_runs(both, both.single.model), num_runs(single, single.model)) == (2, 1)


def test_objects_have_numbers_of_their_own_over_the_batch(batch):
    numbers_V = instances_of_voxels(batch)
    scans_V, labels_V = batch.voxels.coords_V4[:, 0], batch.voxel_labels_V
    is_hard_V = (labels_V == PERSON) | (labels_V == TRUCK)
    assert torch.equal(numbers_V > 0, is_hard_V)
    keys = {
        (number, scan, label)
        for number, scan, label in zip(numbers_V.tolist(), scans_V.tolist(), labels_V.tolist(), strict=True)
        if number
    }
    assert len(keys) == len({number for number, *_ in keys}) == 4


def test_a_batch_without_any_past_object_has_finite_terms(data):
    folder = ScanFolder(data[0], "00")
    batch = make_enriched_batch([folder.example(0)], build_model(TINY_MODEL).grid)
    terms = objective()(batch)
    assert terms["m2s_changed"] == 0
    sum(terms.values()).backward()


def test_a_term_on_features_without_fitting_features_is_refused():
    with pytest.raises(UserError, match="decoder 2"):
        objective(MultiToSingleLossConfig(feature=1.0, feature_stage="decoder2"))
    with pytest.raises(UserError, match=r"no stage there: set .*feature_stage to one of convolution, logits"):
        MultiToSingleObjective(SegmentationObjective(ToyNetwork(), LossConfig()), ALL_TERMS, SEMANTICKITTI, 0)


def test_a_stage_without_sites_is_named(batch):
    with pytest.raises(UserError, match="stage 'point MLP' of the network gives no features on sites"):
        objective(MultiToSingleLossConfig(feature=1.0, feature_stage="point MLP"))(batch)


def run_settings(data, *more):
    return [
        f"dataset={data[0]}",
        f"multi_to_single.instances={data[1]}",
        f"model={json.dumps(TINY_MODEL)}",
        "max_steps=4",
        "epochs=null",
        "batch_size=2",
        "num_threads=1",
        "checkpoint_every_steps=2",
        "validation.every_steps=0",
        *more,
    ]


@pytest.fixture(scope="module")
def whole_run(data, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    train(load_config(None, run_settings(data)), run_dir)
    return run_dir


def test_terms_are_logged_and_inference_needs_nothing_new(whole_run):
    lines = [json.loads(line) for line in (whole_run / "losses.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    names = {"m2s_changed", "m2s_logit", "m2s_class_affinity"}
    assert all(names < line.keys() for line in lines)
    assert all(max(line[name] for line in lines) > 0 for name in names)
    network, _ = load_model(whole_run / "last.safetensors")
    assert set(network.state_dict()) == set(build_model(TINY_MODEL).state_dict())


def test_a_simulated_drive_trains_so(tmp_path):
    pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")
    with bare_streets():
        root = write_dataset(tmp_path / "drive", ("00",), ("08",), 3, 13, num_valid_scans=1, sensor="vlp16")
    counts = cut_instances(ScanFolder(root, "00"), tmp_path / "cut", HARD)
    assert counts["00"].num_cut > counts["00"].num_once
    train(load_config(None, run_settings((root, tmp_path / "cut"), "max_steps=3", "batch_size=1")), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    for name in ("m2s_changed", "m2s_class_affinity"):
        assert max(line[name] for line in lines) > 0


def test_a_run_that_fails_and_is_resumed_gives_the_same_bits(data, whole_run, tmp_path):
    class FailingInStep3(NoProgress):
        def step(self, step, record, step_s):
            if step == 3:
                raise RuntimeError("as if killed")

    config, broken = load_config(None, run_settings(data)), tmp_path / "broken"
    with pytest.raises(RuntimeError, match="as if killed"):
        train(config, broken, progress=FailingInStep3())
    train(config, broken, resume=True)
    assert results(broken) == results(whole_run)


def test_it_works_beside_another_teacher(data, tmp_path):
    torch.manual_seed(1)
    save_weights(tmp_path / "teacher.safetensors", build_model({**TINY_MODEL, "width": 6}))
    settings = run_settings(
        data,
        f"distillation.teacher={tmp_path / 'teacher.safetensors'}",
        "distillation.settings.supervoxel_size=[6,6,4]",
        "max_steps=1",
    )
    train(load_config(None, settings), tmp_path / "run")
    (line,) = (tmp_path / "run" / "losses.jsonl").read_text().splitlines()
    assert {"point_output", "voxel_affinity", "m2s_logit", "m2s_changed", "lovasz"} < json.loads(line).keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data=simulated"], "multi_to_single needs scans in a row"),
        (["scans.past=2"], "sees single scans, but scans.past is 2"),
        (["multi_to_single.placed_by=luck"], "placed_by is 'luck': expected one of centroid, poses"),
        (["multi_to_single.num_past=0"], "num_past is 0: expected at least 1"),
        (["multi_to_single.loss.hard_classes=[bus]"], "bus"),
        (["multi_to_single.loss.logits=1"], "did you mean multi_to_single.loss.logit"),
    ],
)
def test_settings_that_do_not_fit_are_refused(data, settings, message):
    with pytest.raises(UserError, match=message):
        load_config(None, run_settings(data, *settings))


def test_settings_of_a_term_that_is_left_out_are_warned_about(data):
    config = load_config(None, run_settings(data, "multi_to_single.loss.feature_threshold=2"))
    assert settings_without_effect(config) == ["multi_to_single.loss.feature_threshold has no effect: feature is 0"]


def test_missing_or_incomplete_cuts_end_a_run_before_its_first_step(data, tmp_path):
    settings = run_settings(data, f"multi_to_single.instances={tmp_path / 'nowhere'}")
    with pytest.raises(UserError, match="expected a folder that `pvd dataset instances` made"):
        train(load_config(None, settings), tmp_path / "run")
    cut_instances(ScanFolder(data[0], "00"), tmp_path / "part", HARD)
    settings = run_settings(data, f"multi_to_single.instances={tmp_path / 'part'}")
    with pytest.raises(UserError, match="no cut objects of scan 01/000001"):
        train(load_config(None, settings), tmp_path / "other")
    assert num_lines(tmp_path / "other" / "losses.jsonl") == 0


def test_objects_of_another_data_set_are_refused(data, tmp_path):
    for frame in range(6):
        write_scan(tmp_path / "data", "00", f"{frame:06d}", *scan_with_objects(frame + 50))
    with pytest.raises(UserError, match="they were cut from another data set, or its labels have changed"):
        PastObjects(data[1], ScanFolder(tmp_path / "data", "00"), HARD, num_past=4)
