"""Fences, walls and hedges between the pavement and the gardens, some with plants behind them."""

from collections.abc import Sequence

import numpy as np

from training.simulate.shapes import furniture, plants
from training.simulate.street.frontage import Frontage
from training.simulate.street.ground import Patch
from training.simulate.street.placer import Placer

_STEP_M = 2.5


def place_fences(placer: Placer, front: Frontage, patches: Sequence[Patch]) -> None:
    """Fences, walls or hedges with gaps at driveways; kind and height change from garden to garden. `patches` are the
    ground patches, among them driveways."""
    random, style = placer.random, front.style
    if style.fence == "none":
        return
    offset = 0.3 if len(style.strips) > 1 and placer.block.kind != "highway" else 2.0
    distance = style.outer_start_m() + offset
    kind, height, has_plants = style.fence, style.fence_height_m, random.random() < 0.5
    left_in_garden = random.uniform(8, 25)
    for s in np.arange(front.first_m + _STEP_M / 2, front.last_m - _STEP_M / 2, _STEP_M):
        left_in_garden -= _STEP_M
        if left_in_garden < 0 and placer.block.kind != "highway":
            left_in_garden = random.uniform(8, 25)
            height, has_plants = random.uniform(0.5, 2.4), random.random() < 0.6
            kinds = ("hedge", "hedge", "picket", "planks", "wall", "low_wall", "mesh", "bars", style.fence, "gap")
            kind = random.choice(kinds)
        if kind == "gap" or random.random() < 0.03 or _is_driveway(front, patches, s, distance):
            continue
        if not front.is_clear(s, distance, _STEP_M / 2, 0.3):
            continue
        if kind == "hedge":
            panel = plants.hedge(random, _STEP_M, height * random.uniform(0.92, 1.08), random.uniform(0.6, 1.1))
            placer.put(panel, front, s, distance + 0.3, random.normal(0, 0.03), sink_m=0.05)
            continue
        panel_height = 0.8 if kind == "rail" else (min(height, 1.0) if kind == "low_wall" else height)
        panel = furniture.fence_panel(random, kind, _STEP_M, panel_height)
        placer.put(panel, front, s, distance, sink_m=0.02)
        if has_plants:
            behind = plants.hedge(random, _STEP_M, height * random.uniform(0.7, 1.5), random.uniform(0.5, 1.2))
            placer.put(behind, front, s, distance + random.uniform(0.7, 1.0), random.normal(0, 0.05), sink_m=0.05)


def _is_driveway(front: Frontage, patches: Sequence[Patch], s: float, distance: float) -> bool:
    return any(
        patch.front is front
        and patch.from_s_m - 1 < s < patch.to_s_m + 1
        and patch.from_m <= distance + 0.5
        and patch.to_m > distance
        for patch in patches
    )
