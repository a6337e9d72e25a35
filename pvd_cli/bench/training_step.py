"""A training step, forward and backward, against a forward pass for inference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pvd_cli.bench.measurement import warm_up
from pvd_cli.bench.plan import Job, Plan, Progress, Row
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.spans import SpanClock
from pvd_cli.bench.turns import Outcome, by_scan, measure
from pvd_core.losses import cross_entropy, lovasz_softmax
from pvd_core.runtime.memory import peak_mb
from pvd_core.runtime.precision import computing_in
from pvd_core.segmenter import Segmenter
from pvd_core.voxels import majority_labels


def training_rows(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """{"rows", ...}: for each combination a dictionary with `inference_ms` (the network alone, as labelling runs it),
    `step_ms` (forward, losses, backward; no optimiser), both medians, `ratio` of the two and `peak_mb`."""
    measured = measure("training", plan, by_scan(plan), progress)
    return measured.table([_row(outcome) for outcome in measured.outcomes])


class TrainingTimes:
    """Measures the network forward and a training step in turns, on one cloud and with labels drawn at random."""

    def __init__(self, segmenter: Segmenter, clouds: Sequence[np.ndarray], _job: Job | None) -> None:
        self._segmenter, self._model = segmenter, segmenter.model
        self._clock = SpanClock(segmenter.device)
        self._batch = ScanInput(segmenter, clouds[0]).batch
        generator = torch.Generator().manual_seed(0)
        num_points = len(self._batch.point_to_voxel_P)
        labels_P = torch.randint(1, self._model.config.num_classes, (num_points,), generator=generator)
        self._labels_P = labels_P.to(segmenter.device)
        self._labels_V = majority_labels(self._labels_P, self._batch.point_to_voxel_P, self._batch.num_voxels)
        warm_up(self.repeat)
        self.facts: dict[str, Any] = {
            "points": len(clouds[0]),
            "voxels": self._batch.num_voxels,
            "peak_mb": peak_mb(segmenter.device),
        }

    def repeat(self, _number: int) -> dict[str, float]:
        if not self._batch.num_voxels:
            return {"inference": 0.0, "step": 0.0}
        self._model.eval()
        self._clock.start("inference")
        self._segmenter.run_network(self._batch)
        self._clock.stop()
        self._model.train()
        self._model.zero_grad()
        self._clock.start("step")
        self._loss().backward()
        self._clock.stop()
        return self._clock.own_times_ms()

    def _loss(self) -> torch.Tensor:
        """The loss of supervised training: cross-entropy and Lovasz on voxels, cross-entropy on points."""
        with computing_in(self._segmenter.precision, self._segmenter.device.type):
            output = self._model(self._batch)
        logits_VC = output.voxel_logits_VC.float()
        loss = cross_entropy(logits_VC, self._labels_V) + lovasz_softmax(logits_VC.softmax(dim=1), self._labels_V)
        if output.point_logits_PC is not None:
            loss = loss + cross_entropy(output.point_logits_PC.float(), self._labels_P)
        return loss


def _row(outcome: Outcome) -> Row:
    inference_ms, step_ms = outcome.median("inference"), outcome.median("step")
    return {
        **outcome.job.names,
        **outcome.facts,
        "samples": len(outcome.samples),
        "inference_ms": inference_ms,
        "step_ms": step_ms,
        "ratio": step_ms / inference_ms if inference_ms else None,
    }
