"""What is doubtful in a data set, and how it is said."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted

_MOST_IN_ERROR = 3


@dataclass(frozen=True)
class Finding:
    """One thing about one file, sequence or the whole data set."""

    kind: str
    """In a few words: "label count"."""
    where: str
    """Path of the file or folder."""
    message: str
    is_error: bool
    sequence: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass
class SequenceCounts:
    """Of the scans of one sequence that were checked."""

    num_scans: int = 0
    num_points: int = 0
    num_labelled: int = 0
    num_empty: int = 0
    """Scans without a usable point."""
    num_errors: int = 0
    num_remarks: int = 0


@dataclass
class Report:
    """The result of a check."""

    root: Path
    columns: str
    """Of the .bin files, as they were read."""
    findings: list[Finding] = field(default_factory=list)
    sequences: dict[str, SequenceCounts] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """Names of training scans with too few points to learn from, such as 00/000123."""

    @property
    def errors(self) -> list[Finding]:
        """What must be mended before the data set can be used."""
        return [finding for finding in self.findings if finding.is_error]

    @property
    def remarks(self) -> list[Finding]:
        """What can stay so."""
        return [finding for finding in self.findings if not finding.is_error]

    def add(self, finding: Finding) -> None:
        """Adds a finding, which counts in its sequence too."""
        self.findings.append(replace(finding, where=_printable(finding.where), message=_printable(finding.message)))
        if finding.sequence:
            counts = self.sequences.setdefault(finding.sequence, SequenceCounts())
            counts.num_errors += finding.is_error
            counts.num_remarks += not finding.is_error

    def error_lines(self, most: int = 20) -> list[str]:
        """A line for each of the first `most` errors, kinds in turn, and one that counts the others."""
        lines = [str(finding) for finding in _kinds_in_turn(self.errors)[:most]]
        if len(self.errors) > most:
            kinds = Counter(finding.kind for finding in self.errors)
            of_kinds = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
            lines.append(f"and {len(self.errors) - most:,} more: in all {of_kinds}")
        return lines

    def remark_lines(self) -> list[str]:
        """A line for each kind of remark: the first one, and how many more there are."""
        firsts = {finding.kind: finding for finding in reversed(self.remarks)}
        numbers = Counter(finding.kind for finding in self.remarks)
        return [
            f"{firsts[kind]}" + (f" ({number - 1:,} more of this kind)" if number > 1 else "")
            for kind, number in numbers.items()
        ]

    def say(self, note: Callable[[str], object]) -> None:
        """Shows the remarks, a line a kind, with `note`. UserError where there are errors; if they do not fit into it,
        they are shown before."""
        for line in self.remark_lines():
            note(f"note: {line}")
        if not self.errors:
            return
        if len(self.errors) > _MOST_IN_ERROR:
            for line in self.error_lines():
                note(f"error: {line}")
        raise UserError(
            f"{self.root} cannot be used, {counted(len(self.errors), 'error')}: "
            f"{'; '.join(self.error_lines(_MOST_IN_ERROR))} (`pvd dataset check {self.root}` lists all)"
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: every finding, the counts of each sequence."""
        return {
            "dataset": str(self.root),
            "columns": self.columns,
            "num_errors": len(self.errors),
            "num_remarks": len(self.remarks),
            "sequences": {name: asdict(counts) for name, counts in sorted(self.sequences.items())},
            "findings": [asdict(finding) for finding in self.findings],
        }


def _printable(text: str) -> str:
    """`text` with bytes of file names that are no UTF-8 written as \\udcff."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _kinds_in_turn(findings: Iterable[Finding]) -> list[Finding]:
    """The first of each kind, then the second of each, so that a frequent kind does not hide a rare one."""
    seen: Counter[str] = Counter()
    rounds = []
    for finding in findings:
        rounds.append((seen[finding.kind], finding))
        seen[finding.kind] += 1
    return [finding for _, finding in sorted(rounds, key=lambda item: item[0])]
