"""What was tried, whether it held, and the table of all of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from pvd_core.borders.errors import UserError

HELD, FAILED, NOT_THERE = "held", "FAILED", "not there"


class NotThereError(Exception):
    """A tool that the step needs is not installed; the message names it."""


@dataclass(frozen=True)
class Outcome:
    """One step: what it is called, HELD, FAILED or NOT_THERE, what was found, and how long it took."""

    name: str
    result: str
    found: str
    seconds: float


class Ledger:
    """Tries one step after the other, prints a line for each, and keeps what came of it. only: the steps whose names
    contain this text; the others are left out."""

    def __init__(self, only: str = "") -> None:
        self.outcomes: list[Outcome] = []
        self._only = only

    def wants(self, *names: str) -> bool:
        """Whether one of these steps is to be tried."""
        return any(self._only in name for name in names)

    def attempt(self, name: str, step: Callable[[], str], is_needed: bool = False) -> bool:
        """Whether `step` held. It returns what was found, or raises NotThereError, or UserError for what does not hold.
        is_needed: others build on it, so it is tried in any case."""
        if not (is_needed or self.wants(name)):
            return False
        print(f"trying     {name}", flush=True)
        start = time.monotonic()
        try:
            result, found = HELD, step()
        except NotThereError as missing:
            result, found = NOT_THERE, str(missing)
        except UserError as error:
            result, found = FAILED, str(error)
        except Exception as error:  # one step that breaks shall not hide what the others find
            traceback.print_exc()
            result, found = FAILED, f"{type(error).__name__}: {error}"
        outcome = Outcome(name, result, " ".join(found.replace("|", "/").split()), time.monotonic() - start)
        self.outcomes.append(outcome)
        print(f"{result:<10} {name}, {outcome.seconds:.0f} s: {outcome.found}", flush=True)
        return result == HELD

    @property
    def has_failures(self) -> bool:
        """Whether a step did not hold; one whose tool is not there is none."""
        return any(outcome.result == FAILED for outcome in self.outcomes)

    def table(self) -> str:
        """All steps as Markdown."""
        rows = [f"| {each.name} | {each.result} | {each.seconds:.0f} | {each.found} |" for each in self.outcomes]
        return "\n".join(["| step | result | seconds | found |", "|---|---|---|---|", *rows])


def expect(holds: object, complaint: str) -> None:
    """UserError with the complaint where something does not hold."""
    if not holds:
        raise UserError(complaint)
