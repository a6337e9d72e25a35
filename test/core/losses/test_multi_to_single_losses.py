"""M2SKD's terms against plain loops over voxels, their gradients against finite differences."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pvd_core.borders.errors import UserError
from pvd_core.losses.multi_to_single import HARD_CLASSES, MultiToSingle, MultiToSingleLossConfig, TwoPasses
from pvd_core.losses.multi_to_single.affinity import HardVoxels, class_affinity, instance_affinity
from pvd_core.losses.multi_to_single.passes import LevelFeatures
from pvd_core.losses.multi_to_single.terms import changed_supervision, feature_difference, logit_difference
from pvd_core.models.output import SegmentationOutput
from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN

V, W, C, BICYCLE, CAR, TRUCK, ROAD = 48, 60, 20, 2, 1, 4, 9
RELEASED = MultiToSingleLossConfig()
ALL_TERMS = MultiToSingleLossConfig(feature=0.7, instance_affinity=0.5, feature_threshold=0.5)


def passes(seed=0, num_single=V, num_enriched=W):
    """TwoPasses of made-up outputs; each voxel of the single pass has one of the enriched pass, in another order."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    def labels(count):
        choice = torch.tensor([0, BICYCLE, BICYCLE, TRUCK, CAR, ROAD])
        return choice[torch.randint(0, len(choice), (count,), generator=generator)]

    enriched_row_V = torch.randperm(num_enriched, generator=generator)[:num_single]
    single_row_W = torch.full((num_enriched,), -1)
    single_row_W[enriched_row_V] = torch.arange(num_single)
    single_labels_V, enriched_labels_W = labels(num_single), labels(num_enriched)
    is_kept = torch.rand(num_enriched, generator=generator) < 0.6
    is_kept &= single_row_W >= 0
    enriched_labels_W[is_kept] = single_labels_V[single_row_W[is_kept]]
    return TwoPasses(
        SegmentationOutput(random(num_single, C), random(num_single, 5)),
        SegmentationOutput(random(num_enriched, C), random(num_enriched, 5)),
        single_labels_V,
        enriched_labels_W,
        enriched_row_V,
        single_row_W,
        torch.from_numpy(MultiToSingleLossConfig().is_hard_C(SEMANTICKITTI)),
        torch.randint(0, 4, (num_single,), generator=generator),
        LevelFeatures(random(num_single, 6), random(num_enriched, 6), single_row_W),
        torch.Generator().manual_seed(seed),
    )


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def changed_by_hand(case):
    logits, losses = case.enriched.voxel_logits_VC.detach().numpy(), []
    for row, label in enumerate(case.enriched_labels_W.tolist()):
        single = case.single_row_W[row].item()
        before = case.single_labels_V[single].item() if single >= 0 else 0
        if label not in (0, before):
            losses.append(-math.log(softmax(logits[row])[label]))
    return np.mean(losses)


def logit_by_hand(case, scale=0.3, threshold=0.01):
    kept = []
    for row, other in enumerate(case.enriched_row_V.tolist()):
        p1 = softmax(scale * case.single.voxel_logits_VC[row].detach().numpy())
        p2 = softmax(scale * case.enriched.voxel_logits_VC[other].detach().numpy())
        difference = np.mean([b * abs(math.log((b + 1e-6) / (a + 1e-6))) for a, b in zip(p1, p2, strict=True)])
        if difference > threshold:
            kept.append(difference)
    return np.mean(kept) if kept else 0.0


def feature_by_hand(level, threshold):
    kept = []
    for row, single in enumerate(level.single_row_T.tolist()):
        enriched = level.enriched_TD[row].detach().numpy()
        of_single = level.single_SD[single].detach().numpy() if single >= 0 else np.zeros_like(enriched)
        difference = np.mean((of_single - enriched) ** 2)
        if difference > threshold:
            kept.append(difference)
    return np.mean(kept) if kept else 0.0


def affinity_by_hand(case, rows):
    total = 0.0
    for i in rows:
        for j in rows:
            similarities = []
            for logits, own in ((case.single, rows), (case.enriched, case.enriched_row_V[rows].tolist())):
                vectors = logits.voxel_logits_VC.detach().numpy()
                a, b = vectors[own[rows.index(i)]], vectors[own[rows.index(j)]]
                similarities.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            total += abs(similarities[0] - similarities[1])
    return total / len(rows) ** 2


def rows_with(case, label, instance=None):
    return [
        row
        for row in range(len(case.single_labels_V))
        if case.single_labels_V[row] == label and (instance is None or case.instance_V[row] == instance)
    ]


def test_every_term_is_what_a_loop_over_voxels_gives_times_its_coefficient():
    case = passes()
    terms = MultiToSingle(ALL_TERMS)(case)
    classes = [rows_with(case, label) for label in (BICYCLE, TRUCK)]
    objects = [
        [affinity_by_hand(case, rows) for i in (1, 2, 3) if len(rows := rows_with(case, label, i)) > 1]
        for label in (BICYCLE, TRUCK)
    ]
    assert min(len(rows) for rows in classes) > 1
    assert all(objects)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {
            "m2s_changed": 0.2 * changed_by_hand(case),
            "m2s_logit": 5 * logit_by_hand(case),
            "m2s_feature": 0.7 * feature_by_hand(case.level, 0.5),
            "m2s_class_affinity": sum(affinity_by_hand(case, rows) for rows in classes),
            "m2s_instance_affinity": 0.5 * sum(map(np.mean, objects)),
        },
        rel=1e-12,
    )


def test_gradients_are_those_of_finite_differences():
    case = passes(num_single=12, num_enriched=15)

    def term(name, single_VC, enriched_WC, single_SD):
        changed = replace(
            case,
            single=replace(case.single, voxel_logits_VC=single_VC),
            enriched=replace(case.enriched, voxel_logits_VC=enriched_WC),
            level=replace(case.level, single_SD=single_SD),
        )
        return MultiToSingle(ALL_TERMS)(changed)[name]

    # Finite differences would see what the enriched pass teaches move; it is constant.
    single, enriched, features = case.single.voxel_logits_VC, case.enriched.voxel_logits_VC, case.level.single_SD
    constant = enriched.detach()
    for name in ("m2s_logit", "m2s_class_affinity", "m2s_instance_affinity"):
        assert torch.autograd.gradcheck(functools.partial(_of_single, term, name, constant, features), single), name
    assert torch.autograd.gradcheck(lambda x: term("m2s_feature", single, constant, x), features)
    assert torch.autograd.gradcheck(lambda x: term("m2s_changed", single, x, features), enriched)


def _of_single(term, name, enriched_WC, single_SD, single_VC):
    return term(name, single_VC, enriched_WC, single_SD)


def test_only_labels_teach_the_enriched_pass():
    case = passes()
    for name, term in MultiToSingle(ALL_TERMS)(case).items():
        gradients = torch.autograd.grad(
            term, (case.enriched.voxel_logits_VC, case.level.enriched_TD), retain_graph=True, allow_unused=True
        )
        assert [gradient is not None for gradient in gradients] == [name == "m2s_changed", False], name


def test_voxels_whose_label_stayed_get_no_gradient_from_the_enriched_pass():
    case = passes()
    MultiToSingle(RELEASED)(case)["m2s_changed"].backward()
    is_taught_W = case.enriched.voxel_logits_VC.grad.abs().sum(dim=1) > 0
    before = [case.single_labels_V[row].item() if row >= 0 else 0 for row in case.single_row_W.tolist()]
    expected = [label not in (0, old) for label, old in zip(case.enriched_labels_W.tolist(), before, strict=True)]
    assert is_taught_W.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_the_defaults_are_the_released_ones_without_a_term_of_coefficient_0():
    terms = MultiToSingle(RELEASED)(passes())
    assert set(terms) == {"m2s_changed", "m2s_logit", "m2s_class_affinity"}
    config = MultiToSingleLossConfig()
    assert (config.changed, config.logit, config.feature, config.class_affinity) == (0.2, 5, 0, 1)
    assert (config.logit_scale, config.logit_threshold, config.feature_threshold) == (0.3, 0.01, 1)
    assert config.hard_ids(SEMANTICKITTI) == (2, 3, 4, 5, 6, 7, 8)


@pytest.mark.parametrize(("num_single", "num_enriched"), [(0, 0), (0, 3), (1, 1), (1, 2)])
def test_passes_with_hardly_a_voxel_give_finite_terms_and_gradients(num_single, num_enriched):
    case = passes(3, num_single, num_enriched)
    sum(MultiToSingle(ALL_TERMS)(case).values()).backward()
    for tensor in (case.single.voxel_logits_VC, case.enriched.voxel_logits_VC, case.level.single_SD):
        assert tensor.grad is None or tensor.grad.isfinite().all()


def test_equal_passes_differ_nowhere():
    case = passes(num_enriched=V)
    rows_V = torch.arange(V)
    case = replace(
        case, enriched=case.single, enriched_row_V=rows_V, single_row_W=rows_V, enriched_labels_W=case.single_labels_V
    )
    terms = MultiToSingle(MultiToSingleLossConfig(instance_affinity=1.0))(case)
    assert {name: term.item() for name, term in terms.items()} == dict.fromkeys(terms, 0.0)
    sum(terms.values()).backward()
    assert case.single.voxel_logits_VC.grad.isfinite().all()


def test_a_voxel_that_the_single_pass_lacks_counts_as_zeros_in_the_term_on_features():
    enriched = torch.full((2, 4), 3.0)
    single = torch.full((1, 4), 3.0, requires_grad=True)
    loss = feature_difference(single, enriched, torch.tensor([0, -1]))
    assert loss.item() == pytest.approx(9)


def test_the_threshold_leaves_out_voxels_that_agree():
    single, enriched = torch.zeros(2, C), torch.zeros(2, C)
    enriched[1, 3] = 20
    rows_V = torch.arange(2)
    of_second = logit_difference(single[1:], enriched, rows_V[1:])
    assert logit_difference(single[:1], enriched, rows_V[:1]) == 0
    assert logit_difference(single, enriched, rows_V) == of_second > 0.01
    assert logit_difference(single, enriched, rows_V, threshold=of_second.item() + 0.01) == 0


def test_classes_with_one_voxel_and_other_classes_have_no_affinity():
    case = passes()
    labels_V = torch.full_like(case.single_labels_V, CAR)
    labels_V[0] = TRUCK
    terms = MultiToSingle(MultiToSingleLossConfig(instance_affinity=1.0))(replace(case, single_labels_V=labels_V))
    assert terms["m2s_class_affinity"] == terms["m2s_instance_affinity"] == 0


def test_affinities_of_many_voxels_compare_a_random_choice_that_the_generator_decides():
    case = passes()
    voxels = HardVoxels.of(
        case.single.voxel_logits_VC,
        case.enriched.voxel_logits_VC,
        case.enriched_row_V,
        case.single_labels_V,
        case.is_hard_C,
        case.instance_V,
    )
    draws = [voxels.drawn(3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    lists = [[rows.tolist() for rows in draw] for draw in draws]
    assert lists[0] == lists[1] != lists[2]
    assert [len(rows) for rows in lists[0]] == [3, 3]
    assert [voxels.labels_N[rows].unique().tolist() for rows in draws[0]] == [[BICYCLE], [TRUCK]]
    hard = [row for row in range(V) if case.single_labels_V[row] in (BICYCLE, TRUCK)]
    expected = sum(affinity_by_hand(case, [hard[i] for i in rows]) for rows in lists[0])
    assert class_affinity(voxels, draws[0]).item() == pytest.approx(expected, rel=1e-12)
    assert instance_affinity(voxels, []) == 0


def test_the_matrices_of_a_class_are_no_larger_than_the_rows_drawn():
    """What is kept for the backward pass is the difference of two matrices of 64 x 64, not of 3000 x 3000."""
    logits = torch.randn(3000, C, requires_grad=True)
    rows, label = torch.arange(3000), torch.full((3000,), TRUCK)
    case = TwoPasses(
        SegmentationOutput(logits, logits),
        SegmentationOutput(torch.randn(3000, C), logits),
        label,
        label,
        rows,
        rows,
        torch.from_numpy(MultiToSingleLossConfig().is_hard_C(SEMANTICKITTI)),
        generator=torch.Generator().manual_seed(0),
    )
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.numel()) or tensor, lambda t: t):
        terms = MultiToSingle(MultiToSingleLossConfig(changed=0, logit=0, num_affinity_rows=64))(case)
    assert terms["m2s_class_affinity"] > 0
    assert max(sizes) <= 3000 * C


def test_half_precision_outputs_give_float32_terms():
    case = passes()
    outputs = {
        name: SegmentationOutput(
            *(tensor.detach().bfloat16() for tensor in list(vars(getattr(case, name)).values())[:2])
        )
        for name in ("single", "enriched")
    }
    for name, term in MultiToSingle(RELEASED)(replace(case, **outputs)).items():
        assert term.dtype == torch.float32, name
        assert term > 0, name


def test_hard_classes_of_the_multi_scan_task_include_their_moving_kinds():
    names = [SEMANTICKITTI_MULTISCAN.names[i] for i in MultiToSingleLossConfig().hard_ids(SEMANTICKITTI_MULTISCAN)]
    moving = [f"moving-{name}" for name in ("bicyclist", "person", "motorcyclist", "other-vehicle", "truck")]
    assert sorted(names) == sorted([*HARD_CLASSES, *moving])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"logit": -1.0}, "logit is -1.0: expected at least 0"),
        ({"logit_scale": 0.0}, "logit_scale is 0.0: expected more than 0"),
        ({"num_affinity_rows": 1}, "num_affinity_rows is 1: expected at least 2"),
        ({"changed": 0, "logit": 0, "class_affinity": 0}, "are all 0"),
        ({"hard_classes": ("person", "person")}, "each once"),
        ({"hard_classes": ()}, "at least one"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        MultiToSingleLossConfig(**settings)


def test_an_unknown_hard_class_is_named_with_the_closest_match():
    with pytest.raises(UserError, match="bicyclist"):
        MultiToSingleLossConfig(hard_classes=("bicylist",)).hard_ids(SEMANTICKITTI)


def test_supervision_of_no_changed_voxel_is_0_with_a_gradient_of_zeros():
    logits = torch.randn(3, C, requires_grad=True)
    labels, rows = torch.tensor([1, 2, 0]), torch.arange(3)
    changed_supervision(logits, labels, labels, rows).backward()
    assert logits.grad.tolist() == torch.zeros(3, C).tolist()
