"""PVD's terms against NumPy written from the formulas, their gradients against finite differences."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from affinity_by_loops import brute_force_affinity
from distillation_pairs import GRID, make_pair

from pvd_core.borders.errors import UserError
from pvd_core.losses.baselines.kd import KD, KDConfig
from pvd_core.losses.distillation import needs_points
from pvd_core.losses.output_distillation import output_distillation
from pvd_core.losses.pvd import PVD, PVDConfig
from pvd_core.losses.supervoxels import (
    SAMPLERS,
    SupervoxelPartition,
    choose_rows,
    class_factor,
    draw_supervoxels,
    sampling_weights,
)
from pvd_core.taxonomy import TAXONOMIES
from pvd_core.voxels import CylindricalGrid

SIZE = (5, 4, 3)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("direction", ["teacher_student", "student_teacher"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_output_distillation_is_the_mean_kl_divergence_of_a_row(direction, temperature):
    random = np.random.default_rng(0)
    student, teacher = random.normal(size=(2, 30, 20)) * 3
    counted = random.random(30) < 0.7
    p, q = softmax(student / temperature)[counted], softmax(teacher / temperature)[counted]
    if direction == "teacher_student":
        p, q = q, p
    expected = temperature**2 * (p * np.log(p / q)).sum() / counted.sum()

    tensors = (torch.from_numpy(array) for array in (student, teacher, counted))
    loss = output_distillation(*tensors, direction=direction, temperature=temperature)

    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_class_weights_make_output_distillation_a_weighted_mean():
    random = np.random.default_rng(0)
    class_weights_C = torch.from_numpy(random.uniform(0.5, 4, 20))
    pair = replace(make_pair(), class_weights_C=class_weights_C)
    terms = PVD(PVDConfig(class_weighted=True, supervoxel_size=SIZE))(pair)
    kd = KD(KDConfig(class_weighted=True, on_points=True))(pair)
    for name, labels, rows in (
        ("point", pair.point_labels_P, "point_logits_PC"),
        ("voxel", pair.voxel_labels_V, "voxel_logits_VC"),
    ):
        p, q = (softmax(getattr(side, rows).detach().numpy()) for side in (pair.teacher, pair.student))
        weights = np.where(labels.numpy() > 0, class_weights_C.numpy()[labels.numpy()], 0)
        mean = (weights * (p * np.log(p / q)).sum(axis=1)).sum() / weights.sum()
        assert terms[f"{name}_output"].item() == pytest.approx({"point": 0.1, "voxel": 0.15}[name] * mean, rel=1e-5)
        assert kd[{"point": "kd_points", "voxel": "kd"}[name]].item() == pytest.approx(0.2 * mean, rel=1e-5)


def test_class_weighted_without_class_weights_changes_nothing():
    outputs = [
        PVD(PVDConfig(class_weighted=flag, supervoxel_size=SIZE))(make_pair())["voxel_output"] for flag in (0, 1)
    ]
    assert outputs[0] == outputs[1]


def test_no_counted_row_gives_zero_and_a_gradient_of_zeros():
    student = torch.randn(4, 20, requires_grad=True)
    loss = output_distillation(student, torch.randn(4, 20), torch.zeros(4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not student.grad.any()


def test_gradients_of_every_term_equal_finite_differences():
    pair = make_pair(channels=(3, 4), num_points=(14, 9))
    config = PVDConfig(supervoxel_size=SIZE, num_points=6, num_voxels=5)
    inputs = tuple(vars(pair.student).values())

    for term in ("point_output", "voxel_output", "point_affinity", "voxel_affinity"):

        def loss(*tensors, term=term):
            student = type(pair.student)(*tensors)
            seeded = replace(pair, student=student, generator=torch.Generator().manual_seed(5))
            return PVD(config)(seeded)[term].double() * 100

        values = [tensor.detach().clone().requires_grad_() for tensor in inputs]
        analytic = torch.autograd.grad(loss(*values), values, allow_unused=True)
        for position, gradient in enumerate(analytic):
            direction = torch.randn(values[position].shape, dtype=torch.float64)
            step = 1e-2
            shifted = [
                loss(*(v + sign * step * direction if i == position else v for i, v in enumerate(values))).item()
                for sign in (1, -1)
            ]
            numeric = (shifted[0] - shifted[1]) / (2 * step)
            expected = 0.0 if gradient is None else (gradient * direction).sum().item()
            assert numeric == pytest.approx(expected, rel=0.02, abs=2e-3), (term, position)


def test_partition_of_the_official_grid_has_96_supervoxels_in_four_rings():
    partition, grid = SupervoxelPartition(), CylindricalGrid()
    assert math.prod(partition.shape(grid)) == 96
    distances = partition.relative_distances(grid.voxelise([torch.zeros(0, 4)] * 2))
    assert len(distances) == 2 * 96
    expected_m = np.array([12.5, 25.1, 37.6, 50.1])
    assert distances.unique().numpy() * 50.1 == pytest.approx(expected_m, abs=0.06)


def test_supervoxel_numbers_are_those_of_a_loop():
    pair = make_pair()
    coords = pair.voxels.coords_V4
    shape = [-(-cells // step) for cells, step in zip(GRID.shape, SIZE, strict=True)]
    expected = [
        np.ravel_multi_index((scan, r // SIZE[0], a // SIZE[1], z // SIZE[2]), (2, *shape))
        for scan, r, a, z in coords.tolist()
    ]
    assert SupervoxelPartition(SIZE).numbers(pair.voxels).tolist() == expected


def test_class_factor_is_that_of_the_formula():
    assert class_factor(torch.tensor([0, 1, 2, 3])).tolist() == pytest.approx([5, 1.541, 1.073, 1.010], abs=1e-3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampling_weights_are_those_of_the_formula(sampler):
    num_voxels = torch.tensor([4, 0, 9])
    factor, distance = torch.tensor([5.0, 1.0, 1.25]), torch.tensor([0.25, 0.5, 1.0])
    expected = {
        "difficulty": [0.05, 0, 0.8],
        "class": [0.2, 0, 0.8],
        "distance": [0.25, 0, 1.0],
        "random": [1.0, 0, 1.0],
    }[sampler]
    assert sampling_weights(sampler, num_voxels, factor, distance).tolist() == pytest.approx(expected)


def test_drawn_supervoxels_are_distinct_occupied_and_as_frequent_as_their_weights_say():
    weights = torch.tensor([1.0, 0, 3, 0, 0, 0, 5, 0])
    generator = torch.Generator().manual_seed(0)
    drawn = draw_supervoxels(weights, num_drawn=4, generator=generator)
    assert sorted(drawn.tolist()) == [0, 2, 6]
    counts = np.zeros(8)
    for _ in range(2000):
        counts[draw_supervoxels(weights, 1, generator).tolist()] += 1
    assert counts[[0, 2, 6]] / 2000 == pytest.approx([1 / 9, 3 / 9, 5 / 9], abs=0.04)
    assert draw_supervoxels(torch.zeros(8), 3, generator).tolist() == []
    assert len(draw_supervoxels(weights, 20, generator, with_replacement=True)) == 20


def test_surplus_rows_of_majority_classes_are_left_out_first():
    supervoxels = torch.tensor([0] * 10 + [1] * 3)
    is_minority = torch.tensor([True] * 4 + [False] * 6 + [True] * 3)
    rows = choose_rows(supervoxels, torch.tensor([0, 1]), is_minority, 6, torch.Generator().manual_seed(0))
    assert {0, 1, 2, 3} < set(rows[0].tolist()) <= set(range(10))
    assert sorted(rows[1].tolist()) == [-1, -1, -1, 10, 11, 12]
    few = choose_rows(supervoxels, torch.tensor([0]), is_minority, 3, torch.Generator().manual_seed(0))
    assert set(few[0].tolist()) < {0, 1, 2, 3}


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=lambda taxonomy: taxonomy.name)
def test_all_terms_together_equal_numpy_written_from_the_formulas(taxonomy):
    pair = make_pair(seed=3, taxonomy=taxonomy)
    config = PVDConfig(supervoxel_size=SIZE, num_points=8, num_voxels=6, num_supervoxels=3)
    terms = PVD(config)(pair)

    # The same draws, from a generator in the same state.
    generator = torch.Generator().manual_seed(3)
    partition = SupervoxelPartition(SIZE)
    supervoxels = partition.numbers(pair.voxels)
    distances = partition.relative_distances(pair.voxels).double().numpy()
    labels = pair.voxel_labels_V.numpy()
    weights = np.zeros(len(distances))
    for number in range(len(distances)):
        inside = supervoxels.numpy() == number
        minority = np.isin(labels[inside], taxonomy.minority).sum()
        weights[number] = inside.any() / (4 * math.exp(-2 * minority) + 1) * distances[number]
    of_scans = torch.from_numpy(weights).float().view(2, -1)
    drawn = torch.cat([draw_supervoxels(each, 3, generator) + i * len(each) for i, each in enumerate(of_scans)])
    is_minority = np.zeros(taxonomy.num_classes, bool)
    is_minority[list(taxonomy.minority)] = True
    point_rows = choose_rows(
        supervoxels[pair.voxels.point_to_voxel_P],
        drawn,
        torch.from_numpy(is_minority)[pair.point_labels_P],
        8,
        generator,
    )
    voxel_rows = choose_rows(supervoxels, drawn, torch.from_numpy(is_minority)[pair.voxel_labels_V], 6, generator)
    student, teacher = ({k: v.detach().numpy() for k, v in vars(o).items()} for o in (pair.student, pair.teacher))

    def output(name, truth):
        counted = truth.numpy() != 0
        p, q = softmax(teacher[name])[counted], softmax(student[name])[counted]
        return (p * np.log(p / q)).sum() / counted.sum()

    def affinity(name, rows):
        return brute_force_affinity(student[name], teacher[name], rows.numpy(), "padded")

    expected = {
        "point_output": 0.1 * output("point_logits_PC", pair.point_labels_P),
        "voxel_output": 0.15 * output("voxel_logits_VC", pair.voxel_labels_V),
        "point_affinity": 0.15 * affinity("point_features_PD", point_rows),
        "voxel_affinity": 0.25 * affinity("voxel_features_VE", voxel_rows),
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-4)


def test_pvd_of_a_model_against_itself_is_zero():
    pair = make_pair(dtype=torch.float32)
    twin = replace(pair, teacher=pair.student)
    for term in PVD(PVDConfig(supervoxel_size=SIZE))(twin).values():
        assert term.item() == pytest.approx(0, abs=1e-7)


def test_dense_norm_divides_by_every_cell_of_the_grid():
    pair = make_pair()
    rows = PVD(PVDConfig(supervoxel_size=SIZE))(pair)["voxel_output"].item()
    active = PVD(PVDConfig(supervoxel_size=SIZE, output_norm="active"))(pair)["voxel_output"].item()
    assert rows == pytest.approx(20 * active, rel=1e-5)
    dense = PVD(PVDConfig(supervoxel_size=SIZE, output_norm="dense"))(pair)["voxel_output"].item()
    num_counted = int((pair.voxel_labels_V != 0).sum())
    assert dense * 2 * math.prod(GRID.shape) == pytest.approx(active * num_counted, rel=1e-5)


@pytest.mark.parametrize("output_rows", ["labelled", "all", "unlabelled"])
def test_outputs_are_distilled_on_the_rows_that_are_chosen(output_rows):
    pair = make_pair()
    terms = PVD(PVDConfig(output_rows=output_rows, supervoxel_size=SIZE))(pair)
    for name, labels in (("point", pair.point_labels_P), ("voxel", pair.voxel_labels_V)):
        field = {"point": "point_logits_PC", "voxel": "voxel_logits_VC"}[name]
        p, q = (softmax(getattr(side, field).detach().numpy()) for side in (pair.teacher, pair.student))
        divergence, is_labelled = (p * np.log(p / q)).sum(axis=1), labels.numpy() != 0
        assert 0 < is_labelled.sum() < len(is_labelled)
        counted = {"labelled": is_labelled, "all": is_labelled | True, "unlabelled": ~is_labelled}[output_rows]
        mean = divergence[counted].sum() / (is_labelled.sum() if output_rows == "labelled" else len(is_labelled))
        assert terms[f"{name}_output"].item() == pytest.approx({"point": 0.1, "voxel": 0.15}[name] * mean, rel=1e-5)


def test_terms_with_coefficient_zero_are_left_out_and_the_rest_need_no_point_outputs():
    config = PVDConfig(point_output=0, point_affinity=0, supervoxel_size=SIZE)
    pair = make_pair()
    without_points = replace(
        pair,
        student=replace(pair.student, point_logits_PC=None, point_features_PD=None),
        teacher=replace(pair.teacher, point_logits_PC=None, point_features_PD=None),
    )
    assert not needs_points(config)
    assert set(PVD(config)(without_points)) == {"voxel_output", "voxel_affinity"}


def test_one_point_and_a_scan_without_points_give_finite_terms():
    for num_points, output_rows in itertools.product(((1,), (5, 0), (0,)), ("labelled", "all", "unlabelled")):
        config = PVDConfig(output_rows=output_rows, supervoxel_size=SIZE)
        terms = PVD(config)(make_pair(num_points=num_points))
        assert all(math.isfinite(term.item()) for term in terms.values())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("sampler", "easy"),
        ("affinity_norm", "dense"),
        ("output_rows", "unlabeled"),
        ("temperature", 0),
        ("voxel_affinity", -1),
        ("supervoxel_size", (4, 4)),
        ("num_points", 0),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(setting, value):
    with pytest.raises(UserError, match=setting):
        PVDConfig(**{setting: value})


def test_class_weights_and_rows_without_a_label_exclude_each_other():
    with pytest.raises(UserError, match="class_weighted"):
        PVDConfig(class_weighted=True, output_rows="all")
