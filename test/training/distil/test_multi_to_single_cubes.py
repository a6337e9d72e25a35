"""M2SKD on Cartesian grids, whose scans count their cells from a corner that appended points may move."""

import itertools
import json

import numpy as np
import pytest
import torch
from passing_objects import scan_with_objects, write_drive

from pvd_core.borders.errors import UserError
from pvd_core.losses.multi_to_single import MultiToSingleLossConfig
from pvd_core.models import build_model
from pvd_core.models.recorded import recorded
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import save_weights
from training.data.batches import make_enriched_batch
from training.data.dataset import ScanFolder
from training.data.example import Example
from training.data.instances.past import PastObjects
from training.distil.multi_to_single import MultiToSingleObjective
from training.distil.teacher_source import SharedTeacher
from training.run.config import LossConfig, load_config
from training.run.loop import train
from training.run.objective import SegmentationObjective

pytestmark = pytest.mark.usefixtures("without_curves")

FAMILIES = ("minkunet", "spvcnn")
VOXEL_M, COARSEST = 0.5, 16
HARD = MultiToSingleLossConfig().hard_ids(SEMANTICKITTI)
OWN = {"m2s_changed", "m2s_logit", "m2s_feature", "m2s_class_affinity", "m2s_instance_affinity"}
# Cells of the finest level that a cell spans, of each stage.
SCALES = {"stem": 1, "down 1": 2, "down 4": 16, "up 1": 8, "up 2": 4, "up 3": 2, "up 4": 1}


def settings_of(family, channel_ratio=0.125):
    return {"architecture": family, "channel_ratio": channel_ratio, "grid": {"voxel_size": VOXEL_M}}


def learner_of(family, **loss):
    """In float64 and without dropout, so that each run gives the same."""
    torch.manual_seed(0)
    supervised = SegmentationObjective(build_model(settings_of(family)), LossConfig())
    return MultiToSingleObjective(supervised, MultiToSingleLossConfig(**loss), SEMANTICKITTI, seed=0).double().eval()


def enriched_with(points, frame):
    """A scan, and behind it points that are not its own."""
    own, raw = scan_with_objects(frame)
    scan = Example.of_scan(own, SEMANTICKITTI.class_ids_from_raw(raw), raw >> 16)
    past = scan.chosen(slice(0, len(points))).with_points(np.array(points, np.float32))
    return Example.joined([scan, Example(past.points, past.labels, past.instances, np.zeros(len(points), bool))])


@pytest.fixture(scope="module")
def examples():
    """Two scans whose corners are moved by other numbers of cells, not by multiples of 16, and with more points among
    their own."""
    among = np.random.default_rng(0).uniform((-20, -20, -2, 0), (20, 20, 0, 1), (2, 300, 4))
    corners = [-40, -51.5, -3, 0.5], [5, -43, 1, 0.1]
    return [enriched_with([corner, *among[scan]], scan) for scan, corner in enumerate(corners)]


@pytest.fixture(scope="module")
def batch(examples):
    batch = make_enriched_batch(examples, build_model(settings_of("minkunet")).grid)
    moved_B3 = batch.voxels.lowest_B3 - batch.enriched.voxels.lowest_B3
    assert (moved_B3 % COARSEST).any(dim=1).all()
    return batch


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """(data set, folder of its cut objects)."""
    return write_drive(tmp_path_factory.mktemp("drive"), {"00": 3, "08": 1}, HARD)


def cells_by_hand(examples, scale):
    """The cells (scan, x, y, z) of both passes, sorted, counted from the corner of the single scan."""
    both = set(), set()
    for scan, example in enumerate(examples):
        cells = np.round(example.points[:, :3] / np.float32(VOXEL_M)).astype(int)
        corner = cells[example.is_current].min(axis=0)
        for cell, is_current in zip((cells - corner) // scale, example.is_current, strict=True):
            both[1].add((scan, *cell))
            if is_current:
                both[0].add((scan, *cell))
    return [sorted(cells) for cells in both]


def differences_by_hand(examples, scale, single, enriched):
    """For each cell of the enriched pass (mean squared difference, row of the single pass's features or None)."""
    single_cells, enriched_cells = cells_by_hand(examples, scale)
    assert (len(single), len(enriched)) == (len(single_cells), len(enriched_cells))
    rows, found = {cell: row for row, cell in enumerate(single_cells)}, []
    for cell, there in zip(enriched_cells, enriched, strict=True):
        row = rows.get(cell)
        here = single[row] if row is not None else np.zeros_like(there)
        found.append((np.mean((here - there) ** 2), row))
    return found


@pytest.mark.parametrize(("family", "stage"), [*itertools.product(FAMILIES, SCALES)])
def test_the_term_on_features_and_its_gradient_are_those_of_a_loop_over_cells(family, stage, batch, examples):
    def run(threshold):
        learner = learner_of(family, feature=0.7, feature_stage=stage, feature_threshold=threshold)
        with recorded(learner.single.model, stage) as levels:
            term = learner(batch)["m2s_feature"]
        return term, [level.features_VC for level in levels]

    _, features = run(0.0)
    single, enriched = (each.detach().numpy() for each in features)
    differences = differences_by_hand(examples, SCALES[stage], single, enriched)
    of_both = sorted(value for value, row in differences if row is not None and value > 1e-12)
    middle = len(of_both) // 2
    threshold = (of_both[middle - 1] + of_both[middle]) / 2
    assert of_both[middle - 1] < threshold < of_both[middle]

    term, features = run(threshold)
    values = [value for value, _ in differences if value > threshold]
    assert term.item() == pytest.approx(0.7 * np.mean(values), rel=1e-10)

    expected = np.zeros_like(single)
    for (value, row), there in zip(differences, enriched, strict=True):
        if value > threshold and row is not None:
            expected[row] = 0.7 * 2 * (single[row] - there) / single.shape[1] / len(values)
    found, of_enriched = torch.autograd.grad(term, features, allow_unused=True)
    assert of_enriched is None
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_both_passes_belong_to_the_same_cells(family, batch, examples):
    network = build_model(settings_of(family))
    teaching = SharedTeacher(network).teaching(batch)
    single_cells, enriched_cells = cells_by_hand(examples, 1)
    assert [enriched_cells[row] for row in teaching.row_V.tolist()] == single_cells


@pytest.mark.parametrize("family", FAMILIES)
def test_passes_agree_where_appended_points_reach_nothing(family):
    """Else the network would be taught that the scan's cells were cut in another way."""
    far = enriched_with([[-331.5, -400, -3, 0.5]], 0)
    batch = make_enriched_batch([far], build_model(settings_of(family)).grid)
    learner = learner_of(family)
    network = learner.single.model
    single, teaching = network(batch.voxels), SharedTeacher(network).teaching(batch)
    found = teaching.output.voxel_logits_VC[teaching.row_V]
    assert len(teaching.output.voxel_logits_VC) == len(found) + 1
    torch.testing.assert_close(found, single.voxel_logits_VC, rtol=1e-9, atol=1e-9)
    assert learner(batch)["m2s_logit"] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_term_teaches_the_network(family, drive):
    folder = ScanFolder(drive[0], "00")
    learner = learner_of(family, feature=1.0, feature_threshold=0.0, instance_affinity=0.5).train()
    example = PastObjects(drive[1], folder, HARD, num_past=4).onto(folder.example(2), 2)
    terms = learner(make_enriched_batch([example], learner.single.model.grid))
    assert {name for name in terms if name.startswith("m2s_")} == OWN
    weights = list(learner.single.model.backbone.stem.parameters())
    for name in OWN:
        gradients = torch.autograd.grad(terms[name], weights, retain_graph=True)
        assert terms[name] > 0, name
        assert all(gradient.isfinite().all() for gradient in gradients), name
        assert any(gradient.any() for gradient in gradients), name


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_compared_at_half_resolution_unless_told_otherwise(family, batch):
    loss = {"feature": 1.0, "feature_threshold": 0.0}
    unsaid, said = learner_of(family, **loss), learner_of(family, **loss, feature_stage="up 3")
    assert unsaid(batch)["m2s_feature"] == said(batch)["m2s_feature"] > 0


def test_a_stage_of_another_family_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match=r"'decoder 2'.*up 3"):
        learner_of("minkunet", feature=1.0, feature_stage="decoder 2")


@pytest.mark.parametrize(("family", "with_pvd"), [*itertools.product(FAMILIES, (False, True))])
def test_a_run_learns_by_all_terms_alone_and_beside_pvd(family, with_pvd, drive, tmp_path):
    settings = [
        f"dataset={drive[0]}",
        f"multi_to_single.instances={drive[1]}",
        "multi_to_single.loss.feature=1",
        "multi_to_single.loss.feature_threshold=0",
        "multi_to_single.loss.instance_affinity=1",
        f"model={json.dumps(settings_of(family))}",
        "max_steps=2",
        "epochs=null",
        "batch_size=2",
        "num_threads=1",
        "validation.every_steps=0",
    ]
    if with_pvd:
        teacher = tmp_path / "teacher.safetensors"
        save_weights(teacher, build_model(settings_of(family, 0.25)))
        settings.append(f"distillation.teacher={teacher}")
    train(load_config(None, settings), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    of_pvd = {"point_output", "voxel_output", "point_affinity", "voxel_affinity"} if with_pvd else set()
    assert len(lines) == 2
    for line in lines:
        assert line.keys() >= OWN | of_pvd
        assert all(np.isfinite(line[name]) for name in OWN | of_pvd)
        assert line["m2s_feature"] > 0
