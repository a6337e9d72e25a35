"""The compressions of bags: lz4 and zstd, by the libraries that rosbags brings along."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def decompressed(data: bytes, compression: str) -> bytes:
    """The bytes of a chunk. ValueError for an unknown compression or damaged data."""
    if compression == "":
        return data
    if compression not in ("lz4", "zstd"):
        raise ValueError(f"unknown compression {compression!r}; lz4 and zstd are known")
    try:
        if compression == "zstd":
            return bytes(_zstd().decompress(data))
        import lz4.frame

        return bytes(lz4.frame.decompress(data))
    except (RuntimeError, EOFError, _zstd().ZstdError) as error:
        raise ValueError(f"{compression} cannot decompress it: {error}") from error


def message_decompressed(data: bytes) -> bytes:
    """A CDR message that may be compressed by itself, as `ros2 bag record --compression-mode message` does. Its bytes
    tell: CDR begins with 0. ValueError if it is damaged."""
    return decompressed(data, "zstd") if data[:4] == _ZSTD_MAGIC else data


def decompress_file(path: Path, target: Path) -> None:
    """Decompresses a .zstd file. ValueError if it is damaged."""
    try:
        with path.open("rb") as packed, _zstd().open(packed, "rb") as unpacked, target.open("wb") as file:
            shutil.copyfileobj(unpacked, file)
    except (EOFError, _zstd().ZstdError) as error:
        raise ValueError(f"zstd cannot decompress it: {error}") from error


def _zstd() -> Any:
    try:
        return importlib.import_module("compression.zstd")
    except ModuleNotFoundError:  # before Python 3.14
        return importlib.import_module("backports.zstd")
