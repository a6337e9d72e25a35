"""Compares the Triton backend with the reference on a scan: whole networks, then values and gradients of every layer.

Layers are spread over processes, because Triton takes most of the time, for compiling; it keeps what it compiled, also
for training. A layer's reference computes in float64 on the same numbers. Errors are relative to the largest value.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import numpy as np
import torch

from pvd_core.runtime.precision import PRECISIONS, computing_in
from pvd_core.segmenter import Segmenter
from pvd_core.sparse.backends import load_backend, reference
from pvd_core.sparse.kernel_map import KernelMap
from scripts.gpu.report import Rows
from scripts.gpu.sizes import network, sizes_on
from scripts.gpu.step_options import clouds_of, run_main, seconds_left, step_parser

# Largest error of values, gradients of layers, and of a whole network's scores, by precision.
_TOLERANCES = {"fp32": (1e-5, 1e-4, 1e-3), "fp16": (1e-3, 2e-3, 5e-2), "bf16": (8e-3, 1.6e-2, 0.3)}

Job = tuple[Callable[..., Iterator[dict[str, Any]]], tuple[Any, ...]]  # a function that yields rows, its arguments
Layer = tuple[torch.Tensor, torch.Tensor, KernelMap]  # features_VI, weight_KIO, kernel map


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument(
        "--for-training", action="store_true", help="layers of student and teacher as training has them"
    )
    options = parser.parse_args()
    sizes, rows, points = sizes_on(options.device), Rows(options.json), clouds_of(options)[0]
    if options.for_training:
        networks = [each for family in sizes.families.values() for each in (family.student, family.teacher)]
        precisions: tuple[str, ...] = (sizes.training_precision,)
    else:
        networks, precisions = [next(iter(sizes.networks.values()))], sizes.precisions
    end = time.time() + 0.9 * seconds_left(options)
    num = sizes.num_processes
    jobs: list[Job] = [
        (_compared_layers, (networks, options.device, precisions, points, num, shard, end)) for shard in range(num)
    ]
    if options.for_training:
        jobs = [*((_compile_for_validation, (each, options.device, points)) for each in networks), *jobs]
    else:
        jobs = [*((_compared_network, (sizes.compared, options.device, each, points)) for each in precisions), *jobs]
    for row in _rows_of(jobs, num):
        rows.add(row)
    if different := [row for row in rows.rows if not row["equal"]]:
        sys.exit(f"{len(different)} of {len(rows.rows)} comparisons failed, the first: {different[0]}")


def _rows_of(jobs: list[Job], num_processes: int) -> Iterator[dict[str, Any]]:
    """The rows that the jobs yield; each job has a process of its own, unless there is to be one process alone."""
    if num_processes == 1:
        for function, arguments in jobs:
            yield from function(*arguments)
        return
    with ProcessPoolExecutor(len(jobs), multiprocessing.get_context("spawn")) as pool:
        for job in as_completed([pool.submit(_all_of, *job) for job in jobs]):
            yield from job.result()


def _all_of(function: Callable[..., Iterator[dict[str, Any]]], arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
    return list(function(*arguments))


def _compile_for_validation(settings: Any, device: str, points: np.ndarray) -> Iterator[dict[str, Any]]:
    """Nothing to compare: Triton keeps what trainings need at their end."""
    Segmenter(network(settings, device), None, device, backend="triton").segment(points)
    yield from ()


def _compared_network(settings: Any, device: str, precision: str, points: np.ndarray) -> Iterator[dict[str, Any]]:
    """The scores in inference, with norms and activations fused into convolutions, against the reference in fp32."""
    names = {"what": "network", "precision": precision}
    model = network(settings, device)
    plain, fast = Segmenter(model, None, device), Segmenter(model, None, device, precision)
    expected_VC = plain.run_network(plain.batch_of(points)).voxel_logits_VC.float()
    try:
        model.backend = load_backend("triton")
        actual_VC = fast.run_network(fast.batch_of(points)).voxel_logits_VC.float()
    # Triton's compiler, the driver and a GPU without memory raise different errors.
    except Exception as error:
        yield {**names, "cannot": repr(error)[:300], "equal": False}
        return
    same = (actual_VC.argmax(1) == expected_VC.argmax(1)).float().mean().item()
    largest = _error(actual_VC, expected_VC)
    yield {**names, "error": largest, "same_labels": same, "equal": largest <= _TOLERANCES[precision][2]}


def _compared_layers(
    networks: list[Any],
    device: str,
    precisions: tuple[str, ...],
    points: np.ndarray,
    num: int,
    shard: int,
    end: float,
) -> Iterator[dict[str, Any]]:
    """A row for every `num`-th layer, from number `shard` on, in each precision, until the time `end`."""
    for settings in networks:
        for layer in _layers(settings, device, points)[shard::num]:
            for precision in precisions:
                if time.time() < end:
                    names = {"what": "x".join(map(str, layer[1].shape)), "precision": precision}
                    try:
                        yield {**names, **_compared_layer(layer, precision)}
                    # As above: the other layers are still worth a comparison.
                    except Exception as error:
                        yield {**names, "cannot": repr(error)[:300], "equal": False}


def _layers(settings: Any, device: str, points: np.ndarray) -> list[Layer]:
    """The layers of a network that differ in kernel or channels, on the sites of a scan."""
    found: dict[tuple[int, ...], Layer] = {}

    class Recorder:
        @staticmethod
        def convolve(features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
            found.setdefault(tuple(weight_KIO.shape), (features_VI, weight_KIO, kernel_map))
            return reference.convolve(features_VI, weight_KIO, kernel_map)

    model = network(settings, device)
    model.backend = Recorder
    with torch.no_grad():
        model(model.grid.voxelise([torch.from_numpy(points).to(device)]))
    return list(found.values())


def _compared_layer(layer: Layer, precision: str) -> dict[str, Any]:
    features_VI, weight_KIO, kernel_map = layer
    dtype = PRECISIONS[precision] or torch.float32
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(features_VI.shape, generator=generator), torch.randn(weight_KIO.shape, generator=generator)
    operands = [tensor.to(features_VI.device, dtype).requires_grad_() for tensor in inputs]
    exact_operands = [operand.detach().double().requires_grad_() for operand in operands]
    with computing_in("fp32", features_VI.device.type):
        actual_VO = load_backend("triton").convolve(*operands, kernel_map)
    expected_VO = reference.convolve(*exact_operands, kernel_map)
    # So small that no sum of half precision overflows.
    direction_VO = torch.randn(actual_VO.shape, generator=generator).to(actual_VO) / 16
    gradients = torch.autograd.grad(actual_VO, operands, direction_VO)
    exact_gradients = torch.autograd.grad(expected_VO, exact_operands, direction_VO.double())
    errors = [_error(*pair) for pair in zip((actual_VO, *gradients), (expected_VO, *exact_gradients), strict=True)]
    most_of_value, most_of_gradient, _ = _TOLERANCES[precision]
    return {
        "sites": kernel_map.num_out,
        **dict(zip(("error", "error_feature_gradient", "error_weight_gradient"), errors, strict=True)),
        "equal": errors[0] <= most_of_value and max(errors[1:]) <= most_of_gradient,
    }


def _error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return ((actual.to(expected) - expected).abs().max() / expected.abs().max()).item()


if __name__ == "__main__":
    run_main(main)
