"""The baselines against NumPy written from their formulas, and what all methods share."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from distillation_pairs import make_pair
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.losses.affinity import AFFINITY_NORMS
from pvd_core.losses.baselines.cd import CDConfig
from pvd_core.losses.baselines.ifv import IFVConfig
from pvd_core.losses.baselines.ka import KAConfig
from pvd_core.losses.baselines.kd import KD, KDConfig
from pvd_core.losses.baselines.skd import SKDConfig
from pvd_core.losses.distillation import Channels
from pvd_core.losses.methods import METHODS, PAPER_COEFFICIENTS, paper_coefficients
from pvd_core.losses.supervoxels import SupervoxelPartition
from pvd_core.taxonomy import TAXONOMIES

STUDENT, TEACHER = Channels(voxel_features=5, classes=20), Channels(voxel_features=7, classes=20)
SIZE = (5, 4, 3)


def softmax(logits, axis=1):
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def arrays(pair):
    return ({k: v.detach().numpy() for k, v in vars(o).items()} for o in (pair.student, pair.teacher))


def build(name, **settings):
    method, config = METHODS[name]
    torch.manual_seed(0)
    return method(config(**settings), STUDENT, TEACHER).double()


def scans_of(pair):
    scan_V = pair.voxels.coords_V4[:, 0].numpy()
    return [scan_V == scan for scan in range(pair.voxels.batch_size)]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_kd_is_the_mean_divergence_of_labelled_voxels(temperature):
    pair = make_pair()
    student, teacher = arrays(pair)
    counted = pair.voxel_labels_V.numpy() != 0
    p = softmax(teacher["voxel_logits_VC"] / temperature)[counted]
    q = softmax(student["voxel_logits_VC"] / temperature)[counted]
    expected = 0.2 * temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
    assert KD(KDConfig(temperature=temperature))(pair)["kd"].item() == pytest.approx(expected, rel=1e-5)


def test_cd_compares_distributions_over_the_voxels_of_a_scan():
    pair = make_pair()
    student, teacher = arrays(pair)
    method = build("cd")
    weight = method.to_teacher.weight.detach().numpy()
    mapped = student["voxel_features_VE"] @ weight.T

    def expected(student, teacher):
        total = 0.0
        for inside in scans_of(pair):
            p, q = softmax(teacher[inside] / 4, axis=0), softmax(student[inside] / 4, axis=0)
            total += (p * np.log(p / q)).sum()
        return 16 * total / (2 * student.shape[1])

    terms = method(pair)
    assert terms["cd_feature"].item() == pytest.approx(0.1 * expected(mapped, teacher["voxel_features_VE"]), rel=1e-4)
    score = expected(student["voxel_logits_VC"], teacher["voxel_logits_VC"])
    assert terms["cd_score"].item() == pytest.approx(0.3 * score, rel=1e-4)


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=lambda taxonomy: taxonomy.name)
def test_ifv_compares_similarities_to_the_mean_of_the_class_in_its_scan(taxonomy):
    pair = make_pair(taxonomy=taxonomy)
    student, teacher = arrays(pair)
    labels = pair.voxel_labels_V.numpy()

    def similarity(features, voxel, inside):
        mean = features[inside].mean(axis=0)
        return features[voxel] @ mean / (np.linalg.norm(features[voxel]) * np.linalg.norm(mean))

    squares = []
    for scan in scans_of(pair):
        for class_id in range(1, taxonomy.num_classes):
            inside = scan & (labels == class_id)
            if inside.sum() >= 2:
                squares += [
                    (
                        similarity(student["voxel_features_VE"], v, inside)
                        - similarity(teacher["voxel_features_VE"], v, inside)
                    )
                    ** 2
                    for v in np.flatnonzero(inside)
                ]
    assert build("ifv")(pair)["ifv"].item() == pytest.approx(0.2 * np.mean(squares), rel=1e-4)


def test_skd_is_soft_cross_entropy_and_the_difference_of_pooled_gram_matrices():
    pair = make_pair()
    student, teacher = arrays(pair)
    counted = pair.voxel_labels_V.numpy() != 0
    p, q = softmax(teacher["voxel_logits_VC"])[counted], softmax(student["voxel_logits_VC"])[counted]
    pixel = -(p * np.log(q)).sum(axis=1).mean()
    nodes = SupervoxelPartition(SIZE).numbers(pair.voxels).numpy()

    def gram(features, scan):
        pooled = np.stack([features[nodes == node].max(axis=0) for node in np.unique(nodes[scan])])
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        return pooled @ pooled.T

    pairs = [
        ((gram(student["voxel_features_VE"], scan) - gram(teacher["voxel_features_VE"], scan)) ** 2).mean()
        for scan in scans_of(pair)
    ]
    terms = build("skd", node_size=SIZE)(pair)
    assert terms["skd_pixel"].item() == pytest.approx(0.15 * pixel, rel=1e-5)
    assert terms["skd_pair"].item() == pytest.approx(0.2 * np.mean(pairs), rel=1e-4)


@pytest.mark.parametrize("norm", AFFINITY_NORMS)
def test_similarities_of_every_baseline_count_by_the_norms_of_pvd(norm):
    pair = make_pair()

    def term_and_gradient(name, term, **settings):
        method = build(name, **settings_of(name), affinity_norm=norm, **settings).eval()
        loss = method(pair)[term]
        (gradient,) = torch.autograd.grad(loss, pair.student.voxel_features_VE)
        return loss.item(), gradient

    def by_loops(difference, num_padded):
        """Of a matrix without padding."""
        of_rows = [sum(value**2 for value in row) for row in difference.tolist()]
        if norm == "rows":
            return sum(map(math.sqrt, of_rows)) / len(of_rows)
        return sum(of_rows) / (num_padded if norm == "padded" else len(of_rows)) ** 2

    unit = nn.functional.normalize

    # SKD: nodes with voxels are rows, padded with those without.
    partition = SupervoxelPartition(SIZE)
    nodes, total = partition.numbers(pair.voxels), 0.0
    for scan in map(torch.from_numpy, scans_of(pair)):
        numbers = nodes[scan].unique()
        grams = []
        for side in (pair.student, pair.teacher):
            pooled = torch.stack([side.voxel_features_VE[nodes == node].amax(dim=0) for node in numbers]).detach()
            grams.append(unit(pooled) @ unit(pooled).T)
        total += by_loops(grams[0] - grams[1], math.prod(partition.shape(pair.voxels.grid))) / 2
    loss, gradient = term_and_gradient("skd", "skd_pair")
    assert loss == pytest.approx(0.2 * total, rel=1e-4)
    assert gradient.isfinite().all()

    # KA: the batch has fewer voxels than are drawn, the rest is padding.
    method = build("ka", autoencoder_steps=0).eval()
    code, adapted = method.encoder(pair.teacher.voxel_features_VE), method.adapter(pair.student.voxel_features_VE)
    expected = by_loops(unit(adapted) @ unit(adapted).T - unit(code) @ unit(code).T, 500)
    loss, gradient = term_and_gradient("ka", "ka_affinity", num_affinity_voxels=500)
    assert loss == pytest.approx(0.15 * expected, rel=1e-4)
    assert gradient.isfinite().all()

    # IFV: one similarity a voxel.
    labels, differences = pair.voxel_labels_V, []
    for scan in map(torch.from_numpy, scans_of(pair)):
        for class_id in range(1, 20):
            inside = scan & (labels == class_id)
            if inside.sum() >= 2:
                of_sides = []
                for side in (pair.student, pair.teacher):
                    features = side.voxel_features_VE[inside].detach()
                    of_sides.append(nn.functional.cosine_similarity(features, features.mean(dim=0)[None]))
                differences.append(of_sides[0] - of_sides[1])
    all_of_them = torch.cat(differences)
    num_rows = len(labels) if norm == "padded" else len(all_of_them)
    expected = (all_of_them.abs() if norm == "rows" else all_of_them.square()).sum() / num_rows
    loss, gradient = term_and_gradient("ifv", "ifv")
    assert loss == pytest.approx(0.2 * expected.item(), rel=1e-4)
    assert gradient.isfinite().all()


def test_ka_compares_adapted_features_with_the_teachers_code():
    pair = make_pair()
    student, teacher = arrays(pair)
    method = build("ka", autoencoder_steps=0, num_affinity_voxels=20).eval()

    def run(module, features):
        return module(torch.from_numpy(features)).detach().numpy()

    code, adapted = run(method.encoder, teacher["voxel_features_VE"]), run(method.adapter, student["voxel_features_VE"])
    rebuilt = run(method.decoder, code)
    rows = torch.randperm(len(code), generator=torch.Generator().manual_seed(0))[:20].numpy()
    unit_code, unit_adapted = (f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-8) for f in (code, adapted))
    grams = [f[rows] @ f[rows].T for f in (unit_adapted, unit_code)]

    terms = method(pair)

    error = ((rebuilt - teacher["voxel_features_VE"]) ** 2).mean() + 1e-7 * np.abs(code).mean()
    assert terms["ka_autoencoder"].item() == pytest.approx(error, rel=1e-4)
    assert terms["ka_adaptation"].item() == pytest.approx(0.2 * np.abs(unit_adapted - unit_code).mean(), rel=1e-4)
    affinity = 0.15 * np.linalg.norm(grams[0] - grams[1]) / 20
    assert terms["ka_affinity"].item() == pytest.approx(affinity, rel=1e-4)


def test_ka_teaches_the_student_only_after_the_auto_encoder_has_learnt():
    method, pair = build("ka", autoencoder_steps=2), make_pair()
    adaptation = [method(pair)["ka_adaptation"].item() for _ in range(4)]
    assert adaptation[:2] == [0, 0]
    assert min(adaptation[2:]) > 0


def test_ka_sends_no_gradient_of_the_students_terms_into_the_auto_encoder():
    method, pair = build("ka", autoencoder_steps=0), make_pair()
    terms = method(pair)
    (terms["ka_adaptation"] + terms["ka_affinity"]).backward()
    assert all(parameter.grad is None for parameter in method.encoder.parameters())
    assert all(parameter.grad.abs().sum() > 0 for name, parameter in method.adapter.named_parameters() if "0." in name)


def settings_of(name):
    size = "supervoxel_size" if name == "pvd" else "node_size"
    small = {size: SIZE} if name in ("pvd", "skd") else {}
    return {**small, "autoencoder_steps": 0} if name == "ka" else small


NORMS_OF = {"pvd": AFFINITY_NORMS, "ifv": AFFINITY_NORMS, "ka": ("root", *AFFINITY_NORMS)}


@pytest.mark.parametrize(
    ("name", "norm"), [(name, norm) for name in METHODS if name != "skd" for norm in NORMS_OF.get(name, ("",))]
)
def test_gradients_of_the_student_equal_finite_differences(name, norm):
    pair = make_pair(num_points=(16, 11))
    method = build(name, **settings_of(name), **({"affinity_norm": norm} if norm else {})).eval()

    def loss(tensors):
        student = type(pair.student)(*tensors)
        seeded = replace(pair, student=student, generator=torch.Generator().manual_seed(1))
        return sum(method(seeded).values())

    values = [tensor.detach().clone().requires_grad_() for tensor in vars(pair.student).values()]
    gradients = torch.autograd.grad(loss(values), values, allow_unused=True)
    generator = torch.Generator().manual_seed(2)
    directions = [torch.randn(v.shape, dtype=torch.float64, generator=generator) for v in values]
    step = 1e-3
    ahead = loss([v + step * d for v, d in zip(values, directions, strict=True)]).item()
    behind = loss([v - step * d for v, d in zip(values, directions, strict=True)]).item()
    analytic = sum((g * d).sum().item() for g, d in zip(gradients, directions, strict=True) if g is not None)
    assert (ahead - behind) / (2 * step) == pytest.approx(analytic, rel=0.03, abs=2e-4)


def test_gradient_of_skds_scores_equals_finite_differences():
    pair = make_pair(num_points=(16, 11))
    method = build("skd", pair=0.0)
    logits = pair.student.voxel_logits_VC
    direction = torch.randn_like(logits)
    (gradient,) = torch.autograd.grad(method(pair)["skd_pixel"], logits)
    with torch.no_grad():
        ahead, behind = (
            method(replace(pair, student=replace(pair.student, voxel_logits_VC=logits + s * 1e-2 * direction)))
            for s in (1, -1)
        )
    numeric = (ahead["skd_pixel"] - behind["skd_pixel"]).item() / 2e-2
    assert numeric == pytest.approx((gradient * direction).sum().item(), rel=0.02, abs=1e-4)


def test_gradient_of_skds_similarities_takes_the_lengths_of_nodes_for_constants():
    pair = make_pair(num_points=(16,), channels=(5, 5))
    features = pair.student.voxel_features_VE
    nodes = SupervoxelPartition(SIZE).numbers(pair.voxels).numpy()

    def pooled(array):
        return np.stack([array[nodes == node].max(axis=0) for node in np.unique(nodes)])

    student, teacher = (o.voxel_features_VE.detach().numpy() for o in (pair.student, pair.teacher))
    lengths = np.linalg.norm(pooled(student), axis=1, keepdims=True)
    target = pooled(teacher) / np.linalg.norm(pooled(teacher), axis=1, keepdims=True)

    def frozen_loss(array):
        unit = pooled(array) / lengths
        return ((unit @ unit.T - target @ target.T) ** 2).mean()

    (gradient,) = torch.autograd.grad(build("skd", pixel=0.0, pair=1.0, node_size=SIZE)(pair)["skd_pair"], features)
    direction = np.random.default_rng(0).normal(size=student.shape)
    numeric = (frozen_loss(student + 1e-5 * direction) - frozen_loss(student - 1e-5 * direction)) / 2e-5
    assert numeric == pytest.approx((gradient.numpy() * direction).sum(), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_survives_one_point_no_point_and_no_label(name):
    for num_points in ((1,), (6, 0), (0,)):
        pair = make_pair(num_points=num_points, dtype=torch.float32)
        unlabelled = replace(pair, point_labels_P=pair.point_labels_P * 0, voxel_labels_V=pair.voxel_labels_V * 0)
        for each in (pair, unlabelled):
            terms = build(name, **settings_of(name)).float()(each)
            assert all(math.isfinite(term.item()) for term in terms.values())
            sum(terms.values()).backward()


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_loss(name):
    first, second = (build(name, **settings_of(name))(make_pair(seed=4)) for _ in range(2))
    assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}


def test_the_papers_coefficients_fit_the_configs():
    for methods in PAPER_COEFFICIENTS.values():
        for name, settings in methods.items():
            METHODS[name][1](**settings)


def test_coefficients_are_those_of_the_papers_network_or_the_defaults():
    assert paper_coefficients("spvcnn", "kd") == {"weight": 0.1}
    assert paper_coefficients("cylinder3d", "kd") == paper_coefficients("a network of mine", "kd") == {}


@pytest.mark.parametrize(
    ("config", "setting", "value"),
    [
        (SKDConfig, "affinity_norm", "dense"),
        (IFVConfig, "affinity_norm", 3),
        (KAConfig, "affinity_norm", ""),
        (KDConfig, "temperature", 0),
        (CDConfig, "temperature", -1),
        (KAConfig, "code_channels", 0),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(config, setting, value):
    with pytest.raises(UserError, match=setting):
        config(**{setting: value})


def test_skd_takes_its_node_size_from_a_list():
    assert SKDConfig(node_size=[1, 2, 3]).node_size == (1, 2, 3)
