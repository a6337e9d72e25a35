"""Settings of trainings that stand in a wrong place of a grid file: which place is meant."""

from collections.abc import Collection, Mapping
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import names_of
from training.run.config import TrainConfig

_SECTIONS = ("settings", "student", "pretraining")
"""Those that hold settings of trainings themselves."""


def check_placing(values: Mapping[str, Any], keys: Collection[str], keys_of_teacher: Collection[str]) -> None:
    """UserError for a setting of trainings in `values`, the content of a grid file, that stands beside the section for
    it. `keys`: what a grid file may hold; `keys_of_teacher`: its section "teacher"."""
    for key in values:
        if key not in keys and (names := names_of(TrainConfig, str(key))):
            raise UserError(
                f"unknown config key {key!r}; it is a setting of trainings: give settings.{names[0]} for every run, "
                f"student.{names[0]} for students, teacher.settings.{names[0]} for the teacher"
            )
    teacher = values.get("teacher")
    for key in teacher if isinstance(teacher, dict) else ():
        if key not in keys_of_teacher and (names := names_of(TrainConfig, str(key))):
            raise UserError(f"unknown config key 'teacher.{key}'; did you mean teacher.settings.{names[0]}?")
    for section in _SECTIONS:
        if isinstance(values.get(section), dict) and "settings" in values[section]:
            raise UserError(f"unknown config key '{section}.settings'; settings stand in {section} directly")
