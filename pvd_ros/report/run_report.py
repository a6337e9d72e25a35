"""The JSON file that the node writes at shutdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output, written_atomically


def check_report_path(path: str) -> None:
    """UserError if no report could be written to `path` now; its folder must exist."""
    try:
        check_output(path)
    except UserError as error:
        raise UserError(f"parameter report_path: {error}") from error


def write_report(
    path: str, counts: Mapping[str, int], latency_ms: Mapping[str, Mapping[str, float]], remarks: Sequence[str]
) -> None:
    """Writes counts of CloudCounters, percentiles of LatencyWindow and what was said of the clouds to `path`. UserError
    as check_report_path."""
    check_report_path(path)
    with written_atomically(path) as temporary:
        temporary.write_text(
            json.dumps({"clouds": counts, "latency_ms": latency_ms, "remarks": list(remarks)}, indent=2)
        )
