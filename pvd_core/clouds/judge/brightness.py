"""Remarks on the intensity of a cloud."""

from collections.abc import Iterator, Sequence

import numpy as np

from pvd_core.clouds.intensity import LARGEST_USUAL, USUAL_95TH, certain_factor, usual_factor
from pvd_core.clouds.judge.remark import Remark

# Every real and simulated sensor has 1 % of its points above 0.34, and the network labels as without intensity where
# they are a tenth of what it knows. One data set gives 0.0115 at most.
_LEAST_99TH = 0.1


def remarks_on_intensity(
    raw: np.ndarray, factor: float, usual_95th: float = USUAL_95TH, other_fields: Sequence[str] = ()
) -> Iterator[Remark]:
    """`raw`: intensities float32 (N,) of measured points as the cloud has them. `factor`: multiplies them for the
    network; 0 if they are not wanted. `usual_95th`: of the network, as `certain_factor` takes it. `other_fields`: as
    `judge` takes them."""
    values = raw[np.isfinite(raw)].astype(np.float64)
    if factor == 0:
        return
    if not len(values) or values.min() == values.max():
        value = f"{values[0]:g}" if len(values) else "NaN"
        yield Remark(
            "no_intensity",
            f"its intensity is {value} everywhere, or it has none, and labels without it are less accurate",
            "it is labelled as a cloud without intensity",
            {"intensity_field": _one_of(other_fields)} if other_fields else {},
            is_certain=False,
        )
        return
    low, usual, largest = values.min() * factor, np.percentile(values, 99) * factor, values.max() * factor
    level = usual_95th / USUAL_95TH
    expected = f"expected 0..{level:.3g}"
    if low < -0.01 * level:
        yield Remark(
            "negative_intensity",
            f"intensity is as low as {low:g}, {expected}",
            "bring it there where the clouds are made",
        )
    elif usual > LARGEST_USUAL * level:
        yield _off_scale(f"intensity reaches {largest:g}, {expected}", values, usual_95th)
    elif usual < _LEAST_99TH * level:
        text = f"intensity reaches {largest:.3g} and is mostly below {usual:.2g}, {expected}"
        yield _off_scale(text, values, usual_95th)


def _one_of(fields: Sequence[str]) -> str:
    if len(fields) == 1:
        return f"{fields[0]}, if that holds it"
    return f"NAME, if one of its fields {', '.join(fields[:20])} holds it"


def _off_scale(text: str, values: np.ndarray, usual_95th: float) -> Remark:
    certain = certain_factor(values, usual_95th)
    is_certain = certain is not None and certain != 1
    factor = certain if certain is not None and is_certain else usual_factor(values, usual_95th)
    return Remark(
        "intensity_scale",
        text,
        f"multiply it by {factor:.6g} where the clouds are made",
        {"intensity_scale": f"{factor:.6g}"},
        is_certain,
    )
