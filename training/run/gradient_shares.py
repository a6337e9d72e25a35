"""How strong a term of the loss is: the norm of its gradient over that of the supervised terms, where both meet.

They meet at the features that enter the classifier: behind them all that a term does to a network goes the same way. E
feature channels, V voxels.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from pvd_core.models import Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import sum_over_ranks
from training.run.config import SUPERVISED_TERMS


@contextlib.contextmanager
def gradient_shares(objective: nn.Module, model: Network) -> Iterator[dict[str, float]]:
    """A dictionary that `objective(batch)`, called within the block, fills with `shares` of its terms. `objective`: the
    module itself, not a wrapper for precision or distribution; `model`: the student.

    It takes part in the forward pass, as every rank has to. The backward pass afterwards is not changed by it.
    """
    found: dict[str, float] = {}
    outputs: list[SegmentationOutput] = []

    def measure(_module: nn.Module, _inputs: object, terms: dict[str, torch.Tensor]) -> None:
        found.update(shares(terms, [output.voxel_features_VE for output in outputs]))

    hooks = (
        model.register_forward_hook(lambda _module, _inputs, output: outputs.append(output)),
        objective.register_forward_hook(measure),
    )
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def shares(terms: Mapping[str, torch.Tensor], features: Sequence[torch.Tensor]) -> dict[str, float]:
    """{term of the distillation: share}: the norm of its gradient with respect to `features` (each float (V, E), of all
    passes through the student) over the norm of the gradient of all supervised terms together. Terms are scalars,
    already times their coefficients. Empty where the supervised terms have no gradient there."""
    supervised = [term for name, term in terms.items() if name in SUPERVISED_TERMS]
    norm = _norm(sum(supervised[1:], start=supervised[0]), features) if supervised else 0.0
    if norm == 0:
        return {}
    return {name: _norm(term, features) / norm for name, term in terms.items() if name not in SUPERVISED_TERMS}


def _norm(term: torch.Tensor, features: Sequence[torch.Tensor]) -> float:
    """Norm of a term's gradient over the features of all ranks."""
    squared = torch.zeros((), dtype=torch.float64, device=term.device)
    if term.requires_grad:
        gradients = torch.autograd.grad(term, features, retain_graph=True, allow_unused=True)
        for gradient in gradients:
            if gradient is not None:
                squared += widened(gradient).double().square().sum()
    return math.sqrt(sum_over_ranks(squared).item())
