"""Options that name several things, separated by commas."""


def names_in(text: str) -> list[str]:
    """The names in "a, b,c", without spaces around them; [] for an empty text."""
    return [name.strip() for name in text.split(",") if name.strip()]


def scans_in(text: str) -> str | list[str]:
    """The name of a split, or a list of sequences, as ScanFolder takes them."""
    from training.data.dataset import SPLITS

    return text if text in SPLITS else names_in(text)
