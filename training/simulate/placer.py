"""Puts objects into a block: beside which lanes, how far from them, on what ground, without overlaps."""

import numpy as np

from training.simulate import vehicles
from training.simulate.ground import ground_height

WITH_TRAFFIC = np.pi
"""The yaw for `Placer.put` at which +x is the driving direction of a side, whatever the side."""
_STATIC_INSTANCES = 30000
_INSTANCES_A_BLOCK = 150


class Placer:
    """Puts objects into one block and numbers those that are instances."""

    def __init__(self, block, route, random):
        self.block, self.route, self.random = block, route, random
        self.meshes = []
        self._taken = []
        self._num_instances = 0

    def put(self, mesh, side, s, distance_m, yaw=0.0, counts=False, sink_m=0.0):
        """`distance_m` outwards from the lanes' edge. With yaw 0 the object's -y points at the lanes."""
        if counts:
            self._num_instances += 1
            number = (self.block.index * _INSTANCES_A_BLOCK + self._num_instances) % _STATIC_INSTANCES
            mesh = mesh.numbered(number + 1)
        height = ground_height(self.block, side, s, distance_m) - sink_m
        d = self.block.lane_edge(side) + side * distance_m
        self.meshes.append(self.route.placed(mesh, s, d, height, yaw + (0.0 if side > 0 else np.pi)))

    def claim(self, side, s, distance_m, half_length, half_width):
        """True, and the place is taken, if nothing claimed overlaps it."""
        for other_side, s0, u0, l0, w0 in self._taken:
            if other_side == side and abs(s - s0) < half_length + l0 and abs(distance_m - u0) < half_width + w0:
                return False
        self._taken.append((side, s, distance_m, half_length, half_width))
        return True

    def span(self, side):
        """(first, last) s that is clear of the crossings."""
        crosses = self.block.crosses_left if side > 0 else self.block.crosses_right
        return (
            self.block.start_m + (self.block.crossing_m + 3 if crosses else 0.5),
            self.block.end_m - (3 if crosses else 0.5),
        )


def walking_zone(side):
    """(start, end, height) of where people walk on this side: its sidewalk, or the first metres beside the lanes."""
    return side.span("sidewalk") or (side.edges()[-2] + 0.2, side.edges()[-2] + 2.0, side.strips[-1].height_m)


def vehicle(random):
    """A parked vehicle: mostly cars, now and then a rarer kind. Returns (mesh, half length)."""
    make = (vehicles.car, vehicles.van, vehicles.truck, vehicles.other_vehicle)[
        random.choice(4, p=(0.82, 0.11, 0.035, 0.035))
    ]
    mesh = make(random)
    return mesh, float(mesh.vertices[:, 0].max())
