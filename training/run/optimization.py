"""Optimizer, learning-rate schedule and the running mean of the weights."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from training.run.config import OptimizerConfig, ScheduleConfig


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Adam, AdamW, or SGD with Nesterov's momentum, with the settings of `config`. Fused: weights are read and written
    once a step, which takes a quarter of the time."""
    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.name == "sgd":
        return torch.optim.SGD(parameters, momentum=config.momentum, nesterov=config.momentum > 0, **shared)
    optimizer_class = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return optimizer_class(parameters, betas=config.betas, **shared)


def learning_rate(step: int, num_steps: int, full_rate: float, schedule: ScheduleConfig) -> float:
    """Learning rate of step `step` (0-based) of `num_steps`: a linear warm-up to `full_rate`, then constant or half a
    cosine. A pure function, so a resumed run has nothing to restore."""
    if step < schedule.warmup_steps:
        return full_rate * (step + 1) / (schedule.warmup_steps + 1)
    if schedule.name == "constant":
        return full_rate
    num_cosine_steps = max(num_steps - schedule.warmup_steps - 1, 1)
    progress = min((step - schedule.warmup_steps) / num_cosine_steps, 1.0)
    share = schedule.final_factor + (1 - schedule.final_factor) * 0.5 * (1 + math.cos(math.pi * progress))
    return full_rate * share


class RunningMean:
    """Exponential moving average of all floating-point tensors of a module's state; other tensors are copied."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the mean towards the present state of `module`."""
        # The first weights are random, so they are forgotten faster.
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        present = module.state_dict()
        moved = [name for name, tensor in present.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.state[name] for name in moved], [present[name] for name in moved], 1 - decay)
        for name in present.keys() - set(moved):
            self.state[name].copy_(present[name])

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to restore the mean."""
        return {"state": self.state, "num_updates": self.num_updates}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.num_updates = saved["num_updates"]
        for name, tensor in saved["state"].items():
            self.state[name].copy_(tensor)
