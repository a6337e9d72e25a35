"""The node's parameters: one table of names, defaults, ranges and descriptions, and their checks.

Read-only parameters, such as weights and topics, keep the value that they have at start; the others may be changed
while the node runs.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from pvd_core.clouds.intensity import AUTO, LARGEST_FACTOR
from pvd_core.clouds.mounting import NETWORK_HEIGHT_M


@dataclass(frozen=True)
class Spec:
    """One parameter. `limits`: smallest and largest number allowed. `choices`: the strings allowed; empty for any. With
    both it takes either kind. Of a list both are said of each item."""

    name: str
    default: str | int | float | bool | list[str] | list[float]
    description: str
    read_only: bool = True
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()

    @property
    def takes_both(self) -> bool:
        """Whether it takes a number or a word."""
        return bool(self.limits and self.choices)

    @property
    def range_text(self) -> str:
        """Its limits for people."""
        return "{:g}..{:g}".format(*self.limits) if self.limits else ""

    def complaint(self, value: object) -> str:
        """Why `value` cannot be taken, where ROS does not check that itself; "" if it can."""
        if isinstance(self.default, list):
            return self._complaint_about_list(value)
        if not self.choices or value in self.choices:
            return ""
        if self.limits and self.limits[0] <= _number_in(value) <= self.limits[1]:
            return ""
        number = f", or a number in {self.range_text}" if self.limits else ""
        return f"parameter {self.name} is {shown(value)}, expected one of: {', '.join(self.choices)}{number}"

    def _complaint_about_list(self, value: object) -> str:
        assert isinstance(value, Sequence), "ROS checks the type"
        for item in value:
            if item and self.choices and item not in self.choices:
                return f"parameter {self.name} has {shown(item)}, expected some of: {', '.join(self.choices)}"
            if self.limits and not self.limits[0] <= item <= self.limits[1]:
                return f"parameter {self.name} has {item:g}, expected numbers in {self.range_text}"
        return ""


def _number_in(value: object) -> float:
    """The number that `value` is, or is the text of, as parameter tools send '0.5'; NaN if there is none."""
    try:
        return math.nan if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
    except (ValueError, OverflowError):
        return math.nan


RELIABILITIES = ("best_effort", "reliable")
OUTPUTS = ("points", "labels", "static", "obstacles")
MOVERS = ["car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist"]
GROUND = ["road", "parking", "sidewalk", "other-ground", "terrain"]
_DEGREES = (-360.0, 360.0)

SPECS = (
    Spec("points_in", "/velodyne_points", "topic of the sensor_msgs/PointCloud2 to label"),
    Spec("weights", "", "path of a .safetensors file, or multiscan; several, with commas, vote; empty: the shipped"),
    Spec("device", "auto", "auto, cpu, cuda or cuda:N; auto takes the GPU when there is one"),
    Spec(
        "precision",
        "fp32",
        "number format of the network: fp32, bf16, auto (what the device has); on GPUs tf32, fp16",
    ),
    Spec(
        "num_threads",
        0,
        "CPU threads of the network; 0: as many as label fastest, measured at configure",
        limits=(0, 256),
    ),
    Spec("autostart", True, "configure and activate at start; false waits for a lifecycle manager"),
    Spec(
        "input_reliability",
        "best_effort",
        "QoS asked of the sensor; reliable refuses best-effort publishers",
        choices=RELIABILITIES,
    ),
    Spec("input_depth", 5, "clouds that the middleware keeps until the node takes and counts them", limits=(1, 100)),
    Spec(
        "output_reliability",
        "reliable",
        "QoS of the labelled cloud; reliable also serves best-effort subscribers",
        choices=RELIABILITIES,
    ),
    Spec("output_depth", 5, "labelled clouds kept for a slow reliable subscriber", limits=(1, 100)),
    Spec("outputs", list(OUTPUTS), "those that are published, if somebody listens", False, choices=OUTPUTS),
    Spec("entropy", False, "~/points has the field entropy: 0 (certain) to 1 (any class as probable)", False),
    Spec("keep_fields", False, "~/points has all fields of the input, and those of the labels behind them", False),
    Spec("static_without", MOVERS, "classes that ~/static leaves out; a class stands for its moving kind too", False),
    Spec("obstacles_without", GROUND, "classes that ~/obstacles leaves out", False),
    Spec("min_confidence", 0.0, "points below it are never left out of ~/static and ~/obstacles", False, (0.0, 1.0)),
    Spec("intensity_field", "", "field to take as intensity; empty: intensity, reflectivity or the like", False),
    Spec(
        "intensity_scale",
        AUTO,
        "factor that brings intensity to 0..1, such as 0.00392157 for 0..255; auto: by the first cloud, if certain",
        False,
        (0.0, LARGEST_FACTOR),
        (AUTO,),
    ),
    Spec(
        "mounting_height",
        NETWORK_HEIGHT_M,
        "metres of the clouds' origin above the ground; 0.0 if their z is 0 there",
        False,
        (-100.0, 100.0),
    ),
    Spec("mounting_roll", 0.0, "degrees that the sensor leans to its right, as roll in a URDF", False, _DEGREES),
    Spec("mounting_pitch", 0.0, "degrees that the sensor looks down, as pitch in a URDF", False, _DEGREES),
    Spec("mounting_yaw", 0.0, "degrees that its x axis points left of forward, as yaw in a URDF", False, _DEGREES),
    Spec("base_frame", "", "level frame on the ground, x forward; /tf_static then tells the mounting; empty: none"),
    Spec("min_range", 0.0, "metres; nearer points get label 0; 0: no limit", False, (0.0, 1e4)),
    Spec("max_range", 0.0, "metres; points farther away get label 0; 0: no limit", False, (0.0, 1e4)),
    Spec("ego_box", [0.0] * 6, "lowest x, y, z and highest of a box whose points get label 0; all 0: none", False),
    Spec("ego_frame", "", "frame of ego_box, by /tf_static; empty: that of the clouds"),
    Spec(
        "max_rate", 0.0, "clouds a second that are labelled at most; the others are skipped; 0: all", False, (0.0, 1e4)
    ),
    Spec("always_label", False, "label although nobody subscribes to an output", False),
    Spec(
        "latency_warn_ms", 150.0, "diagnostics warn when the 90th percentile of total exceeds this", False, (0.0, 1e6)
    ),
    Spec("latency_error_ms", 1000.0, "diagnostics report an error above this", False, (0.0, 1e6)),
    Spec("latency_window", 500, "clouds over which percentiles are taken", limits=(1, 100_000)),
    Spec("report_path", "", "JSON file written at shutdown with counters and percentiles; empty: none"),
    Spec("history", -1, "past clouds put behind each by poses; -1: as the weights want", limits=(-1, 20)),
    Spec("history_stride", 0, "every n-th of the clouds before is taken; 0: as the weights want", limits=(0, 100)),
    Spec("odometry", "", "topic of the nav_msgs/Odometry that poses come from; empty: none"),
    Spec("fixed_frame", "", "frame of /tf that stands still, for poses from there, such as odom; empty: none"),
    Spec("pose_wait_ms", 100.0, "how long a cloud waits for its pose before it is labelled alone", limits=(0.0, 1e4)),
    Spec("max_speed", 60.0, "metres a second; poses that would need more have jumped", limits=(0.1, 1e6)),
    Spec("max_turn_rate", 180.0, "degrees a second; the same of turns", limits=(1.0, 1e6)),
)

# rclpy declares these itself, and users may set them.
_OF_RCLPY = {"use_sim_time", "start_type_description_service"}


def declare_parameters(node: Any) -> None:
    """Declares SPECS on a node made with automatically_declare_parameters_from_overrides=True, and checks the values
    that the user gave. UserError for an unknown name, a wrong type, and a value that is not allowed.

    That option is the only public way to see which names the user gave, which is needed to refuse unknown ones.
    """
    given = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
    known = {spec.name for spec in SPECS}
    for name in sorted(given.keys() - known - _OF_RCLPY):
        if not name.startswith("qos_overrides."):
            raise UserError(unknown_parameter(name))
    for spec in SPECS:
        if spec.name in given:
            node.undeclare_parameter(spec.name)
        _declare(node, spec, given.get(spec.name))
    node.add_on_set_parameters_callback(_checked)
    check_thresholds(node, {})


def check_thresholds(node: Any, changes: Mapping[str, Any]) -> None:
    """UserError if the latency of an error lies below that of a warning. `changes` to parameters come on top of the
    values that `node` has."""
    warn_ms, error_ms = (
        changes.get(name, node.get_parameter(name).value) for name in ("latency_warn_ms", "latency_error_ms")
    )
    if warn_ms > error_ms:
        raise UserError(
            f"parameter latency_warn_ms is {warn_ms:g}, above latency_error_ms = {error_ms:g}; expected at most that"
        )


def weights_in(value: str) -> list[str]:
    """The weights that the parameter of this name holds: one, which may be a path with commas in it, or several with
    commas between them; [] for none. UserError where a name is missing."""
    if not value or Path(value).exists():
        return [value] if value else []
    names = [name.strip() for name in value.split(",")]
    if not all(names):
        raise UserError(f"parameter weights is {shown(value)}: a name is missing; several have commas between them")
    return names


def unknown_parameter(name: str) -> str:
    """What is said of a parameter that is none of SPECS, with the one whose name is closest."""
    known = sorted(spec.name for spec in SPECS)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"unknown parameter {name}{hint} Known parameters: {', '.join(known)}"


def _declare(node: Any, spec: Spec, given: object) -> None:
    """`given`: the value that the user gave, of any type, for messages; None if there is none."""
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

    try:
        default = list(spec.default) if isinstance(spec.default, list) else spec.default
        value = node.declare_parameter(spec.name, default, _descriptor(spec)).value
    except InvalidParameterTypeException as error:
        found = getattr(error, "args", ("",))[0]
        raise UserError(f"parameter {spec.name} must be a {_kind_of(spec.default, given)}: {found}") from error
    except InvalidParameterValueException as error:
        assert spec.limits is not None, "only a range makes a number invalid"
        low, high = spec.limits
        raise UserError(f"parameter {spec.name} must lie in {low:g}..{high:g}: {error.args[0]}") from error
    if complaint := spec.complaint(value):
        raise UserError(complaint)


def _kind_of(default: object, given: object) -> str:
    """The type of a default for people, with a hint where they gave a whole number, which is no float in ROS, or a list
    for one string."""
    if isinstance(default, str) and isinstance(given, list):
        return f"str (write {', '.join(map(str, given))!r})"
    if isinstance(default, list):
        return "list of strings" if isinstance(default[0], str) else f"list of floats (write {default}, with points)"
    if not isinstance(default, float):
        return type(default).__name__
    if isinstance(given, int) and not isinstance(given, bool):
        return f"float (write {given}.0, not {given})"
    return f"float, such as {default}"


def _checked(changed: Sequence[Any]) -> Any:
    """Answers a change of parameters while the node runs."""
    from rcl_interfaces.msg import SetParametersResult

    specs = {spec.name: spec for spec in SPECS}
    complaints = [specs[each.name].complaint(each.value) for each in changed if each.name in specs]
    return SetParametersResult(successful=not any(complaints), reason="; ".join(filter(None, complaints)))


def _descriptor(spec: Spec) -> Any:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    descriptor = ParameterDescriptor(
        description=spec.description, read_only=spec.read_only, dynamic_typing=spec.takes_both
    )
    if spec.takes_both:  # ROS checks ranges of one type only
        descriptor.additional_constraints = f"{', '.join(spec.choices)}, or a number in {spec.range_text}"
        return descriptor
    if spec.choices:
        amount = "some" if isinstance(spec.default, list) else "one"
        descriptor.additional_constraints = f"{amount} of: {', '.join(spec.choices)}"
    if isinstance(spec.default, list):  # ROS checks ranges of single numbers only
        return descriptor
    if spec.limits and isinstance(spec.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=spec.limits[0], to_value=spec.limits[1])]
    elif spec.limits:
        descriptor.integer_range = [IntegerRange(from_value=spec.limits[0], to_value=spec.limits[1], step=1)]
    return descriptor
