"""The machine and the package versions, for reports of measurements."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def hardware(device: torch.device) -> dict[str, Any]:
    """Facts of the machine: processor, number of cores that this process may use, number of threads that torch uses,
    GPU and its driver (None if `device` is no GPU), operating system."""
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "driver": _driver() if device.type == "cuda" else None,
        "system": platform.platform(),
    }


def versions() -> dict[str, str | None]:
    """Versions of the packages that matter for speed; None for one that is not installed."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": _version("triton"),
        "spconv": _spconv(),
        "spconv-triton": _version("spconv-triton"),
        "numpy": _version("numpy"),
    }


def cpu_name() -> str:
    """Name of the processor as Linux gives it, elsewhere as Python does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _driver() -> str | None:
    file = Path("/proc/driver/nvidia/version")
    found = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", file.read_text()) if file.is_file() else None
    return found.group(1) if found else None


def _spconv() -> str | None:
    # Its wheels are named after the CUDA version they are for: spconv, spconv-cu120, spconv-cu126.
    names = {distribution.metadata["Name"] or "" for distribution in metadata.distributions()}
    found = sorted(name for name in names if re.fullmatch(r"spconv(-cu\d+)?", name))
    return ", ".join(f"{_version(name)} ({name})" for name in found) or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
