"""Finds paths that are empty on a command line, as where a variable of a script was not set. Python takes "" for the
present folder."""

import inspect
import typing
from collections.abc import Callable, Sequence
from pathlib import Path

from pvd_core.borders.errors import UserError


def check_no_empty_path(command: Callable[..., object], arguments: Sequence[str]) -> None:
    """UserError if one of `arguments` of `command`, or the value of one of its options that name a path, is empty."""
    types = _types_of_options(command)
    before = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and not value and Path in types.get(name, ()):
            raise _empty(name)
        if not argument:
            # After a flag, or after another value, stands an argument. Texts may be empty: "as if left out".
            of_option = types.get(before, ())
            if not of_option or bool in of_option:
                raise _empty("an argument")
            if Path in of_option:
                raise _empty(before)
        before = argument


def _empty(what: str) -> UserError:
    return UserError(f"{what} is empty: name a file or folder; was a variable of your script not set?")


def _types_of_options(command: Callable[..., object]) -> dict[str, tuple[object, ...]]:
    """{option: its type, and those in it}: {"--out": (Path,), "--weights": (Path | None, Path, NoneType)}."""
    hints = typing.get_type_hints(command, include_extras=True)
    types = {}
    for parameter in inspect.signature(command).parameters.values():
        hint, info = typing.get_args(hints[parameter.name])[:2]
        # In Annotated, typer takes the first name for a default at first.
        given = [getattr(info, "default", None), *(getattr(info, "param_decls", None) or ())]
        names = [name for name in given if isinstance(name, str) and name.startswith("-")]
        names = names or [f"--{parameter.name.replace('_', '-')}"]
        inner = [each for arg in typing.get_args(hint) for each in (arg, *typing.get_args(arg))]
        if type(info).__name__ == "OptionInfo":
            types.update(dict.fromkeys(names, (hint, *inner)))
    return types
