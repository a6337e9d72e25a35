"""The facts in the header of a weights file, checked before anything is built from them."""

import json
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from pvd_core.models.build import check_model_settings, setting_names
from pvd_core.taxonomy import NUM_CLASSES, check_class_names
from pvd_core.voxels import grid_from_settings
from pvd_core.weights.expected import expected_cloud


def checked_facts(text: str | None) -> dict[str, Any]:
    """The facts in the JSON `text`. UserError unless they describe a network of this program for its classes."""
    facts = _parsed(text)
    model = facts["model"]
    _check_settings(model)
    if "classes" not in facts:
        raise UserError("its header names no classes; files of `pvd convert` of earlier versions: convert them again")
    check_class_names(facts["classes"])
    if model["num_classes"] != NUM_CLASSES:
        raise UserError(f"its network has scores for {model['num_classes']} classes, but {NUM_CLASSES} have names")
    expected_cloud(facts)
    return facts


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        facts = json.loads(text or "", parse_constant=_refuse_constant)
        if isinstance(facts["model"]["architecture"], str):
            return facts
    except RecursionError:
        raise UserError("the facts in its header are nested too deeply") from None
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(
        "a safetensors file without the facts of a model in its header; expected one that `pvd train` or `pvd convert` "
        "wrote"
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _check_settings(model: dict[str, Any]) -> None:
    names = setting_names(model["architecture"])
    # A default in place of what is missing would be a guess: another grid puts every point into another cell.
    if missing := [name for name in names if name not in model]:
        raise UserError(f"its header lacks model settings: {', '.join(missing)}")
    if "name" in model:
        raise UserError(f"its header names the preset {shown(model['name'])}; expected settings")
    check_model_settings(model)
    _check_grid(model["grid"])


def _check_grid(settings: dict[str, Any]) -> None:
    # Earlier versions had one kind of grid, with rings of one width, and did not say so.
    needed = grid_from_settings(settings).settings().keys() - {"kind", "radial"}
    if missing := sorted(needed - settings.keys()):
        raise UserError(f"grid in its header lacks {', '.join(missing)}; it has {shown(sorted(settings))}")
