"""What the numbers were measured on."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path

import torch


def hardware(device):
    """Dictionary of the machine: processor, cores that this process may use, threads that torch takes unless told
    otherwise, GPU and driver (None without)."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "driver": _driver() if device.type == "cuda" else None,
        "system": platform.platform(),
    }


def versions():
    """Dictionary of the versions that matter for speed; None for what is not installed."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": _version("triton"),
        "spconv": _spconv(),
        "numpy": _version("numpy"),
    }


def _cpu_name():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _driver():
    file = Path("/proc/driver/nvidia/version")
    found = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", file.read_text()) if file.is_file() else None
    return found.group(1) if found else None


def _spconv():
    """Its wheels are named after the CUDA they are for: spconv, spconv-cu120, spconv-cu126."""
    names = {distribution.metadata["Name"] or "" for distribution in metadata.distributions()}
    found = sorted(name for name in names if re.fullmatch(r"spconv(-cu\d+)?", name))
    return ", ".join(f"{_version(name)} ({name})" for name in found) or None


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
