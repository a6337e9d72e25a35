"""Remarks on the intensity of a cloud."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pvd_core.clouds.bare import is_bare, most_common
from pvd_core.clouds.intensity import LARGEST_USUAL, USUAL_95TH, are_negative, certain_factor, usual_factor
from pvd_core.clouds.judge.remark import Remark
from pvd_core.clouds.other_quantity import other_quantity

# Every real and simulated sensor has 1 % of its points above 0.34, and the network labels as without intensity where
# they are a tenth of what it knows. One data set gives 0.0115 at most.
_LEAST_99TH = 0.1
# At most 19 % of real intensities are the same, and all are finite. Of a scan's points 17 % are labelled right
# with half of the intensities set to 0, 20 with every third infinite, 55 to 63 without any.
_MOST_SAME, _MOST_NOT_FINITE = 0.4, 0.1
# Scales of sensors differ by far more than what two clouds of one sensor tell.
_SAME_SCALE = 0.25
_LABEL_WITHOUT = {"intensity_scale": "0"}


@dataclass(frozen=True)
class Scale:
    """factor: multiplies intensities for the network; 0 if they are not wanted. usual_95th: of the network, as
    `certain_factor` takes it. is_of_others: whether the factor is what earlier clouds told."""

    factor: float
    usual_95th: float = USUAL_95TH
    is_of_others: bool = False

    @property
    def level(self) -> float:
        """What the network knows as 1."""
        return self.usual_95th / USUAL_95TH


def remarks_on_intensity(
    measured: np.ndarray, raw: np.ndarray, scale: Scale, other_fields: Sequence[str] = ()
) -> Iterator[Remark]:
    """`measured` float32 (P, 4): all measured points of a cloud, as it has them. `raw`: intensities, float32
    (S,), S > 0, of some of them. `other_fields`: as `judge` takes them."""
    if scale.factor == 0:
        return
    if is_bare(measured):
        yield _bare(measured[:, 3], other_fields)
    elif other := other_quantity(measured):
        yield Remark(
            "not_intensity",
            f"what stands for intensity is {other} of each point",
            "give clouds with intensity, or label them as without",
            {"intensity_field": _one_of(other_fields)} if other_fields else _LABEL_WITHOUT,
        )
    else:
        yield from _remarks_on_values(raw, scale)


def _bare(intensity: np.ndarray, other_fields: Sequence[str]) -> Remark:
    value, share = most_common(intensity)
    value = np.nan if np.isnan(intensity).all() else value
    where = "everywhere" if share == 1 else "nearly everywhere"
    return Remark(
        "no_intensity",
        f"the intensity of the cloud is {'NaN' if np.isnan(value) else f'{value:g}'} {where}, as where there is none, "
        "and labels without it are less accurate",
        "the cloud is labelled as one without intensity",
        {"intensity_field": _one_of(other_fields)} if other_fields else {},
        is_certain=False,
    )


def _remarks_on_values(raw: np.ndarray, scale: Scale) -> Iterator[Remark]:
    is_finite = np.isfinite(raw)
    values, not_finite = raw[is_finite].astype(np.float64), 1 - is_finite.mean()
    value, same = most_common(raw)
    if same > _MOST_SAME or not_finite > _MOST_NOT_FINITE:
        odd = f"{not_finite:.0%} of the intensities are NaN or infinite" if not_finite > _MOST_NOT_FINITE else ""
        most = f"{same:.0%} of the intensities are {value:g}" if not odd else ""
        yield Remark(
            "patchy_intensity",
            f"{odd or most}, by which labels are less accurate than without intensity, which is what 0 stands for",
            "look at the sensor and its driver",
            _LABEL_WITHOUT,
            is_certain=False,
        )
        return
    usual, largest = np.percentile(values, 99) * scale.factor, values.max()
    applied = "" if scale.factor == 1 else f" ({largest * scale.factor:.3g} when multiplied by {scale.factor:.4g})"
    reaches, expected = f"intensity reaches {largest:.6g}{applied}", f"expected 0..{scale.level:.3g}"
    if are_negative(values):
        yield Remark(
            "negative_intensity",
            f"intensity is as low as {values.min():g}, {expected}; a scale of 0 labels clouds as without intensity",
            "bring it there where the clouds are made",
            _LABEL_WITHOUT,
            is_certain=False,
        )
    elif usual > LARGEST_USUAL * scale.level:
        yield from _off_scale(f"{reaches}, {expected}", values, scale)
    elif usual < _LEAST_99TH * scale.level:
        text = f"{reaches} and is mostly below {usual / scale.factor:.2g}, {expected}"
        yield from _off_scale(text, values, scale)


def _one_of(fields: Sequence[str]) -> str:
    if len(fields) == 1:
        return f"{fields[0]}, if that holds it"
    return f"NAME, if one of the fields {', '.join(fields[:20])} holds it"


def _off_scale(text: str, values: np.ndarray, scale: Scale) -> Iterator[Remark]:
    certain = certain_factor(values, scale.usual_95th)
    is_certain = certain is not None and certain != 1
    factor = certain if certain is not None and is_certain else usual_factor(values, scale.usual_95th)
    if abs(factor - scale.factor) <= (_SAME_SCALE if scale.is_of_others else 0.01) * scale.factor:
        return  # a few mirrors; no other factor is better
    if scale.is_of_others:
        yield Remark(
            "intensity_scale",
            f"{text}: clouds before it told that factor, this one tells {factor:.4g}",
            "label clouds of each intensity scale on their own, as a folder, bag or topic of one",
        )
        return
    yield Remark(
        "intensity_scale",
        text,
        f"multiply it by {factor:.6g} where the clouds are made",
        {"intensity_scale": f"{factor:.6g}"},
        is_certain,
    )
