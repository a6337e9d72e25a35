"""The blocks that a street is made of, drawn at random: their kinds, lanes, medians and side streets."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from training.simulate.street.layout import Block, Side, SideStreet
from training.simulate.street.street_kinds import KINDS

LONGEST_BLOCK_M = 115.0
_SHORTEST_BLOCK_M = 85.0  # the sensor's view: it sees no further than into the next block
_CLEAR_M = 19.0  # least distance of side streets from a block's ends
_FIRST_HIGHWAY = 4  # index of a block; short drives stay in streets, where every class occurs
# How common the first six kinds of KINDS are in a mixed world, one row drawn for a seed.
_MIXTURES = {
    "residential": (0.58, 0.09, 0.07, 0.02, 0.06, 0.18),
    "city": (0.34, 0.30, 0.06, 0.04, 0.10, 0.16),
    "country": (0.25, 0.04, 0.32, 0.08, 0.05, 0.26),
    "highway": (0.12, 0.06, 0.20, 0.38, 0.06, 0.18),
}


def draw_blocks(seed: int, length_m: float, shares: Mapping[str, float] | None) -> list[Block]:
    """The blocks from s = 0 to at least `length_m`. shares: {kind of street: how common it is}, None for a mixture
    drawn from the seed. Every block depends on the seed and the blocks before it, not on `length_m`."""
    is_mixed = shares is None
    shares = _mixture(seed) if shares is None else shares
    blocks: list[Block] = []
    start = 0.0
    while start < length_m:
        random = np.random.default_rng([seed, 4, len(blocks)])
        end = start + float(np.round(random.uniform(_SHORTEST_BLOCK_M, LONGEST_BLOCK_M)))
        blocks.append(_draw_block(random, len(blocks), start, end, shares, is_mixed))
        start = end
    return blocks


def _draw_block(
    random: np.random.Generator,
    index: int,
    start_m: float,
    end_m: float,
    shares: Mapping[str, float],
    is_mixed: bool,
) -> Block:
    """A block of a random kind of street; both sides may differ. In a mixed world the first blocks are no highways."""
    names, probabilities = tuple(shares), tuple(shares.values())
    kind = names[random.choice(len(names), p=probabilities)]
    other = names[random.choice(len(names), p=probabilities)] if random.random() < 0.5 else kind
    if is_mixed and index < _FIRST_HIGHWAY and "highway" in (kind, other):
        kind = other = "residential"
    if "highway" in (kind, other):
        kind = other = "highway"
    is_wide = kind == "highway" or (kind in ("city", "commercial") and random.random() < 0.2)
    return Block(
        index=index,
        start_m=start_m,
        end_m=end_m,
        kind=kind,
        right=KINDS[kind](random),
        left=KINDS[other](random),
        side_streets=tuple(_side_streets(random, start_m, end_m, (kind, other))),
        right_lanes=2 if is_wide else 1,
        left_lanes=2 if is_wide else 1,
        median_m=_median_m(random, kind, is_wide),
        crossing_m=float(random.uniform(6, 10)),
        crown_m=0.0 if kind == "parking" else float(random.uniform(0.0, 0.07)),
    )


def _median_m(random: np.random.Generator, kind: str, is_wide: bool) -> float:
    """Width of the median, 0 for none."""
    if kind == "parking":
        return 0.0
    return float(random.choice((1.2, 2.0, 3.0))) if is_wide or random.random() < 0.08 else 0.0


def _side_streets(
    random: np.random.Generator, start_m: float, end_m: float, kinds: tuple[str, str]
) -> Iterator[SideStreet]:
    """Crossings and T-junctions: up to two places along the block, each with a street on one or both sides."""
    places = []
    if not {"highway", "parking"} & set(kinds):
        places = [random.uniform(start_m + _CLEAR_M, (start_m + end_m) / 2 - 8)] if random.random() < 0.65 else []
        places += [random.uniform((start_m + end_m) / 2 + 8, end_m - _CLEAR_M)] if random.random() < 0.65 else []
    for s in places:
        sides = ((-1,), (1,), (-1, 1))[random.choice(3, p=(0.3, 0.3, 0.4))]
        slant = random.normal(0, 0.3)
        for side in sides:
            kind = kinds[0] if side < 0 else kinds[1]
            yield SideStreet(
                side=side,
                s_m=float(s + random.normal(0, 0.5)),
                half_width_m=float(random.uniform(1.6, 3.3)),
                slant=float(np.clip(slant * -side + random.normal(0, 0.05), -0.7, 0.7)),
                bend=float(random.normal(0, 0.006)),
                corner_m=float(random.uniform(2, 9)),
                before=_side_of_side_street(random, kind),
                beyond=_side_of_side_street(random, kind),
            )


def _side_of_side_street(random: np.random.Generator, kind: str) -> Side:
    """One side of a side street off a street of `kind`."""
    name = kind if kind in ("city", "country", "green") else "residential"
    return replace(KINDS[name](random), outer_slope=0.0, backdrop="none")


def _mixture(seed: int) -> dict[str, float]:
    """{kind of street: how common it is} in the mixed world of a seed."""
    name = tuple(_MIXTURES)[np.random.default_rng([seed, 2]).choice(4, p=(0.55, 0.15, 0.23, 0.07))]
    return dict(zip(KINDS, _MIXTURES[name], strict=False))  # the last kind, parking, has no share
