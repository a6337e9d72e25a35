"""The kinds of grids, by the name that settings and headers of weights give them."""

from collections.abc import Mapping
from typing import Any

from pvd_core.borders.wording import shown
from pvd_core.voxels.cartesian import CartesianGrid
from pvd_core.voxels.cylindrical import CylindricalGrid
from pvd_core.voxels.voxeliser import Voxeliser

_KINDS: dict[str, type[CylindricalGrid] | type[CartesianGrid]] = {
    CylindricalGrid.kind: CylindricalGrid,
    CartesianGrid.kind: CartesianGrid,
}


def grid_from_settings(settings: Mapping[str, Any]) -> Voxeliser:
    """A grid from its `kind`, cylindrical if there is none, and some or all of the fields of that kind; ValueError
    names what does not fit."""
    fields = dict(settings)
    kind = fields.pop("kind", "cylindrical")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"grid kind is {shown(kind)}: expected one of {', '.join(_KINDS)}")
    return _KINDS[kind].from_settings(fields)
