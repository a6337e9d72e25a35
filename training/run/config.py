"""Every setting of a training run: frozen dataclasses, filled from YAML and `key=value` overrides."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import apply_overrides, filled, plain, read_yaml
from pvd_core.borders.strict_yaml import parsed_yaml
from pvd_core.borders.wording import shown
from pvd_core.clouds.bin_columns import bin_columns
from pvd_core.clouds.history import PastScans
from pvd_core.models.build import check_model_settings, grid_of
from pvd_core.runtime.precision import resolve_precision
from pvd_core.segmenter import resolve_device
from pvd_core.taxonomy import taxonomy_named
from pvd_core.weights import read_facts
from pvd_core.weights.net_config import with_net_config
from training.data.augment import AugmentationConfig
from training.data.mix import MixingConfig
from training.data.simulated_stream import StreamConfig
from training.distil.config import DistillationConfig, MultiToSingleConfig
from training.run.bounds import at_least, at_most, one_of, positive

DEFAULT_MODEL = "cylinder3d-compact"
NAMES_OF_MODELS = ("name", "architecture", "net_config")
"""Of the settings in 'model' those that say what network it is; where there are none, it is the default one."""
SUPERVISED_TERMS = {"cross_entropy": "voxels", "lovasz": "voxels", "point_cross_entropy": "points"}
"""The terms that learn from labels, each a factor in LossConfig -> what it scores; all others are of a distillation."""
CLASS_WEIGHTS = ("none", "sqrt", "cuberoot")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("cosine", "constant")
DATA = ("folder", "simulated")
PRECISIONS = ("auto", "fp32", "bf16", "fp64")
# Of settings that take memory or threads: a mistyped one would fill the machine long before it fails.
_LARGEST = {"batch_size": 1000, "accumulate": 1000, "num_threads": 256, "num_workers": 256}
# Names in the configs of runs of earlier versions.
_OLD_PRECISIONS = {"32-true": "fp32", "bf16-mixed": "bf16"}


@dataclass(frozen=True)
class LossConfig:
    """Factors of the loss terms; 0 leaves a term out."""

    cross_entropy: float = 1.0
    lovasz: float = 1.0
    point_cross_entropy: float = 1.0
    """Only for networks that learn from the labels of points: SPVCNN, and Cylinder3D with point refinement."""
    class_weights: str = "none"
    """In both cross-entropies: none, or the square or cube root (sqrt, cuberoot) of the largest number of points of a
    class over that of the class."""

    def __post_init__(self) -> None:
        one_of("loss.class_weights", self.class_weights, CLASS_WEIGHTS)
        at_least("loss", self, SUPERVISED_TERMS, 0)
        if not self.scored:
            raise UserError("every factor in 'loss' is 0: nothing to train; give at least one a positive value")

    @property
    def scored(self) -> set[str]:
        """What the terms that are not left out score: some of "voxels", "points"."""
        return {scored for term, scored in SUPERVISED_TERMS.items() if getattr(self, term)}


@dataclass(frozen=True)
class OptimizerConfig:
    name: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    """Of adam and adamw."""
    momentum: float = 0.9
    """Of sgd, by Nesterov's rule."""
    gradient_clip: float = 10.0
    """Largest gradient norm; 0 switches clipping off."""

    def __post_init__(self) -> None:
        one_of("optimizer.name", self.name, OPTIMIZERS)
        positive("optimizer", self, ("learning_rate",))
        at_least("optimizer", self, ("weight_decay", "gradient_clip", "momentum"), 0)
        if not self.momentum < 1:
            raise UserError(f"optimizer.momentum is {self.momentum}: expected 0 <= value < 1")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"optimizer.betas are {list(self.betas)}: expected 0 <= value < 1 for both")


@dataclass(frozen=True)
class ScheduleConfig:
    name: str = "cosine"
    warmup_steps: int = 50
    """Steps over which the learning rate grows linearly from nearly 0."""
    final_factor: float = 0.01
    """Learning rate of the last step as a share of the full one; cosine only."""

    def __post_init__(self) -> None:
        one_of("schedule.name", self.name, SCHEDULES)
        at_least("schedule", self, ("warmup_steps", "final_factor"), 0)


@dataclass(frozen=True)
class ValidationConfig:
    sequences: str | tuple[str, ...] = "valid"
    """A split name or a list of sequences."""
    every_steps: int = 200
    """0: only at the end."""
    max_scans: int | None = 50
    """Evenly spread over the sequences; null for all."""

    def __post_init__(self) -> None:
        at_least("validation", self, ("every_steps",), 0)
        positive("validation", self, ("max_scans",))


@dataclass(frozen=True)
class TrainConfig:
    dataset: str
    """Folder that holds 'sequences'."""
    model: dict | str | None = field(default_factory=lambda: {"name": DEFAULT_MODEL})
    """A preset's name, or a section with a 'name', an 'architecture' or the 'net_config' of an SPVNAS (a file, in whose
    place a run records what it says), and any field of the network's config. null: the network of 'initial_weights'."""
    initial_weights: str | None = None
    """A weights file to start from, of a network with the same settings; null starts from random weights."""
    initial_slice: bool = False
    """Start from a slice of 'initial_weights': the first channels of every layer of a wider network, such as the
    teacher."""
    initial_widen: bool = False
    """Start from 'initial_weights' of a narrower network, every channel of it several times over: at first both compute
    the same."""
    data: str = "folder"
    """What to train on: folder (the 'sequences' of 'dataset') or simulated (worlds that 'stream' makes while training).
    Validation scans always come from 'dataset'."""
    taxonomy: str = "semantickitti"
    """The classes to learn: semantickitti, or semantickitti-multiscan, which tells moving objects from still ones."""
    columns: str = "4"
    """Numbers of each point in the .bin files of 'dataset': 4 (x, y, z, intensity), 5 as in nuScenes, or 4xfloat64."""
    sequences: str | tuple[str, ...] = "train"
    """A split name or a list of sequences."""
    max_scans: int | None = None
    """Train on this many scans, evenly spread over the sequences; null for all."""
    scans: PastScans = field(default_factory=PastScans)
    """Past scans that are put behind each by the poses of its sequence, as for the multi-scan task: 'past' is their
    number, every 'stride'-th is taken; with 'time' the network gets how many scans back each point is. Training learns
    from their points too; scores count the scan's own alone."""
    scan_versions: int | None = None
    """Number of fixed versions, each mixed and augmented differently, in which a scan comes: one an epoch, then the
    same ones again. null: a new version in every epoch."""
    seed: int = 0
    epochs: float | None = 40.0
    """Passes over the training scans; may be a fraction. null: as many as 'max_steps' takes."""
    max_steps: int | None = None
    """The run and its schedule end after this many steps, if that is earlier than 'epochs'; null: after 'epochs'."""
    max_minutes: float | None = None
    """Stops after this time and keeps the state, so that the run can be resumed; the schedule stays that of the whole
    run."""
    batch_size: int = 2
    """Scans of a batch, over all processes; where torchrun starts several, a multiple of their number."""
    accumulate: int = 1
    """Batches whose gradients are summed for one optimizer step."""
    ema_decay: float = 0.0
    """The weights that are validated and saved are an exponential moving average with this decay; 0: as trained."""
    norm_scans: int | None = None
    """The norms of weights that are validated and saved have the means and variances of this many training scans as
    they are, without mixing and augmentation; 0: those that training left. null: 24 for networks with a point branch,
    whose first norms see the coordinates of single points, else 0."""
    checkpoint_every_steps: int = 100
    log_gradients_every_steps: int = 0
    """Every so many steps the log gets, for each term of a distillation, the norm of its gradient as a share of that of
    the supervised terms, at the features that enter the classifier; 0: never."""
    device: str = "auto"
    precision: str = "fp32"
    """fp32, bf16, or auto: bf16 where the device has it in hardware, else fp32; the run's config records the choice.
    fp64: slow, for comparing implementations."""
    num_threads: int = 0
    """Threads of the network in each process; 0 leaves it to torch, which takes one where torchrun starts several
    processes. A resumed run is bit-identical only with the same number."""
    num_workers: int = 1
    """Threads that read and prepare the next batches; 0 prepares each batch when it is needed."""
    max_voxels: int | None = None
    """Train on this many voxels of a scan, chosen at random, where it has more; null: on all."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    distillation: DistillationConfig | None = None
    """A teacher to learn from besides the labels; null: learn from the labels only."""
    multi_to_single: MultiToSingleConfig | None = None
    """M2SKD, alone or beside 'distillation': the network teaches itself on scans enriched with objects of earlier ones;
    null: without."""

    def __post_init__(self) -> None:
        if self.model is None:
            object.__setattr__(self, "model", self._initial_model())
        if isinstance(self.model, str):
            object.__setattr__(self, "model", {"name": self.model})
        object.__setattr__(self, "model", with_net_config(cast(dict, self.model)))
        architecture = check_model_settings(cast(dict, self.model))
        if self.distillation is not None:
            object.__setattr__(self, "distillation", self.distillation.of_network(architecture))
        self._check_classes()
        if grid_of(cast(dict, self.model)).time and not self.scans.time:
            raise UserError(
                "model.grid.time is true, but scans.time is false: set scans.time alone, the network then takes it"
            )
        bin_columns(self.columns)
        one_of("data", self.data, DATA)
        object.__setattr__(self, "precision", _OLD_PRECISIONS.get(self.precision, self.precision))
        one_of("precision", self.precision, PRECISIONS)
        whole_numbers = (
            "max_scans",
            "scan_versions",
            "epochs",
            "max_steps",
            "max_minutes",
            "batch_size",
            "accumulate",
            "max_voxels",
        )
        positive("", self, (*whole_numbers, "checkpoint_every_steps"))
        at_most(self, _LARGEST)
        at_least("", self, ("num_threads", "num_workers", "seed", "log_gradients_every_steps", "norm_scans"), 0)
        if self.max_steps is None and (self.epochs is None or self.data == "simulated"):
            reason = "epochs and max_steps are null" if self.epochs is None else "data is simulated, which has no end"
            raise UserError(f"{reason}: give max_steps")
        if self.initial_slice and self.initial_weights is None:
            raise UserError("initial_slice is true: give initial_weights, those of a network with more channels")
        if self.initial_widen and self.initial_weights is None:
            raise UserError("initial_widen is true: give initial_weights, those of a network with fewer channels")
        if self.initial_slice and self.initial_widen:
            raise UserError("initial_slice and initial_widen are true: a network is cut out of a wider one, or widened")
        if self.scans.past and self.data == "simulated":
            raise UserError(
                f"scans.past is {self.scans.past}, but data is simulated, whose scans come without past ones: train on "
                "a folder that `pvd simulate` wrote, or leave it out"
            )
        if self.mixing.partners and (self.scans.past or self.data == "simulated" or self.multi_to_single):
            raise UserError(
                "mixing.partners are single scans for a run on single scans of a folder: leave out scans.past, "
                "multi_to_single and data=simulated, or mixing.partners"
            )
        if self.distillation is not None and self.distillation.cache is not None:
            self._check_scans_come_again()
        if self.multi_to_single is not None:
            self._check_multi_to_single(self.multi_to_single)
        if not 0 <= self.ema_decay < 1:
            raise UserError(f"ema_decay is {self.ema_decay}: expected 0 <= value < 1")

    @property
    def network(self) -> dict[str, Any]:
        """The settings of the network, as build_model takes them, with the number of its classes, and the time of
        points where scans carry it."""
        model = {"num_classes": taxonomy_named(self.taxonomy).num_classes, **cast(dict, self.model)}
        return {**model, "grid": {**grid_of(model).settings(), "time": True}} if self.scans.time else model

    def num_steps(self, num_scans: int | None) -> int:
        """Optimizer steps of the whole run on `num_scans` training scans; None for an endless stream."""
        limits = [] if self.max_steps is None else [self.max_steps]
        if self.epochs is not None and num_scans is not None:
            limits.append(max(1, math.ceil(self.epochs * num_scans / (self.batch_size * self.accumulate))))
        return min(limits)

    def _initial_model(self) -> dict[str, Any]:
        if self.initial_weights is None:
            raise UserError(
                "model is null, which stands for the network of initial_weights, but that is null too: give "
                "initial_weights, or a model by name"
            )
        if self.initial_slice or self.initial_widen:
            raise UserError(
                "model is null, which stands for the very network of initial_weights, but it is to be sliced or "
                "widened: give a model by name"
            )
        settings = read_facts(self.initial_weights)["model"]
        # How many classes it has is said by `taxonomy`.
        return {name: value for name, value in settings.items() if name != "num_classes"}

    def _check_classes(self) -> None:
        found, expected = self.network["num_classes"], taxonomy_named(self.taxonomy).num_classes
        if found != expected:
            raise UserError(
                f"model.num_classes is {found}: the labels of taxonomy {self.taxonomy} have {expected}, with the "
                "ignored one; leave it out"
            )

    def _check_multi_to_single(self, config: MultiToSingleConfig) -> None:
        config.loss.hard_ids(taxonomy_named(self.taxonomy))
        if self.data == "simulated":
            raise UserError(
                "multi_to_single needs scans in a row with objects cut out, but data is simulated: write drives "
                "with `pvd simulate` and train on that folder"
            )
        if self.scans.past:
            raise UserError(
                f"multi_to_single teaches a network that sees single scans, but scans.past is {self.scans.past}: set "
                "it to 0, or leave multi_to_single out"
            )

    def _check_scans_come_again(self) -> None:
        needed = "distillation.cache keeps the teacher's outputs for scans that come again, but"
        if self.data == "simulated":
            raise UserError(f"{needed} data is simulated, whose scans do not: leave it out, or train on a folder")
        if self.scan_versions is None:
            raise UserError(
                f"{needed} they are augmented anew every epoch: set scan_versions to how many fixed versions each scan "
                "comes in (1 without augmentation and mixing), or leave it out"
            )


def load_config(path: str | Path | None = None, overrides: Iterable[str] = ()) -> TrainConfig:
    """TrainConfig from the YAML file `path` (or defaults) and `overrides` such as "optimizer.learning_rate=1e-3".

    UserError for unknown keys, values of a wrong type or out of range, and a missing `dataset`.
    """
    values, overrides = {} if path is None else read_yaml(path), list(overrides)
    # So that "model.width=16" changes the default network instead of naming another one.
    is_named = any(override.startswith(f"model.{name}=") for override in overrides for name in NAMES_OF_MODELS)
    values.setdefault("model", {} if is_named else {"name": DEFAULT_MODEL})
    if isinstance(values["model"], str):
        values["model"] = {"name": values["model"]}
    return filled(TrainConfig, apply_overrides(values, map(_with_model_as_section, overrides)))


def _with_model_as_section(override: str) -> str:
    """So that "model.width=16" may follow "model=NAME"."""
    key, _, text = override.partition("=")
    is_name = key.strip() == "model" and isinstance(parsed_yaml(text, f"the value of override {shown(override)}"), str)
    return f"model={{name: {text}}}" if is_name else override


def with_precision(config: TrainConfig) -> TrainConfig:
    """`config` with the number format that `auto` stands for on its device; UserError for one it does not have."""
    if config.precision == "fp64":  # any device has it
        return config
    return replace(config, precision=resolve_precision(config.precision, resolve_device(config.device)))


def config_as_dict(config: TrainConfig) -> dict[str, Any]:
    """The full config as plain dictionaries and lists, ready for YAML."""
    return plain(config)


def settings_without_effect(config: TrainConfig) -> list[str]:
    """A line for each setting that is not at its default, but has no effect because of another setting."""
    unused = []
    if config.schedule.name == "constant" and config.schedule.final_factor != ScheduleConfig.final_factor:
        unused.append("schedule.final_factor has no effect: schedule.name is constant")
    unused += _data_settings_without_effect(config)
    if config.scans.stride != PastScans.stride and not config.scans.past:
        unused.append("scans.stride has no effect: scans.past is 0")
    if config.log_gradients_every_steps and config.distillation is None and config.multi_to_single is None:
        unused.append("log_gradients_every_steps has no effect: there is no distillation")
    if config.multi_to_single is not None:
        unused += config.multi_to_single.loss.settings_without_effect()
    of_others = ("betas",) if config.optimizer.name == "sgd" else ("momentum",)
    unused += [
        f"optimizer.{name} has no effect: optimizer.name is {config.optimizer.name}"
        for name in of_others
        if getattr(config.optimizer, name) != getattr(OptimizerConfig, name)
    ]
    if config.loss.class_weights != "none" and not config.loss.cross_entropy + config.loss.point_cross_entropy:
        unused.append("loss.class_weights has no effect: both cross-entropy factors are 0")
    return unused


def _data_settings_without_effect(config: TrainConfig) -> list[str]:
    if config.data == "folder":
        return ["stream has no effect: data is folder"] if config.stream != StreamConfig() else []
    defaults = {
        "sequences": "train",
        "max_scans": None,
        "scan_versions": None,
        "mixing.bank_scans": MixingConfig.bank_scans,
    }
    values = {**vars(config), "mixing.bank_scans": config.mixing.bank_scans}
    return [f"{name} has no effect: data is simulated" for name, value in defaults.items() if values[name] != value]


def differing_keys(first: TrainConfig | dict[str, Any], second: TrainConfig | dict[str, Any]) -> list[str]:
    """Dotted names of the fields in which two configs differ, such as "optimizer.learning_rate", sorted. Either may be
    as `config_as_dict` gives it."""
    return sorted(_differing(plain(first), plain(second), ""))


def _differing(first: dict[str, Any], second: dict[str, Any], prefix: str) -> Iterator[str]:
    for key in first.keys() | second.keys():
        a, b = first.get(key), second.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differing(a, b, f"{prefix}{key}.")
        elif a != b:
            yield f"{prefix}{key}"
