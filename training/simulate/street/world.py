"""The street of a drive: its blocks, whose meshes are built when they are needed, and the static mesh around a
place."""

import bisect
from collections import OrderedDict

import numpy as np

from training.simulate.shapes.mesh import Mesh, join
from training.simulate.street.block_objects import populate
from training.simulate.street.blocks import LONGEST_BLOCK_M, draw_blocks
from training.simulate.street.ground import ground_mesh
from training.simulate.street.layout import Block
from training.simulate.street.route import Route
from training.simulate.street.world_kinds import WorldKind

_BLOCKS_KEPT = 3


class StreetWorld:
    """The street of one seed in a WorldKind, from s = 0 to `length_m`."""

    def __init__(self, seed: int, length_m: float, kind: WorldKind) -> None:
        self.seed = seed
        self.route = Route(seed, length_m + 2 * LONGEST_BLOCK_M, kind.curvature)
        self.blocks = draw_blocks(seed, length_m, kind.shares)
        self._starts_m = [block.start_m for block in self.blocks]
        self._meshes: OrderedDict[int, Mesh] = OrderedDict()

    def block_at(self, s: float) -> Block:
        """The block at s, the first one before it, the last one behind it."""
        return self.blocks[max(0, bisect.bisect_right(self._starts_m, s) - 1)]

    def window_at(self, s: float) -> tuple[int, int]:
        """(first, last) index of the blocks that a sensor at s can see: its own and its neighbours."""
        index = self.block_at(s).index
        return max(0, index - 1), min(index + 1, len(self.blocks) - 1)

    def static_mesh(self, window: tuple[int, int]) -> Mesh:
        """Everything in the blocks `window` = (first, last) that does not move, in world coordinates."""
        first, last = window
        return join(self._block_mesh(index) for index in range(first, last + 1))

    def _block_mesh(self, index: int) -> Mesh:
        if index not in self._meshes:
            self._meshes[index] = build_block(self.seed, self.blocks[index], self.route)
            while len(self._meshes) > _BLOCKS_KEPT:
                self._meshes.popitem(last=False)
        self._meshes.move_to_end(index)
        return self._meshes[index]


def build_block(seed: int, block: Block, route: Route) -> Mesh:
    """The static mesh of one block, in world coordinates. It depends only on the seed and the block."""
    random = np.random.default_rng([seed, 3, block.index])
    meshes, patches = populate(block, route, random)
    return join([ground_mesh(block, route, random, patches), *meshes])
