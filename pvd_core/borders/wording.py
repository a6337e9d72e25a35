"""Numbers with their nouns, and values of any kind, for messages."""

import reprlib


class _AsWritten(reprlib.Repr):
    """Python's words for values, but those of YAML and JSON for what these have words for."""

    def repr_NoneType(self, _value: None, _level: int) -> str:
        return "null"

    def repr_bool(self, value: bool, _level: int) -> str:
        return str(value).lower()


_REPR = _AsWritten()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80
_REPR.maxlevel, _REPR.maxlist, _REPR.maxdict = 3, 6, 6


def counted(number: int, noun: str) -> str:
    """ "1 scan", "2 scans", "123,389 points": `noun` is in the singular and forms its plural with s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown(value: object) -> str:
    """`value` as a settings file has it, but at most a few hundred characters of it, however large it is."""
    return _REPR.repr(value)
