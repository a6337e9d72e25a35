"""Block sizes of the triton backend by layer and GPU, from the file that ships with the package and from tuning on
this machine."""

import functools
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically

_SHIPPED = Path(__file__).with_name("triton_blocks.json")
_VARIABLE = "PVD_TRITON_BLOCKS"

_Key = tuple[str, str, int, int]  # capability, dtype, input channels, output channels


@dataclass(frozen=True)
class BlockSizes:
    """How a kernel divides its work. Rows, channels and pairs are powers of two of at least 16, as `tl.dot` requires;
    `pairs` is how many pairs a step of the weight gradient sums over."""

    rows: int
    in_channels: int
    out_channels: int
    pairs: int
    num_warps: int
    num_stages: int


@dataclass(frozen=True)
class LayerShape:
    """What sizes are measured for. `capability` is the GPU's compute capability, such as "9.0"; `dtype` is "float32",
    "tf32", "float16" or "bfloat16"; `num_rows` counts output rows."""

    capability: str
    dtype: str
    in_channels: int
    out_channels: int
    num_rows: int


def cache_path() -> Path:
    """File with the sizes tuned on this machine: $PVD_TRITON_BLOCKS, or one in the user's cache folder."""
    if os.environ.get(_VARIABLE):
        return Path(os.environ[_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pvd" / "triton_blocks.json"


def sizes_for(shape: LayerShape) -> BlockSizes:
    """The sizes measured for the same GPU, dtype and channels and the closest number of rows; default sizes if nothing
    was measured for these."""
    usual, measured = _tables()
    rows = measured.get((shape.capability, shape.dtype, shape.in_channels, shape.out_channels))
    if rows:
        return rows[min(rows, key=lambda num_rows: abs(math.log2(max(num_rows, 1) / max(shape.num_rows, 1))))]
    choices = usual["float32" if shape.dtype in ("float32", "tf32") else "float16"]
    return next(sizes for limit, sizes in choices if limit is None or shape.out_channels <= limit)


def is_tuned(capability: str) -> bool:
    """Whether block sizes have been measured on a GPU of this compute capability, here or before the release."""
    return any(key[0] == capability for key in _tables()[1])


def save_measured(path: str | Path, measured: dict[LayerShape, BlockSizes]) -> None:
    """Adds `measured` to the file `path`. Later calls of this module read their files again."""
    kept = {**(_read_measured(path) if Path(path).is_file() else {}), **measured}
    rows = [{"layer": asdict(shape), "sizes": asdict(sizes)} for shape, sizes in kept.items()]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as temporary:
        temporary.write_text(json.dumps({"measured": rows}, indent=1) + "\n")
    _tables.cache_clear()


@functools.cache
def _tables() -> tuple[dict[str, list[tuple[int | None, BlockSizes]]], dict[_Key, dict[int, BlockSizes]]]:
    """({kind of dtype: [(most output channels or None, default sizes)]}, {key: {num_rows: measured sizes}})."""
    usual = {
        kind: [(row["most_out_channels"], BlockSizes(**row["sizes"])) for row in rows]
        for kind, rows in json.loads(_SHIPPED.read_text())["usual"].items()
    }
    measured: dict[_Key, dict[int, BlockSizes]] = {}
    for path in (_SHIPPED, cache_path()):
        for shape, sizes in (_read_measured(path) if path.is_file() else {}).items():
            key = shape.capability, shape.dtype, shape.in_channels, shape.out_channels
            measured.setdefault(key, {})[shape.num_rows] = sizes
    return usual, measured


def _read_measured(path: str | Path) -> dict[LayerShape, BlockSizes]:
    try:
        rows = json.loads(Path(path).read_text())["measured"]
        return {LayerShape(**row["layer"]): BlockSizes(**row["sizes"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: no table of block sizes ({error!r}); delete it, then tune again or go on without"
        ) from error
