"""A training step, forward and backward, against a forward pass for inference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pvd_cli.bench.measurement import Measurement, warm_up
from pvd_cli.bench.plan import Plan, Progress, Row
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.spans import SpanClock
from pvd_cli.bench.turns import Outcome, by_scan, measure
from pvd_core.losses import cross_entropy, lovasz_softmax
from pvd_core.runtime.memory import peak_mb
from pvd_core.runtime.precision import computing_in
from pvd_core.segmenter import Segmenter
from pvd_core.voxels import majority_labels


def training_rows(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """As `measure`: for each combination `inference_ms` (the network alone, as labelling runs it), `step_ms` (forward,
    losses, backward; no optimiser), both medians, `ratio` of the two and `peak_mb`."""
    return measure("training", plan, by_scan(plan), _rows, progress)


def training_times(segmenter: Segmenter, clouds: Sequence[np.ndarray], _runs: int) -> Measurement:
    """The network forward and a training step in turns, on one cloud and with labels drawn at random."""
    model, device, clock = segmenter.model, segmenter.device, SpanClock(segmenter.device)
    batch = ScanInput(segmenter, clouds[0]).batch
    sizes = (len(batch.point_to_voxel_P),)
    generator = torch.Generator().manual_seed(0)
    labels_P = torch.randint(1, model.config.num_classes, sizes, generator=generator).to(device)
    labels_V = majority_labels(labels_P, batch.point_to_voxel_P, batch.num_voxels)

    def inference() -> None:
        segmenter.run_network(batch)

    def step() -> None:
        """Of supervised training: cross-entropy and Lovasz on voxels, cross-entropy on points."""
        with computing_in(segmenter.precision, device.type):
            output = model(batch)
        logits_VC = output.voxel_logits_VC.float()
        loss = cross_entropy(logits_VC, labels_V) + lovasz_softmax(logits_VC.softmax(dim=1), labels_V)
        if output.point_logits_PC is not None:
            loss = loss + cross_entropy(output.point_logits_PC.float(), labels_P)
        loss.backward()

    def repeat(_number: int) -> dict[str, float]:
        if not batch.num_voxels:
            return {"inference": 0.0, "step": 0.0}
        model.eval()
        inference_ms = clock.times_ms({"inference": inference})
        model.train()
        model.zero_grad()
        return {**inference_ms, **clock.times_ms({"step": step})}

    warm_up(repeat)
    return Measurement(repeat, {"points": len(clouds[0]), "voxels": batch.num_voxels, "peak_mb": peak_mb(device)})


def _rows(outcomes: Sequence[Outcome]) -> list[Row]:
    rows = []
    for outcome in outcomes:
        inference_ms, step_ms = outcome.median("inference"), outcome.median("step")
        ratio = step_ms / inference_ms if inference_ms else None
        rows.append({**outcome.circumstances, "inference_ms": inference_ms, "step_ms": step_ms, "ratio": ratio})
    return rows
