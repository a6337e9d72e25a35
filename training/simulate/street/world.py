"""A street without end: blocks made on demand from the seed, and the static geometry around a place on it."""

import bisect
from collections import OrderedDict

import numpy as np

from training.simulate.shapes.mesh import join
from training.simulate.street.ground import ground_mesh
from training.simulate.street.populate import populate
from training.simulate.street.route import Route
from training.simulate.street.styles import draw_block, favoured_kinds

_VIEW_M = 85.0
_LONGEST_BLOCK_M = 115.0
_BLOCKS_KEPT = 3


class StreetWorld:
    """The street of one seed in a WorldKind, from s = 0 to `length_m`."""

    def __init__(self, seed, length_m, kind):
        self.seed = seed
        self.route = Route(seed, length_m + 2 * _LONGEST_BLOCK_M, kind.curvature)
        self.blocks = _draw_blocks(seed, length_m, kind.shares)
        self._starts_m = [block.start_m for block in self.blocks]
        self._meshes = OrderedDict()

    def block_at(self, s):
        return self.blocks[max(0, bisect.bisect_right(self._starts_m, s) - 1)]

    def window_at(self, s):
        """(first, last) index of the blocks that a sensor at s may see: its own and one to either side."""
        index = self.block_at(s).index
        return max(0, index - 1), min(index + 1, len(self.blocks) - 1)

    def static_mesh(self, window):
        """All that does not move in these blocks, in world coordinates."""
        first, last = window
        return join(self._block_mesh(index) for index in range(first, last + 1))

    def _block_mesh(self, index):
        if index not in self._meshes:
            self._meshes[index] = build_block(self.seed, self.blocks[index], self.route)
            while len(self._meshes) > _BLOCKS_KEPT:
                self._meshes.popitem(last=False)
        self._meshes.move_to_end(index)
        return self._meshes[index]


def build_block(seed, block, route):
    """The mesh of one block; it depends on the seed and the block alone."""
    random = np.random.default_rng([seed, 3, block.index])
    meshes, patches = populate(block, route, random)
    return join([ground_mesh(block, route, random, patches), *meshes])


def _draw_blocks(seed, length_m, shares):
    is_mixed = shares is None
    shares = favoured_kinds(seed) if is_mixed else shares
    blocks, start = [], 0.0
    while start < length_m:
        random = np.random.default_rng([seed, 4, len(blocks)])
        end = start + float(np.round(random.uniform(_VIEW_M, _LONGEST_BLOCK_M)))
        blocks.append(draw_block(random, len(blocks), start, end, shares, is_mixed))
        start = end
    return blocks
