"""Dataclasses from YAML: strict about keys and types, with error messages that name the field."""

import contextlib
import copy
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pvd_core.borders.errors import UserError
from pvd_core.borders.shipped_config import config_path
from pvd_core.borders.strict_yaml import LONGEST_BYTES, parsed_yaml
from pvd_core.borders.wording import shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_LONGEST_KEY = 80
# Larger ones do not fit into the integers of torch and numpy.
_LARGEST_WHOLE = 2**63 - 1

_Config = TypeVar("_Config", bound="DataclassInstance")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; {} for an empty file. UserError if it cannot be read or holds something else.

    A path such as config/train.yaml where no file is means the shipped file of this name.
    """
    try:
        with config_path(path).open("rb") as file:
            content = file.read(LONGEST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no config file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config file {path} cannot be read: {error}") from error
    if len(content) > LONGEST_BYTES:
        raise UserError(f"config file {path} is longer than {LONGEST_BYTES:,} bytes: is it a config?")
    values = parsed_yaml(text, f"config file {path}")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"config file {path} holds a {type(values).__name__}: expected 'key: value' lines")
    return values


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of the nested dictionary `values` with each override "section.key=VALUE" applied; VALUE is read as YAML.
    Items of a list are sections by their `name`; a section that is null begins anew. UserError for an override of
    another form."""
    result = copy.deepcopy(dict(values))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise UserError(
                f"override {shown(override)}: expected key=value, for example optimizer.learning_rate=0.001"
            )
        value = parsed_yaml(text, f"the value of override {shown(override)}")
        *sections, name = key.strip().split(".")
        target, below = result, ""
        for section in sections:
            target, below = _section(target, section, below, override), section
        if isinstance(target, list):
            raise UserError(f"override {shown(override)}: {shown(below)} is a list: give a setting of one of its items")
        target[name] = value
    return result


def _section(target: Any, section: str, below: str, override: str) -> Any:
    """The section or list `section` of `target`, which is a section or the list `below`."""
    if isinstance(target, list):
        named = {each["name"]: each for each in target if isinstance(each, dict) and isinstance(each.get("name"), str)}
        if not named:
            raise UserError(
                f"override {shown(override)}: {shown(below)} is a list, whose items have no names: change it in the "
                "file"
            )
        if section not in named:
            raise UserError(
                f"override {shown(override)}: {shown(below)} has no {shown(section)}; it has {', '.join(named)}"
            )
        found = named[section]
    elif (found := target.get(section)) is None:  # a section that is switched off, as one that is not there
        found = target[section] = {}
    if not isinstance(found, (dict, list)):
        raise UserError(f"override {shown(override)}: {shown(section)} holds {shown(found)}, not further settings")
    return found


def filled(config_class: type[_Config], values: Mapping[str, Any], prefix: str = "") -> _Config:
    """An instance of a dataclass from a dictionary; nested dataclasses are filled from nested dictionaries. Unknown
    keys, wrong types and missing required fields raise UserError, which names the field with `prefix` before it."""
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    for key in values:
        if key not in fields:
            raise UserError(_unknown_key(key, config_class, prefix))
    for name, field in fields.items():
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in values and not has_default:
            raise UserError(
                f"config has no {prefix}{name}, which is required; give it in the file or as {prefix}{name}=..."
            )
    hints = typing.get_type_hints(config_class)
    return config_class(**{key: _converted(value, hints[key], f"{prefix}{key}") for key, value in values.items()})


def names_of(config_class: "type[DataclassInstance]", key: str) -> list[str]:
    """Full names, such as optimizer.learning_rate, of the fields called `key` in a dataclass and in those within it."""
    return [full for name, full in _names_within(config_class, "") if name == key]


def plain(value: Any) -> Any:
    """`value` with dataclasses as dictionaries and tuples as lists, as YAML and JSON take it."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


def _unknown_key(key: object, config_class: "type[DataclassInstance]", prefix: str) -> str:
    fields, name = [field.name for field in dataclasses.fields(config_class)], str(key)[:_LONGEST_KEY]
    # A setting under its right name in the wrong section says more than another one that is spelt like it.
    close = names_of(config_class, name) or difflib.get_close_matches(name, fields, n=1)
    if not close:
        names = [each for each, _ in _names_within(config_class, "")]
        close = [full for each in difflib.get_close_matches(name, names, n=1) for full in names_of(config_class, each)]
    hint = f"did you mean {prefix}{close[0]}? " if close else ""
    return f"unknown config key {prefix + name!r}; {hint}Known: {', '.join(prefix + name for name in fields)}"


def _names_within(config_class: "type[DataclassInstance]", prefix: str) -> Iterator[tuple[str, str]]:
    """(name, full name) of each field of a dataclass and of those within it."""
    for name, hint in typing.get_type_hints(config_class).items():
        yield name, f"{prefix}{name}"
        for each in (hint, *typing.get_args(hint)):
            if isinstance(each, type) and dataclasses.is_dataclass(each):
                yield from _names_within(each, f"{prefix}{name}.")


def _converted(value: Any, hint: Any, name: str) -> Any:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UserError(f"{name} is {shown(value)}: expected a section with 'key: value' lines")
        return filled(hint, value, f"{name}.")
    if isinstance(hint, types.UnionType):
        members = typing.get_args(hint)
        sections = [each for each in members if isinstance(each, type) and dataclasses.is_dataclass(each)]
        if sections and isinstance(value, dict):
            # Its error names the wrong field; "none of the types fits" would not.
            return filled(sections[0], value, f"{name}.")
        return _first_that_fits(value, members, name)
    if typing.get_origin(hint) is tuple:
        return _tuple(value, typing.get_args(hint), name)
    if hint is float:
        return _float(value, name)
    if hint is int:
        return _whole(value, name)
    if hint is str and isinstance(value, int) and not isinstance(value, bool):
        # YAML reads a sequence name such as 00 as a number.
        return str(value)
    if isinstance(value, hint):
        return value
    raise UserError(f"{name} is {shown(value)}: expected {_readable(hint)}")


def _float(value: Any, name: str) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        # YAML reads 1e-3, without a dot, as text. A whole number may have more digits than a float holds.
        with contextlib.suppress(ValueError, OverflowError):
            number = float(value)
            if not math.isfinite(number):
                raise UserError(f"{name} is {number}: expected a finite number")
            return number
    raise UserError(f"{name} is {shown(value)}: expected {_readable(float)}")


def _whole(value: Any, name: str) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not value.is_integer()):
        raise UserError(f"{name} is {shown(value)}: expected {_readable(int)}")
    if abs(value) > _LARGEST_WHOLE:
        raise UserError(f"{name} is {shown(value)}: expected a whole number of at most {_LARGEST_WHOLE}")
    return int(value)


def _first_that_fits(value: Any, hints: Sequence[Any], name: str) -> Any:
    for hint in hints:
        with contextlib.suppress(UserError):
            return _converted(value, hint, name)
    raise UserError(f"{name} is {shown(value)}: expected {' or '.join(map(_readable, hints))}")


def _tuple(value: Any, hints: Sequence[Any], name: str) -> tuple[Any, ...]:
    is_any_length = len(hints) == 2 and hints[1] is Ellipsis
    if not isinstance(value, (list, tuple)) or (not is_any_length and len(value) != len(hints)):
        count = "" if is_any_length else f"{len(hints)} "
        raise UserError(f"{name} is {shown(value)}: expected a list of {count}values")
    item_hints = [hints[0]] * len(value) if is_any_length else hints
    return tuple(_converted(item, item_hint, name) for item, item_hint in zip(value, item_hints, strict=True))


def _readable(hint: Any) -> str:
    if hint is type(None):
        return "null"
    if typing.get_origin(hint) is tuple:
        return "a list"
    if dataclasses.is_dataclass(hint):
        return "a section"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a section"}[hint]
