"""The table of classes over all bags of a folder: classes.parquet, or classes.csv where pyarrow is not installed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pvd_core.borders.files import written_atomically
from pvd_ros.fleet.records import FOLDER, read_record

COLUMNS = {
    "bag": "string",
    "class_id": "int32",
    "class": "string",
    "clouds": "int64",
    "points": "int64",
    "share": "float64",
    "mean_confidence": "float64",
    "low_confidence_share": "float64",
    "taxonomy": "string",
    "weights_sha256": "string",
}
"""{column: its type in Parquet}. share: of the bag's points. mean_confidence, and low_confidence_share, that of points
below 0.5: of the class's points; empty for class 0, which has no confidence, and where there are none."""


def write_class_table(out: Path) -> tuple[Path, str]:
    """Writes the table of all bags in the folder `out` from their records, a row for each bag and class, whole or not
    at all. (its path, a remark or ""). The same bags give the same bytes."""
    rows = [row for record in _records(out) for row in _rows_of(record)]
    parquet, text = out / "classes.parquet", out / "classes.csv"
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        with written_atomically(text) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        parquet.unlink(missing_ok=True)  # of an earlier run, and so no longer right
        return text, "the table of classes is CSV; for Parquet: pip install 'pvd_ros[fleet]'"
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()])
    with written_atomically(parquet) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), temporary)
    text.unlink(missing_ok=True)
    return parquet, ""


def _records(out: Path) -> Iterator[dict[str, Any]]:
    """Those of bags that are there, in the order of their names."""
    found = sorted((path.relative_to(out / FOLDER).with_suffix("").as_posix(), path) for path in _files(out))
    for name, path in found:
        record = read_record(path)
        if record and (out / name).exists():
            yield record


def _files(out: Path) -> list[Path]:
    return [path for path in (out / FOLDER).rglob("*.json") if path.is_file()]


def _rows_of(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    total = sum(each["points"] for each in record["classes"])
    for each in record["classes"]:
        points = each["points"]
        is_judged = points and each["class_id"]
        yield {
            "bag": record["name"],
            "class_id": each["class_id"],
            "class": each["class"],
            "clouds": each["clouds"],
            "points": points,
            "share": points / total if total else 0.0,
            "mean_confidence": each["confidence_sum"] / points if is_judged else None,
            "low_confidence_share": each["low_confidence_points"] / points if is_judged else None,
            "taxonomy": record["taxonomy"],
            "weights_sha256": record["weights_sha256"],
        }
