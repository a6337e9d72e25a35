"""The affinity loss against loops written from its definition: values, gradients, padding, memory."""

import numpy as np
import pytest
import torch
from affinity_by_loops import brute_force_affinity
from torch.utils._python_dispatch import TorchDispatchMode

from pvd_core.losses.affinity import AFFINITY_NORMS, affinity_loss, affinity_matrix


@pytest.mark.parametrize("norm", AFFINITY_NORMS)
def test_affinity_loss_is_the_mean_squared_difference_of_cosine_matrices(norm):
    random = np.random.default_rng(1)
    student, teacher = random.normal(size=(40, 6)), random.normal(size=(40, 9))
    student[3] = 0
    rows = random.integers(-1, 40, (3, 12))
    loss = affinity_loss(*(torch.from_numpy(array) for array in (student, teacher, rows)), norm=norm)
    assert loss.item() == pytest.approx(brute_force_affinity(student, teacher, rows, norm), rel=1e-6)


@pytest.mark.parametrize("norm", AFFINITY_NORMS)
def test_the_gradient_of_affinity_loss_equals_finite_differences(norm):
    random = np.random.default_rng(2)
    student, teacher = random.normal(size=(20, 4)), random.normal(size=(20, 5))
    rows = random.integers(-1, 20, (2, 7))
    values = torch.from_numpy(student).requires_grad_()
    affinity_loss(values, torch.from_numpy(teacher), torch.from_numpy(rows), norm).backward()
    for position in np.ndindex(*student.shape):
        ahead, behind = student.copy(), student.copy()
        ahead[position] += 1e-5
        behind[position] -= 1e-5
        losses = [brute_force_affinity(each, teacher, rows, norm) for each in (ahead, behind)]
        assert values.grad[position].item() == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-4, abs=1e-8)


def test_rows_whose_affinities_agree_have_a_norm_of_0_and_no_gradient():
    student = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = student.clone().requires_grad_()
    rows_KN = torch.cat((torch.arange(8), torch.full((4,), -1)))[None]
    loss = affinity_loss(values, 3 * student, rows_KN, "rows")
    loss.backward()
    assert loss.item() == 0
    assert not values.grad.any()


def test_affinity_loss_stays_exact_where_student_and_teacher_nearly_agree():
    teacher = torch.randn(600, 16, generator=torch.Generator().manual_seed(0))
    student = teacher + 1e-4 * torch.randn(600, 16, generator=torch.Generator().manual_seed(1))
    rows = torch.arange(600)[None]
    direct = (affinity_matrix(student, rows[0]) - affinity_matrix(teacher, rows[0])).square().mean()
    assert affinity_loss(student, teacher, rows).item() == pytest.approx(direct.item(), rel=1e-5)
    assert affinity_loss(teacher, teacher, rows).item() == 0


def test_padding_changes_nothing_but_the_divisor_of_padded():
    student, teacher = torch.randn(20, 4, dtype=torch.float64), torch.randn(20, 4, dtype=torch.float64)
    rows = torch.arange(10).view(1, 10)
    padded = torch.cat((rows, torch.full((1, 7), -1)), dim=1)
    of_rows = affinity_loss(student, teacher, rows, "rows").item()
    assert affinity_loss(student, teacher, padded, "rows").item() == pytest.approx(of_rows, abs=1e-12)
    valid = affinity_loss(student, teacher, rows, "valid").item()
    assert affinity_loss(student, teacher, padded, "valid").item() == pytest.approx(valid, abs=1e-12)
    # Divided by N^2, only the divisor changes: the padded pairs add nothing.
    assert affinity_loss(student, teacher, padded).item() * 17**2 == pytest.approx(valid * 10**2, rel=1e-6)


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest result of any operation within its block."""

    num_bytes = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for each in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(each, torch.Tensor):
                self.num_bytes = max(self.num_bytes, each.numel() * each.element_size())
        return result


@pytest.mark.parametrize("num_rows", [64, 512, 2048])
def test_memory_of_an_affinity_term_is_what_its_formula_says(num_rows):
    num_drawn, of_student, of_teacher = 3, 16, 24
    student_VD = torch.randn(3000, of_student, requires_grad=True)
    teacher_VD = torch.randn(3000, of_teacher)
    rows_KN = torch.randint(-1, 3000, (num_drawn, num_rows))
    given = {tensor.untyped_storage().data_ptr() for tensor in (student_VD, teacher_VD, rows_KN)}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage  # alive, so that no other one gets its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), LargestTensor() as largest:
        loss = affinity_loss(student_VD, teacher_VD, rows_KN)
        num_bytes = sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in given)
        for_each_row = num_rows * (2 * of_student + of_teacher + 4)
        bound = 8 * num_drawn * (for_each_row + of_student**2 + of_student * of_teacher)
        assert 0.8 * bound < num_bytes <= bound
        largest.num_bytes = 0
        affinity_loss(student_VD, teacher_VD, rows_KN)
        (gradient,) = torch.autograd.grad(loss, student_VD)
    # But for the gradient itself, which is as large as the features.
    assert largest.num_bytes <= max(8 * num_drawn * max(num_rows, of_teacher) * of_teacher, 8 * gradient.numel())


@pytest.mark.parametrize("norm", AFFINITY_NORMS)
def test_a_row_of_zeros_has_no_affinity_and_no_gradient(norm):
    student_VD, teacher_VD = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    student_VD[2] = 0
    student_VD.requires_grad_()
    rows_KN = torch.arange(6)[None]
    affinity_loss(student_VD, teacher_VD, rows_KN, norm).backward()
    assert not student_VD.grad[2].any()
    assert student_VD.grad[[0, 1, 3, 4, 5]].abs().sum(dim=1).min() > 0
    assert student_VD.grad.abs().max() < 10
