"""The check of a number of channels in the settings of a network."""

from pvd_core.borders.wording import shown

MOST_CHANNELS = 4096
"""Settings beyond this are mistakes, or made to fill the memory."""

MOST_CLASSES = 256


def check_channels(name: str, value: object, most: int = MOST_CHANNELS) -> None:
    """ValueError, which calls it `name`, unless `value` is a whole number from 1 to `most`."""
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{name} is {shown(value)}: expected a whole number from 1 to {most}")
