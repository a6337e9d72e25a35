"""Mixes training scans: objects of other scans pasted in, or half of another scan; how often, in which order."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import Taxonomy
from training.data.augmentation.objects import ObjectBank
from training.data.augmentation.paste import paste_objects
from training.data.augmentation.swap import laser_mix, polar_mix
from training.data.example import Example


@dataclass(frozen=True)
class MixingConfig:
    """Mixing comes before the augmentation, while scans are as their sensors saw them. 0 switches a step off."""

    laser_mix: float = 0.0
    """Share of the scans, 0..1, that get every second band of inclination (or cell of band and azimuth sector) from
    another scan."""
    polar_mix: float = 0.0
    """Share of the scans, 0..1, that get objects of rare classes, and half of the time 180 degrees of azimuth, from
    another scan."""
    paste_objects: int = 0
    """Largest number of objects of rare classes, bicycle to motorcyclist, that are pasted onto a scan's ground."""
    bank_scans: int = 200
    """Number of training scans, evenly spread, from which these objects are cut."""
    partners: str | None = None
    """Folder of another data set: its training scans are mixed in and objects are cut from them, in place of the run's
    own. For learning from pseudo-labels, which simulated scans make whole."""

    def __post_init__(self) -> None:
        shares = self.laser_mix, self.polar_mix
        if min(shares) < 0 or sum(shares) > 1:
            raise UserError(
                f"mixing.laser_mix and mixing.polar_mix are {shares[0]} and {shares[1]}: expected shares of the scans, "
                "0 or more and together at most 1"
            )
        if self.paste_objects < 0 or self.bank_scans < 1:
            raise UserError(
                f"mixing.paste_objects is {self.paste_objects} and mixing.bank_scans {self.bank_scans}: expected at "
                "least 0 and at least 1"
            )
        if self.partners and not any((*shares, self.paste_objects)):
            raise UserError(f"mixing.partners is {self.partners}, but nothing is mixed: set mixing.laser_mix, say 0.5")


def mix(
    scan: Example,
    partner: Callable[[np.random.Generator], Example],
    bank: ObjectBank | None,
    generator: np.random.Generator,
    config: MixingConfig,
    taxonomy: Taxonomy,
) -> Example:
    """`scan` after all steps of `config`.

    `partner(generator)` gives the scan to mix it with. `bank`: objects to paste; may be None without `paste_objects`.
    `taxonomy`: that of the labels.
    """
    choice = generator.random()
    if choice < config.laser_mix:
        scan = laser_mix(scan, partner(generator), generator)
    elif choice < config.laser_mix + config.polar_mix:
        scan = polar_mix(scan, partner(generator), generator, taxonomy)
    if config.paste_objects:
        assert bank is not None, "mixing.paste_objects needs a bank of objects"
        scan = paste_objects(scan, bank, generator, config.paste_objects, taxonomy)
    return scan
