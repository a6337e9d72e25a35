"""Numbers with their nouns, and values of any kind, for messages."""

import reprlib

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80
_REPR.maxlevel, _REPR.maxlist, _REPR.maxdict = 3, 6, 6


def counted(number: int, noun: str) -> str:
    """ "1 scan", "2 scans", "123,389 points": `noun` is in the singular and forms its plural with s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown(value: object) -> str:
    """`value` as Python writes it, but at most a few hundred characters of it, however large it is."""
    return _REPR.repr(value)
