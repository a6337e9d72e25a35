"""Opens weights files, and says what a file is that is none."""

import struct
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pvd_core import SHIPPED_WEIGHTS, shipped_weights
from pvd_core.borders.files import sha256_of, why_not_content
from pvd_core.weights.errors import WeightsError

# A header has some hundred bytes a tensor and some thousand of facts. The library allows much more, and would read it.
_LONGEST_HEADER = 8 * 2**20
_PICKLED = "a pickled checkpoint, as torch.save writes them; `pvd convert` turns official ones into weights"


def weights_file(path: str | Path) -> Path:
    """The weights file that `path` names: itself, the best weights in the folder of a training run, or where there is
    no such path the shipped weights of that name. WeightsError if there is no such file."""
    path = Path(path)
    if str(path) in SHIPPED_WEIGHTS and not path.exists():
        return shipped_weights(str(path))
    if path.is_dir():
        best = path / "best.safetensors"
        if not best.is_file():
            others = sorted(file for file in path.glob("*.safetensors") if file.is_file())
            if others:
                names = ", ".join(file.name for file in others[:3])
                raise WeightsError(
                    f"folder {path} holds no {best.name}, the best weights of a run, but {names}: give the file "
                    f"itself, {others[0]}"
                )
            raise WeightsError(f"folder {path} holds no weights: expected {best.name}, as a training run writes it")
        return best
    if not path.exists():
        names = ", ".join(SHIPPED_WEIGHTS)
        raise WeightsError(
            f"weights {path}: does not exist; expected a .safetensors file, the folder of a run, or a name of those "
            f"that ship: {names}"
        )
    if not path.is_file():
        raise WeightsError(f"weights {path}: is no regular file; expected a .safetensors file or the folder of a run")
    return path


def check_different(weights: Sequence[str | Path]) -> None:
    """WeightsError where two of these name the same content: networks that work together are each named once."""
    named: dict[str, str | Path] = {}
    for path in weights if len(weights) > 1 else ():
        digest = sha256_of(weights_file(path))
        if digest in named:
            raise WeightsError(f"weights {named[digest]} and {path} are the same: name each network once")
        named[digest] = path


def opened(path: Path) -> safe_open:
    """The safetensors file `path`, with none of its tensors read. WeightsError if it is another kind of file, or not
    whole."""
    try:
        what = _why_not(path)
        if what is None:
            return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        what = f"not a whole safetensors file ({str(error)[:300]}); copy it again"
    raise WeightsError(f"weights {path}: {what}. Expected a .safetensors file that `pvd train` or `pvd convert` wrote")


def _why_not(path: Path) -> str | None:
    """What is wrong with a file, as far as its size and its first bytes tell."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(200)
    if not start:
        return "is empty"
    if what := why_not_content(start):
        return what
    if start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[1] in range(2, 6)):
        return f"holds {_PICKLED}"
    length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else size
    if start[8:9] == b"{" and length <= _LONGEST_HEADER:
        missing = 8 + length - size
        return (
            f"not a whole safetensors file ({missing:,} bytes and more are missing); copy it again"
            if missing > 0
            else None
        )
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return f"is a text file that begins with {start.split(maxsplit=4)[:4]!r}"
    return f"not a whole safetensors file (its first bytes are {start[:8].hex(' ')})"
