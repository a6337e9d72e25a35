"""What is measured on a GPU, and the same at sizes that a CPU rehearses in Triton's interpreter."""

import os
from dataclasses import dataclass
from typing import Any

import torch

from pvd_core import default_weights
from pvd_core.models import Network, build_model
from pvd_core.weights import load_model

SHIPPED = "shipped"


@dataclass(frozen=True)
class Sizes:
    student: str | dict[str, Any]
    teacher: str | dict[str, Any]
    compared: str | dict[str, Any]  # whose scores are compared; of random weights nearly nothing reaches the scores
    networks: dict[str, str | dict[str, Any]]  # those whose latency is measured, the most important one first
    precisions: tuple[str, ...]  # of labelling
    training_precisions: tuple[str, ...]  # the first one is that of the weights
    training_backends: tuple[str, ...]  # likewise
    programs: dict[str, str]  # {backend: how clouds are labelled with it}
    runs: int  # clouds a row
    batch_size: int
    num_threads: int  # that read scans for training
    num_processes: int  # that compile kernels side by side
    streets: tuple[str, ...]  # options of `pvd simulate`
    validation_scans: int
    example_points: int  # of the scan that is made where none is given


def _tiny(width: int) -> dict[str, Any]:
    widths = {"num_voxel_features": 4, "num_point_features": 8, "point_mlp_widths": [8], "refinement_widths": [8]}
    return {"architecture": "cylinder3d", "width": width, **widths, "grid": {"shape": [4, 4, 2]}}


_ON_GPU = Sizes(
    student="cylinder3d-0.5x",
    teacher="cylinder3d-1x",
    compared=SHIPPED,
    networks={name: name for name in ("cylinder3d-0.5x", SHIPPED, "cylinder3d-1x", "spvcnn-0.5x", "minkunet-0.5x")},
    precisions=("fp16", "fp32"),
    training_precisions=("bf16", "fp16"),
    training_backends=("triton", "reference"),
    programs={"triton": "graphs", "reference": "off"},
    runs=300,
    batch_size=2,
    num_threads=8,
    num_processes=8,
    streets=("--scans", "20", "--valid-scans", "20", "--interval", "1.0"),
    validation_scans=20,
    example_points=120_000,
)
_ON_CPU = Sizes(
    student=_tiny(1),
    teacher=_tiny(2),
    compared=_tiny(1),  # the shipped network takes a minute in the interpreter
    networks={"tiny": _tiny(1)},
    precisions=("fp32",),
    training_precisions=("fp32",),
    training_backends=("reference",),  # a step in the interpreter takes seconds
    programs={"triton": "off", "reference": "eager"},
    runs=3,
    batch_size=2,
    num_threads=1,
    num_processes=1,
    streets=("--sequences", "08", "--scans", "1", "--sensor", "vlp16", "--world", "highway"),
    validation_scans=1,
    example_points=200,
)


def sizes_on(device: str) -> Sizes:
    """The full sizes on a GPU, tiny ones on a CPU."""
    return _ON_CPU if torch.device(device).type == "cpu" else _ON_GPU


def environment_on(device: str) -> dict[str, str]:
    """The environment of the steps. On a CPU Triton interprets its kernels, and one thread is enough for tiny networks:
    two would wait for each other on a busy machine."""
    if torch.device(device).type == "cpu":
        return {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    return dict(os.environ)


def network(settings: str | dict[str, Any], device: str) -> Network:
    """A network of `Sizes`, in evaluation mode; all but the shipped one have random weights, the same in every step."""
    if settings == SHIPPED:
        return load_model(default_weights(), torch.device(device))[0].eval()
    torch.manual_seed(0)
    return build_model(settings).to(device).eval()
