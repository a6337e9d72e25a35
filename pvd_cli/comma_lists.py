"""Options that name several things, separated by commas."""

from pvd_core.borders.errors import UserError


def names_in(text: str) -> list[str]:
    """The names in "a, b,c", without spaces around them; [] for an empty text."""
    return [name.strip() for name in text.split(",") if name.strip()]


def some_names_in(text: str, option: str) -> tuple[str, ...]:
    """As `names_in`; UserError where there is none. `option` is what gave the text: "--model"."""
    names = names_in(text)
    if not names:
        raise UserError(f"{option} is empty: name one or more, separated by commas")
    return tuple(names)


def numbers_in(text: str, option: str, least: int, most: int) -> tuple[int, ...]:
    """Whole numbers; UserError where there is none, or one is not from `least` to `most`."""
    try:
        numbers = tuple(int(name) for name in some_names_in(text, option))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < least or max(numbers) > most:
        raise UserError(f"{option} {text}: expected whole numbers from {least:,} to {most:,}, separated by commas")
    return numbers


def scans_in(text: str) -> str | list[str]:
    """The name of a split, or a list of sequences, as ScanFolder takes them."""
    from training.data.dataset import SPLITS

    return text if text in SPLITS else names_in(text)
