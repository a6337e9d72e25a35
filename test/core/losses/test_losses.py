"""Segmentation losses against the official results and brute-force NumPy versions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pvd_core.losses import cross_entropy, lovasz_softmax


def random_case(seed, num_rows, num_classes, num_labels=None):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(num_rows, num_classes)).astype(np.float32)
    labels = generator.integers(0, num_labels or num_classes, size=num_rows)
    return torch.from_numpy(logits), torch.from_numpy(labels)


def lovasz_by_definition(probabilities, labels, ignore=0):
    """Sum over the sorted errors of error times growth of the Jaccard loss, each set counted from scratch, float64."""
    counted = labels != ignore
    probabilities, labels = probabilities[counted].astype(np.float64), labels[counted]
    losses = []
    for class_id in np.unique(labels):
        is_class = labels == class_id
        errors = np.abs(is_class - probabilities[:, class_id])
        order = np.argsort(-errors, kind="stable")
        loss, jaccard_before = 0.0, 0.0
        for k in range(1, len(order) + 1):
            wrong = np.zeros(len(labels), bool)
            wrong[order[:k]] = True
            # The class's rows that are wrong are lost; other rows that are wrong are claimed.
            predicted = is_class ^ wrong
            jaccard = 1 - (predicted & is_class).sum() / (predicted | is_class).sum()
            loss += errors[order[k - 1]] * (jaccard - jaccard_before)
            jaccard_before = jaccard
        losses.append(loss)
    return np.mean(losses)


def test_lovasz_matches_official_value_and_gradient(shared_golden):
    golden = np.load(shared_golden / "lovasz_softmax.npz")
    probabilities = torch.from_numpy(golden["probabilities"]).requires_grad_()
    rows = probabilities.movedim(1, -1).reshape(-1, probabilities.shape[1])
    loss = lovasz_softmax(rows, torch.from_numpy(golden["labels"].astype(np.int64)).reshape(-1))
    loss.backward()
    assert abs(loss.item() - golden["loss_ignore_0"].item()) < 1e-6
    assert np.abs(probabilities.grad.numpy() - golden["gradient"]).max() < 1e-7


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 7))
def test_lovasz_matches_its_definition(seed, num_rows, num_classes):
    logits, labels = random_case(seed, num_rows, num_classes)
    probabilities = logits.softmax(dim=1)
    if (labels == 0).all():
        return
    expected = lovasz_by_definition(probabilities.numpy(), labels.numpy())
    assert lovasz_softmax(probabilities, labels).item() == pytest.approx(expected, abs=1e-6)


def test_lovasz_gradient_matches_finite_differences():
    # Between two orders of the errors the loss is linear, so differences are exact but for rounding.
    logits, labels = random_case(3, 12, 4)
    probabilities = logits.softmax(dim=1)
    tracked = probabilities.clone().requires_grad_()
    lovasz_softmax(tracked, labels).backward()
    step = 1e-5
    for row, column in np.ndindex(*probabilities.shape):
        values = probabilities.numpy().astype(np.float64)
        values[row, column] += step
        above = lovasz_by_definition(values, labels.numpy())
        values[row, column] -= 2 * step
        below = lovasz_by_definition(values, labels.numpy())
        assert tracked.grad[row, column].item() == pytest.approx((above - below) / (2 * step), abs=1e-4)


def test_perfect_prediction_has_no_lovasz_loss_and_a_wholly_wrong_one_has_loss_one():
    labels = torch.tensor([1, 1, 2, 3, 0])
    right = torch.nn.functional.one_hot(labels, 5).float()
    wrong = torch.nn.functional.one_hot(torch.full_like(labels, 4), 5).float()
    assert lovasz_softmax(right, labels).item() == 0
    assert lovasz_softmax(wrong, labels).item() == pytest.approx(1)


def test_lovasz_stays_accurate_with_as_many_rows_as_a_batch_of_scans():
    logits, labels = random_case(0, 200_000, 20)
    probabilities = logits.softmax(dim=1)
    losses = []
    for class_id in range(1, 20):
        is_class = labels.numpy() == class_id
        errors = np.abs(is_class - probabilities.numpy().astype(np.float64)[:, class_id])[labels.numpy() != 0]
        is_class = is_class[labels.numpy() != 0]
        order = np.argsort(-errors)
        num_missed = np.cumsum(is_class[order])
        total = is_class.sum()
        jaccard = 1 - (total - num_missed) / (total + np.arange(1, len(order) + 1) - num_missed)
        losses.append(np.sum(errors[order] * np.diff(jaccard, prepend=0)))
    assert lovasz_softmax(probabilities, labels).item() == pytest.approx(np.mean(losses), abs=2e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_the_weighted_mean_over_labelled_rows(weighted):
    logits, labels = random_case(1, 50, 6)
    weights = torch.rand(6, generator=torch.Generator().manual_seed(0)) + 0.1 if weighted else None
    scores = logits.numpy().astype(np.float64)
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(50), labels.numpy()]
    row_weights = (weights.numpy()[labels.numpy()] if weighted else np.ones(50)) * (labels.numpy() != 0)
    expected = (row_weights * losses).sum() / row_weights.sum()
    assert cross_entropy(logits, labels, weights).item() == pytest.approx(expected, rel=1e-5)


def test_ignored_rows_change_neither_loss_nor_gradient():
    logits, labels = random_case(2, 30, 5)
    labels[:10] = 0
    for loss_of in (cross_entropy, lambda scores, ids: lovasz_softmax(scores.softmax(dim=1), ids)):
        all_rows = logits.clone().requires_grad_()
        labelled_rows = logits[labels != 0].clone().requires_grad_()
        loss, expected = loss_of(all_rows, labels), loss_of(labelled_rows, labels[labels != 0])
        loss.backward()
        expected.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
        assert (all_rows.grad[labels == 0] == 0).all()
        assert torch.allclose(all_rows.grad[labels != 0], labelled_rows.grad, atol=1e-7)


@pytest.mark.parametrize("num_rows", [0, 1, 4])
def test_without_labelled_rows_losses_are_zero_and_connected_to_the_graph(num_rows):
    labels = torch.zeros(num_rows, dtype=torch.int64)
    for loss_of in (cross_entropy, lovasz_softmax):
        values = torch.full((num_rows, 20), float("inf")).requires_grad_()
        loss = loss_of(values, labels)
        loss.backward()
        assert loss.item() == 0
        assert (values.grad == 0).all()


def test_one_labelled_row_is_enough():
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    labels = torch.tensor([1])
    probability = logits.softmax(dim=1)[0, 1].item()
    assert cross_entropy(logits, labels).item() == pytest.approx(-np.log(probability), rel=1e-6)
    assert lovasz_softmax(logits.softmax(dim=1), labels).item() == pytest.approx(1 - probability, rel=1e-6)


def test_losses_of_half_precision_scores_are_computed_in_float32():
    logits, labels = random_case(4, 100, 20)
    for loss_of in (cross_entropy, lovasz_softmax):
        loss = loss_of(logits.softmax(dim=1).bfloat16(), labels)
        assert loss.dtype == torch.float32
        assert loss.item() == loss_of(logits.softmax(dim=1).bfloat16().float(), labels).item()
