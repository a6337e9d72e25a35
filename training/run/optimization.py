"""Optimizer, learning-rate schedule and the running mean of the weights."""

import math

import torch


def build_optimizer(parameters, config):
    """Adam or AdamW by an OptimizerConfig."""
    optimizer_class = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return optimizer_class(
        parameters, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay, foreach=True
    )


def learning_rate(step, num_steps, full_rate, schedule):
    """Rate of step `step` (0-based) of `num_steps`: a pure function, so a resumed run has nothing to restore."""
    if step < schedule.warmup_steps:
        return full_rate * (step + 1) / (schedule.warmup_steps + 1)
    if schedule.name == "constant":
        return full_rate
    num_cosine_steps = max(num_steps - schedule.warmup_steps - 1, 1)
    progress = min((step - schedule.warmup_steps) / num_cosine_steps, 1.0)
    share = schedule.final_factor + (1 - schedule.final_factor) * 0.5 * (1 + math.cos(math.pi * progress))
    return full_rate * share


class RunningMean:
    """Exponential running mean of all floating-point tensors of a module's state; other tensors are copied."""

    def __init__(self, module, decay):
        self.decay = decay
        self.num_updates = 0
        self.state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module):
        # The first weights are random: let them go quickly.
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 - decay)
            else:
                self.state[name].copy_(tensor)

    def state_dict(self):
        return {"state": self.state, "num_updates": self.num_updates}

    def load_state_dict(self, saved):
        self.num_updates = saved["num_updates"]
        for name, tensor in saved["state"].items():
            self.state[name].copy_(tensor)
