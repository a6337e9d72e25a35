"""What is measured on a GPU, and the same at sizes that a CPU rehearses in Triton's interpreter."""

import os
from dataclasses import dataclass
from typing import Any

import torch

from pvd_core import default_weights
from pvd_core.models import Network, build_model
from pvd_core.models.build import PRESETS
from pvd_core.models.cylinder3d import Cylinder3DConfig
from pvd_core.weights import load_model

SHIPPED = "shipped"

Settings = str | dict[str, Any]  # of a network, as build_model takes them


@dataclass(frozen=True)
class Family:
    """A student and its teacher. Both start from `initial_weights`, widened, where there are any."""

    student: Settings
    teacher: Settings
    initial_weights: str | None
    strengths: dict[str, Any]  # of PVD
    training_settings: tuple[str, ...]  # overrides of config/train_simulated.yaml


@dataclass(frozen=True)
class Sizes:
    families: dict[str, Family]  # those that are trained
    training_settings: tuple[str, ...]  # of all of them, as above
    most_training_steps: int
    training_precision: str
    compared: Settings  # whose scores are compared; of random weights nearly nothing reaches the scores
    networks: dict[str, Settings]  # those whose latency is measured; the first one's layers are compared too
    precisions: tuple[str, ...]  # of labelling
    programs: dict[str, str]  # {backend: how clouds are labelled with it}
    runs: int  # clouds a row
    num_processes: int  # that compile kernels side by side
    streets: tuple[str, ...]  # options of `pvd simulate`
    example_points: int  # of the scan that is made where none is given


def _tiny(width: int) -> dict[str, Any]:
    widths = {"num_voxel_features": 4, "num_point_features": 8, "point_mlp_widths": [8], "refinement_widths": [8]}
    return {"architecture": "cylinder3d", "width": width, **widths, "grid": {"shape": [4, 4, 2]}}


def _compact(times: int) -> dict[str, Any]:
    """cylinder3d-compact with so many times the channels: 2 is half as wide as the full network, 4 as wide."""
    compact = {"num_voxel_features": Cylinder3DConfig.num_voxel_features, **PRESETS["cylinder3d-compact"]}
    widths = {name: times * compact[name] for name in ("width", "num_voxel_features", "num_point_features")}
    layers = {name: [times * width for width in compact[name]] for name in ("point_mlp_widths", "refinement_widths")}
    return {**compact, **widths, **layers}


# Chosen on validation scans for a student of MinkUNet, see config/ablations/fair_strengths.yaml: thrice the paper's.
_STRENGTHS = {"point_output": 0.3, "voxel_output": 0.3, "point_affinity": 0.45, "voxel_affinity": 0.6}
_MINKUNET = {"name": "minkunet-0.5x", "grid": {"voxel_size": 0.2, "origin": "ground"}}
_ON_GPU = Sizes(
    families={
        "cylinder3d": Family(
            student=_compact(times=2),
            teacher=_compact(times=4),
            initial_weights="cylinder3d-0.5x",
            strengths=_STRENGTHS,
            training_settings=("optimizer.learning_rate=1.5e-3", "augmentation.translate_metres=0.2"),
        ),
        "minkunet": Family(
            student=_MINKUNET,
            teacher={**_MINKUNET, "name": "minkunet-1x"},
            initial_weights="minkunet-0.5x",
            strengths=_STRENGTHS,
            training_settings=("optimizer.learning_rate=1e-3",),
        ),
    },
    training_settings=(
        *("precision=bf16", "batch_size=4", "num_workers=8", "ema_decay=0.99", "validation.max_scans=20"),
        *("schedule.warmup_steps=40", "augmentation.intensity_off=0.2", "augmentation.intensity_jitter=0.15"),
        *("augmentation.intensity_gamma=0.15", "augmentation.intensity_by_class=0.04"),
    ),
    most_training_steps=1_000_000,
    training_precision="bf16",
    compared=SHIPPED,
    networks={name: name for name in ("cylinder3d-0.5x", SHIPPED, "cylinder3d-1x", "spvcnn-0.5x", "minkunet-0.5x")},
    precisions=("fp16", "fp32"),
    programs={"triton": "graphs", "reference": "off"},
    runs=300,
    num_processes=8,
    streets=("--scans", "80", "--valid-scans", "20", "--interval", "2.0", "--seed", "71"),
    example_points=120_000,
)
_ON_CPU = Sizes(
    families={
        "cylinder3d": Family(
            student=_tiny(1), teacher=_tiny(2), initial_weights=None, strengths=_STRENGTHS, training_settings=()
        )
    },
    training_settings=("precision=fp32", "num_threads=1", "validation.max_scans=1", "schedule.warmup_steps=0"),
    most_training_steps=3,
    training_precision="fp32",
    compared=_tiny(1),  # the shipped network takes a minute in the interpreter
    networks={"tiny": _tiny(1)},
    precisions=("fp32",),
    programs={"triton": "off", "reference": "eager"},
    runs=3,
    num_processes=1,
    streets=("--sequences", "00,08", "--scans", "1", "--sensor", "vlp16", "--world", "highway"),
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


def network(settings: Settings, device: str) -> Network:
    """A network of `Sizes`, in evaluation mode; all but the shipped one have random weights, the same in every step."""
    if settings == SHIPPED:
        return load_model(default_weights(), torch.device(device))[0].eval()
    torch.manual_seed(0)
    return build_model(settings).to(device).eval()
