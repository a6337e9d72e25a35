"""What a training scan gets from others: objects pasted in, or a second scan woven in; how often, in which order."""

from dataclasses import dataclass

from pvd_core.borders.errors import UserError
from training.data.augmentation.paste import paste_objects
from training.data.augmentation.swap import laser_mix, polar_mix


@dataclass(frozen=True)
class MixingConfig:
    """Before the augmentation, while scans are as their sensors saw them. 0 switches a step off."""

    laser_mix: float = 0.0
    """Share of the scans, 0..1, that get every second band of inclination (and at times sector) from another scan."""
    polar_mix: float = 0.0
    """Share of the scans, 0..1, that get half a turn and objects of rare classes from another scan."""
    paste_objects: int = 0
    """Largest number of objects of rare classes, bicycle to motorcyclist, that are pasted onto a scan's ground."""
    bank_scans: int = 200
    """Training scans, evenly spread, out of which these objects are cut."""

    def __post_init__(self):
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


def mix(scan, partner, bank, generator, config):
    """(points float32 (M, 4), labels (M,)) of `scan`, such a pair, after all steps of `config`.

    `partner(generator)` gives another such pair. `bank`: ObjectBank; None without `paste_objects`.
    """
    choice = generator.random()
    if choice < config.laser_mix:
        scan = laser_mix(scan, partner(generator), generator)
    elif choice < config.laser_mix + config.polar_mix:
        scan = polar_mix(scan, partner(generator), generator)
    if config.paste_objects:
        scan = paste_objects(scan, bank, generator, config.paste_objects)
    return scan
