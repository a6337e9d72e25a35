"""Checks of settings against their bounds; UserError names the setting, its value and the bound."""

from collections.abc import Iterable, Mapping, Sequence

from pvd_core.borders.errors import UserError


def one_of(name: str, value: str, choices: Sequence[str]) -> None:
    """`value`, of the setting `name`, is one of `choices`."""
    if value not in choices:
        raise UserError(f"{name} is {value!r}: expected one of {', '.join(choices)}")


def positive(section: str, config: object, names: Iterable[str]) -> None:
    """These fields of `config`, the section `section`, are None or above 0."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise UserError(f"{f'{section}.{name}'.lstrip('.')} is {value}: expected more than 0")


def at_least(section: str, config: object, names: Iterable[str], minimum: float) -> None:
    """These fields are None or at least `minimum`."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= minimum:
            raise UserError(f"{f'{section}.{name}'.lstrip('.')} is {value}: expected at least {minimum}")


def at_most(config: object, largest: Mapping[str, int]) -> None:
    """No field is above the number that `largest` has for it."""
    for name, most in largest.items():
        if getattr(config, name) > most:
            raise UserError(f"{name} is {getattr(config, name)}: expected at most {most}")
