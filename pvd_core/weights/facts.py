"""The facts in the header of a weights file, checked before anything is built from them."""

import json
from collections.abc import Mapping
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from pvd_core.clouds.history import PastScans
from pvd_core.models.build import check_model_settings, setting_names
from pvd_core.taxonomy import SEMANTICKITTI, Taxonomy, taxonomy_named
from pvd_core.voxels import Voxeliser, grid_from_settings
from pvd_core.weights.confidence import temperature_of
from pvd_core.weights.expected import expected_cloud

TAXONOMY_KEY = "taxonomy"
DISTILLED_KEY = "distilled"
"""By what method a network was taught, and the teacher: its model, what it was trained on, its steps."""
_PAST_KEY, _STRIDE_KEY, _TIME_KEY = "past_scans", "scan_stride", "scan_time"


def checked_facts(text: str | None) -> dict[str, Any]:
    """The facts in the JSON `text`, with their taxonomy if they name none. UserError unless they describe a network of
    this program for the classes of a known taxonomy."""
    facts = _parsed(text)
    model = facts["model"]
    _check_settings(model)
    if "classes" not in facts:
        raise UserError("its header names no classes; files of `pvd convert` of earlier versions: convert them again")
    taxonomy = taxonomy_of(facts)
    taxonomy.check_names(facts["classes"])
    if model["num_classes"] != taxonomy.num_classes:
        raise UserError(f"its network has scores for {model['num_classes']} classes, {class_count(taxonomy)}")
    expected_cloud(facts)
    check_time(past_scans_of(facts), grid_from_settings(model["grid"]))
    temperature_of(facts)
    return {**facts, TAXONOMY_KEY: taxonomy.name}


def taxonomy_of(facts: Mapping[str, Any]) -> Taxonomy:
    """The classes of the network with these `facts`; SemanticKITTI's where files of earlier versions name none.
    UserError for an unknown taxonomy."""
    return taxonomy_named(facts.get(TAXONOMY_KEY, SEMANTICKITTI.name))


def past_scans_of(facts: Mapping[str, Any]) -> PastScans:
    """The past scans that the network with these `facts` expects behind each; none where they name none. UserError for
    values out of range."""
    values = facts.get(_PAST_KEY, 0), facts.get(_STRIDE_KEY, 1)
    if not all(type(value) is int for value in values):
        raise UserError(f"{_PAST_KEY}, {_STRIDE_KEY} in its header are {shown(values)}: expected whole numbers")
    time = facts.get(_TIME_KEY, False)
    if type(time) is not bool:
        raise UserError(f"{_TIME_KEY} in its header is {shown(time)}: expected true or false")
    return PastScans(*values, time)


def past_scans_facts(past: PastScans) -> dict[str, Any]:
    """What the header of weights says of the past scans that their network was trained with; nothing of none."""
    time = {_TIME_KEY: True} if past.time else {}
    return {_PAST_KEY: past.past, _STRIDE_KEY: past.stride, **time} if past.past else {}


def check_time(past: PastScans, grid: Voxeliser) -> None:
    """UserError where a network's grid takes the time of points and `past`, the past scans that it expects, give none,
    or the other way round."""
    if past.time != grid.time:
        raise UserError(
            f"its network takes {'the' if grid.time else 'no'} time of points, but {_TIME_KEY} is {past.time}: one of "
            "the two was changed; take the weights as they were written"
        )


def class_count(taxonomy: Taxonomy) -> str:
    """What a number of classes that does not fit is to be compared with, for messages."""
    return f"but {taxonomy.num_classes} have names: the {taxonomy.num_classes - 1} of {taxonomy.title} and class 0"


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
