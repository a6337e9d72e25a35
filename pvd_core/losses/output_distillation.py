"""Output distillation: the student's class probabilities shall equal the teacher's. V voxels or points, C classes."""

import torch

from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import sum_over_ranks

DIRECTIONS = ("teacher_student", "student_teacher")


def output_distillation(
    student_logits_VC: torch.Tensor,
    teacher_logits_VC: torch.Tensor,
    weights_V: torch.Tensor,
    direction: str = "teacher_student",
    temperature: float = 1.0,
    num_rows: float | None = None,
) -> torch.Tensor:
    """Scalar, float32 or wider: temperature^2 * sum over rows of weight * KL divergence / num_rows.

    `direction`: "teacher_student" is KL(teacher || student); "student_teacher" is KL(student || teacher), as the paper
    prints it. `weights_V`: bool or float (V,). `num_rows`: the divisor, such as the number of cells of the grid; None:
    the sum of the weights. The rows and the divisor are summed over the ranks.
    """
    is_counted_V = weights_V > 0
    student_VC = (widened(student_logits_VC[is_counted_V]) / temperature).log_softmax(dim=1)
    teacher_VC = (widened(teacher_logits_VC[is_counted_V]) / temperature).log_softmax(dim=1)
    first_VC, second_VC = (teacher_VC, student_VC) if direction == "teacher_student" else (student_VC, teacher_VC)
    divergence_VC = torch.nn.functional.kl_div(second_VC, first_VC, reduction="none", log_target=True)
    divergence = (divergence_VC.sum(dim=1) * weights_V[is_counted_V]).sum()
    divisor = widened(weights_V.sum()) if num_rows is None else torch.tensor(float(num_rows), device=divergence.device)
    num_rows_of_all = sum_over_ranks(divisor).clamp(min=torch.finfo(torch.float32).tiny)
    return temperature**2 * sum_over_ranks(divergence) / num_rows_of_all
