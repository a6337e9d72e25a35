"""Output distillation: the student repeats the teacher's class probabilities. V voxels or points, C classes."""

import torch

from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import sum_over_ranks

DIRECTIONS = ("teacher_student", "student_teacher")


def output_distillation(
    student_logits_VC, teacher_logits_VC, weights_V, direction="teacher_student", temperature=1.0, num_rows=None
):
    """Scalar float32: T^2 * sum over rows of weight * KL divergence / (num_rows * C).

    `direction` "teacher_student" is KL(teacher || student), "student_teacher" the other way round (as the paper
    prints it). `weights_V`: bool or float (V,); rows of weight 0 do not count. `num_rows` None: the sum of the
    weights; else any number, such as all cells of the grid. Rows and `num_rows` are added up over the ranks.
    """
    is_counted_V = weights_V > 0
    student_VC = (widened(student_logits_VC[is_counted_V]) / temperature).log_softmax(dim=1)
    teacher_VC = (widened(teacher_logits_VC[is_counted_V]) / temperature).log_softmax(dim=1)
    first_VC, second_VC = (teacher_VC, student_VC) if direction == "teacher_student" else (student_VC, teacher_VC)
    divergence_VC = torch.nn.functional.kl_div(second_VC, first_VC, reduction="none", log_target=True)
    divergence = (divergence_VC.sum(dim=1) * weights_V[is_counted_V]).sum()
    num_rows = widened(weights_V.sum()) if num_rows is None else torch.tensor(float(num_rows), device=divergence.device)
    num_values = sum_over_ranks(num_rows) * student_logits_VC.shape[1]
    return temperature**2 * sum_over_ranks(divergence) / num_values.clamp(min=torch.finfo(torch.float32).tiny)
