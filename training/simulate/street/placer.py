"""Puts objects into a block: along its streets, on the ground, without overlaps."""

import numpy as np

from training.simulate.shapes.mesh import Mesh
from training.simulate.street.frontage import Frontage
from training.simulate.street.ground import ground_height
from training.simulate.street.layout import Block, Side
from training.simulate.street.route import Route

WITH_TRAFFIC = np.pi
"""The yaw for `Placer.put` that turns an object's +x into the driving direction, on both sides of a street."""
_STATIC_INSTANCES = 30000
_INSTANCES_A_BLOCK, _INSTANCES_A_CAR_PARK = 250, 1000


class Placer:
    """Puts objects into one block; `meshes` are those put so far, in world coordinates."""

    def __init__(self, block: Block, route: Route, random: np.random.Generator) -> None:
        self.block, self.route, self.random = block, route, random
        self.meshes: list[Mesh] = []
        self._taken: list[tuple[int, float, float, float, float]] = []
        self._num_instances = 0

    def put(
        self,
        mesh: Mesh,
        front: Frontage,
        along: float,
        distance_m: float,
        yaw: float = 0.0,
        is_instance: bool = False,
        sink_m: float = 0.0,
    ) -> None:
        """Puts a mesh `along` a frontage, `distance_m` outwards from the edge of its lanes, `sink_m` below the ground.

        yaw: radians; with 0 the object's -y faces the lanes. is_instance: gives the mesh an instance id of its own.
        """
        if is_instance:
            self._num_instances += 1
            first = self.block.index * (_INSTANCES_A_CAR_PARK if self.block.kind == "parking" else _INSTANCES_A_BLOCK)
            number = (first + self._num_instances) % _STATIC_INSTANCES
            mesh = mesh.numbered(number + 1)
        s, u, turn = front.place(along, distance_m)
        height = ground_height(self.block, front.side, s, u) - sink_m
        d = self.block.lane_edge(front.side) + front.side * u
        self.meshes.append(self.route.placed(mesh, s, d, height, yaw + turn))

    def claim(self, front: Frontage, along: float, distance_m: float, half_length: float, half_width: float) -> bool:
        """Claims a place and returns True, unless it lies on another street or overlaps an earlier claim.

        The place reaches `half_length` along the frontage and `half_width` across, in metres, to either side.
        """
        if not front.is_clear(along, distance_m, half_length, half_width):
            return False
        s, u, yaw = front.place(along, distance_m)
        cos, sin = abs(np.cos(yaw)), abs(np.sin(yaw))
        reach_s, reach_u = cos * half_length + sin * half_width, sin * half_length + cos * half_width
        for side, other_s, other_u, other_reach_s, other_reach_u in self._taken:
            overlaps = abs(s - other_s) < reach_s + other_reach_s and abs(u - other_u) < reach_u + other_reach_u
            if overlaps and side == front.side:
                return False
        self._taken.append((front.side, s, u, reach_s, reach_u))
        return True


def walking_zone(style: Side) -> tuple[float, float, float]:
    """(start, end, height) in metres of the sidewalk; without one, of a strip of 2 m beside the road."""
    start = style.outer_start_m()
    return style.span("sidewalk") or (start + 0.2, start + 2.0, style.strips[-1].height_m)
