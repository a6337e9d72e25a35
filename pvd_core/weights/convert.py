"""Converts official checkpoints of Cylinder3D and PVKD to our weights.

The widths of the network are read from the tensors' shapes. Convolution weights become (K, C_in, C_out), K kernel taps.
With `as_trained` kernels a decoder's third convolution keeps the nine of 27 taps that spconv 1.x really used; in the
checkpoint the others may be NaN.
"""

import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pvd_core.borders.errors import UserError, unknown_name
from pvd_core.borders.files import why_not_a_file
from pvd_core.borders.wording import shown
from pvd_core.clouds.history import PastScans
from pvd_core.models.blocks import KERNEL_PLANS
from pvd_core.models.build import build_model, check_model_settings
from pvd_core.taxonomy import SEMANTICKITTI, TAXONOMIES, Taxonomy
from pvd_core.weights import WeightsError, load_state, save_weights
from pvd_core.weights.facts import TAXONOMY_KEY, past_scans_facts
from pvd_core.weights.official import our_name, stored_kernel

LAYOUTS = ("spconv1", "spconv2")

# Other data sets of official checkpoints, with the number of their classes, the ignored one among them.
_UNSUPPORTED = {"nuscenes": 17, "waymo": 23}
DATASETS = tuple(TAXONOMIES)


def convert_checkpoint(
    source: str | Path, destination: str | Path, layout: str, kernels: str, dataset: str = "semantickitti"
) -> dict[str, Any]:
    """Converts the official checkpoint `source` to the weights file `destination` and returns the facts written into
    it. `layout`: one of LAYOUTS, in which spconv stored the weights; `kernels`: one of KERNEL_PLANS; `dataset`: what it
    was trained on, which says what its classes and its grid are, for the file does not. WeightsError if `source` is no
    such checkpoint."""
    taxonomy = taxonomy_of_dataset(dataset)
    state, settings = converted_state(read_checkpoint(source), layout, kernels, str(source), taxonomy)
    model = build_model(settings)
    load_state(model, state, source=str(source))
    facts = {"converted_from": Path(source).name, "layout": layout, "dataset": dataset, TAXONOMY_KEY: taxonomy.name}
    # Spec 2.5: the official networks of the multi-scan task learned from three scans at once.
    facts |= past_scans_facts(PastScans(2 if taxonomy.moving else 0))
    save_weights(destination, model, facts)
    return {**facts, "model": settings}


def read_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """The state_dict of a pickled checkpoint, also if it is an entry of a dictionary. No code in the file is run.
    Raises WeightsError."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"checkpoint {path} {what}; expected an official .pt file")
    if path.suffix == ".safetensors":
        raise WeightsError(f"checkpoint {path} is in our format already; expected an official .pt file")
    try:
        if what := why_not_a_file(path):
            raise WeightsError(f"checkpoint {path} {what}")
        if _lacks_its_end(path):
            raise WeightsError(
                f"checkpoint {path} looks cut short: after its {path.stat().st_size:,} bytes there should be more; "
                "copy or download it again"
            )
        state = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"checkpoint {path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a broken pickle makes torch raise errors of a dozen types
        raise WeightsError(
            f"checkpoint {path}: not a file of tensors that torch can read safely ({type(error).__name__}); is it "
            "complete?"
        ) from error
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise WeightsError(f"checkpoint {path}: expected a dictionary of tensors, found {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
            raise WeightsError(
                f"checkpoint {path}: expected a dictionary of tensors, found {type(value).__name__} for {shown(name)}"
            )
    return state


def _lacks_its_end(path: Path) -> bool:
    """Whether a file begins as a zip archive, which torch.save writes, but does not end as one."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04" and not zipfile.is_zipfile(file)


def converted_state(
    official: Mapping[str, torch.Tensor],
    layout: str,
    kernels: str,
    source: str = "checkpoint",
    taxonomy: Taxonomy = SEMANTICKITTI,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(our state_dict, settings for build_model) from an official state_dict of a network for `taxonomy`.
    WeightsError, which names `source`, if it has other classes or is of another network."""
    if layout not in LAYOUTS:
        raise WeightsError(f"layout {layout!r}: expected one of {', '.join(LAYOUTS)}")
    if kernels not in KERNEL_PLANS:
        raise WeightsError(f"kernels {kernels!r}: expected one of {', '.join(KERNEL_PLANS)}")
    official = {re.sub(r"^module\.", "", name): tensor for name, tensor in official.items()}
    state = {}
    for name, tensor in official.items():
        ours = our_name(name)
        if ours is None:
            raise WeightsError(f"{source}: unexpected tensor {name}; this is no official Cylinder3D checkpoint")
        if tensor.dim() == 5:
            _check_kernel(name, tensor, stored_kernel(ours), layout, source)
            tensor = _convolution_weight(tensor, layout, used_taps=_used_taps(ours, kernels))
        state[ours] = tensor
    settings = _settings(state, kernels, source)
    _check_classes(settings["num_classes"], taxonomy, source)
    try:
        check_model_settings(settings)
    except UserError as error:
        raise WeightsError(f"{source}: {error}") from error
    return state, settings


def taxonomy_of_dataset(dataset: str) -> Taxonomy:
    """The classes of checkpoints trained on this data set. UserError unless such checkpoints are supported."""
    if dataset in _UNSUPPORTED:
        raise WeightsError(
            f"checkpoints of {dataset} are not supported yet: their {_UNSUPPORTED[dataset] - 1} classes and their grid "
            f"are others than those of {' and '.join(DATASETS)}, which this version labels"
        )
    if dataset not in TAXONOMIES:
        raise unknown_name("data set", dataset, (*DATASETS, *_UNSUPPORTED))
    return TAXONOMIES[dataset]


def _check_classes(num_classes: int, taxonomy: Taxonomy, source: str) -> None:
    if num_classes == taxonomy.num_classes:
        return
    known = {name: each.num_classes for name, each in TAXONOMIES.items()}
    owner = next((name for name, number in {**known, **_UNSUPPORTED}.items() if number == num_classes), None)
    whose = f", as checkpoints of {owner} have" if owner else ""
    remedy = f": give --dataset {owner}" if owner in known else ""
    raise WeightsError(
        f"{source} has scores for {num_classes} classes, the ignored one among them{whose}; those of {taxonomy.name} "
        f"have {taxonomy.num_classes}{remedy}"
    )


def _check_kernel(name: str, tensor: torch.Tensor, kernel: tuple[int, int, int], layout: str, source: str) -> None:
    """WeightsError unless the extents of a convolution's kernel lie where `layout` has them."""
    extents = {"spconv1": tuple(tensor.shape[:3]), "spconv2": tuple(tensor.shape[1:4])}
    if extents[layout] == kernel:
        return
    other = next((each for each in LAYOUTS if extents[each] == kernel), None)
    remedy = f"they are there in layout {other}" if other else "this is no official Cylinder3D checkpoint"
    raise WeightsError(
        f"{source}: {name} has shape {tuple(tensor.shape)}; in layout {layout} kernel extents {kernel} were expected "
        f"{'first' if layout == 'spconv1' else 'after the output channels'}; {remedy}"
    )


def _used_taps(our_name: str, kernels: str) -> int | None:
    """How many taps to keep: the first nine of a decoder's third convolution as trained; None: all."""
    is_third = re.fullmatch(r"backbone\.decoder\.\d\.post\.2\.conv\.weight", our_name)
    return math.prod(KERNEL_PLANS[kernels].decoder[2]) if is_third else None


def _convolution_weight(tensor: torch.Tensor, layout: str, used_taps: int | None) -> torch.Tensor:
    if layout == "spconv2":
        tensor = tensor.permute(1, 2, 3, 4, 0)
    return tensor.reshape(-1, *tensor.shape[3:])[:used_taps].contiguous()


def _settings(state: Mapping[str, torch.Tensor], kernels: str, source: str) -> dict[str, Any]:
    def tensor(name: str) -> torch.Tensor:
        if name not in state:
            raise WeightsError(f"{source}: no tensor for {name}; expected an official Cylinder3D checkpoint")
        if state[name].dim() == 0:
            raise WeightsError(f"{source}: the tensor for {name} is a single number; expected one for each channel")
        return state[name]

    return {
        "architecture": "cylinder3d",
        "width": tensor("backbone.stem.branch_a.0.norm.weight").shape[0],
        "num_voxel_features": tensor("voxel_compress.linear.weight").shape[0],
        "num_point_features": tensor("point_mlp.out.weight").shape[0],
        "num_classes": tensor("head.conv.bias").shape[0],
        "kernels": kernels,
        "refinement": "none",
    }
