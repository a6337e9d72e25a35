"""Options that name several things, separated by commas."""


def names_in(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def scans_in(text):
    """What ScanFolder takes: the name of a split, or sequences."""
    from training.data.dataset import SPLITS

    return text if text in SPLITS else names_in(text)
