"""Labels many bags: finds them, shares them among processes or machines of a Ray cluster, counts their classes."""

from pvd_ros.fleet.finding import FoundBag, find_bags
from pvd_ros.fleet.plan import FleetPlan, plan_fleet
from pvd_ros.fleet.processes import label_in_processes
from pvd_ros.fleet.ray_cluster import RaySettings, label_with_ray
from pvd_ros.fleet.task import BagResult, BagTask, Event, LabelSettings

__all__ = [
    "BagResult",
    "BagTask",
    "Event",
    "FleetPlan",
    "FoundBag",
    "LabelSettings",
    "RaySettings",
    "find_bags",
    "label_in_processes",
    "label_with_ray",
    "plan_fleet",
]
