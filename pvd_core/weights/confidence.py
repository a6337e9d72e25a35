"""The temperature in the header of weights, by which class scores are divided where confidences are made of them.

Networks say 0.9 of labels of which fewer are right. `pvd calibrate` finds the temperature with which their confidences
are the shares of labels that are right (Guo et al. 2017). It changes no label.
"""

from collections.abc import Mapping
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown

CONFIDENCE_KEY = "confidence"
COLDEST, HOTTEST = 0.05, 20.0


def temperature_of(facts: Mapping[str, Any]) -> float:
    """The temperature of the weights with these `facts`; 1 where they name none. UserError for what is no number from
    COLDEST to HOTTEST."""
    if CONFIDENCE_KEY not in facts:
        return 1.0
    values = facts[CONFIDENCE_KEY]
    if not isinstance(values, dict) or "temperature" not in values:
        raise UserError(f"{CONFIDENCE_KEY} is {shown(values)}: expected a section with a temperature")
    temperature = values["temperature"]
    # Comparisons with NaN are false.
    if type(temperature) not in (int, float) or not COLDEST <= temperature <= HOTTEST:
        raise UserError(
            f"{CONFIDENCE_KEY}.temperature is {shown(temperature)}: expected a number from {COLDEST:g} to {HOTTEST:g}"
        )
    return float(temperature)
