"""Puts objects into a block: along which street, how far from it, on what ground, without overlaps."""

import numpy as np

from training.simulate.shapes import vehicles
from training.simulate.street.ground import ground_height

WITH_TRAFFIC = np.pi
"""The yaw for `Placer.put` at which +x is the driving direction of a frontage, whatever its side."""
_STATIC_INSTANCES = 30000
_INSTANCES_A_BLOCK, _INSTANCES_A_CAR_PARK = 250, 1000


class Placer:
    """Puts objects into one block and numbers those that are instances."""

    def __init__(self, block, route, random):
        self.block, self.route, self.random = block, route, random
        self.meshes = []
        self._taken = []
        self._num_instances = 0

    def put(self, mesh, front, along, distance_m, yaw=0.0, counts=False, sink_m=0.0):
        """`distance_m` outwards from the lanes' edge. With yaw 0 the object's -y points at the lanes."""
        if counts:
            self._num_instances += 1
            first = self.block.index * (_INSTANCES_A_CAR_PARK if self.block.kind == "parking" else _INSTANCES_A_BLOCK)
            number = (first + self._num_instances) % _STATIC_INSTANCES
            mesh = mesh.numbered(number + 1)
        s, u, turn = front.place(along, distance_m)
        height = ground_height(self.block, front.side, s, u) - sink_m
        d = self.block.lane_edge(front.side) + front.side * u
        self.meshes.append(self.route.placed(mesh, s, d, height, yaw + turn))

    def claim(self, front, along, distance_m, half_length, half_width):
        """True, and the place is taken, if it lies on no other street and nothing claimed overlaps it."""
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


def walking_zone(style):
    """(start, end, height) of where people walk on this side: its sidewalk, or the first metres beside the road."""
    start = style.outer_start_m()
    return style.span("sidewalk") or (start + 0.2, start + 2.0, style.strips[-1].height_m)


def vehicle(random):
    """A parked vehicle: mostly cars, now and then a rarer kind. Returns (mesh, half length)."""
    make = (vehicles.car, vehicles.van, vehicles.truck, vehicles.other_vehicle)[
        random.choice(4, p=(0.86, 0.12, 0.008, 0.012))
    ]
    mesh = make(random)
    return mesh, float(mesh.vertices[:, 0].max())
