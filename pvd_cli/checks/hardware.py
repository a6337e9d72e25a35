"""Python, torch, threads, number formats, GPU, disk."""

import os
import platform
import shutil
import sys
from pathlib import Path

from pvd_cli.checks.finding import Finding, installed_version
from pvd_core.borders.wording import counted

_LEAST_FREE_GB = 5


def check_python() -> list[Finding]:
    version = platform.python_version()
    is_fit = (3, 10) <= sys.version_info[:2] <= (3, 13)
    remedy = "" if is_fit else "use Python 3.10 to 3.13"
    return [Finding("python", is_fit, f"{version} at {sys.executable}", remedy, is_needed=True)]


def check_torch() -> list[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return [Finding("torch", False, f"does not import: {error}", "pip install torch", is_needed=True)]
    from pvd_core.runtime.hardware import cpu_name

    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = f"{counted(torch.get_num_threads(), 'thread')} on {counted(num_cores, 'usable core')} ({cpu_name()})"
    return [
        Finding("torch", True, torch.__version__, is_needed=True),
        Finding("cpu", True, threads),
        _native_engine(),
        _bf16_on_cpu(),
    ]


def check_gpu() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        if torch.version.cuda is None:
            why, remedy = (
                "this torch is built for the CPU alone",
                "install a torch with CUDA where there is an NVIDIA GPU",
            )
        else:
            why, remedy = "no usable NVIDIA GPU or driver", "check `nvidia-smi`; the CPU works without"
        return [Finding("gpu", False, why, remedy), _spconv(has_gpu=False), _triton(has_gpu=False)]
    names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    found = ", ".join(f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)" for gpu in names)
    return [Finding("gpu", True, f"{found}, CUDA {torch.version.cuda}"), _spconv(True), _triton(True)]


def check_disk() -> list[Finding]:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    is_enough = free_gb >= _LEAST_FREE_GB
    remedy = "" if is_enough else f"free some: simulated drives and bags want {_LEAST_FREE_GB} GB"
    return [Finding("disk", is_enough, f"{free_gb:.0f} GB free in {Path.cwd()}", remedy)]


def _native_engine():
    from pvd_core.native import library

    is_usable, found = library.status()
    remedy = f"apt install g++, then {library.BUILD_COMMAND}; until then plain torch serves"
    return Finding(
        "native engine", is_usable, f"built, {found} instructions" if is_usable else found, "" if is_usable else remedy
    )


def _bf16_on_cpu():
    from pvd_core.runtime import onednn
    from pvd_core.runtime.precision import bf16_flags

    remedy = "precision auto takes fp32 here"
    if not onednn.has_bfloat16():
        return Finding("bf16 on cpu", False, "not on this processor: it needs AVX-512 or AMX", remedy)
    if bf16_flags():
        return Finding("bf16 on cpu", True, f"in hardware: {', '.join(bf16_flags())}")
    return Finding("bf16 on cpu", False, "emulated and slow: no avx512_bf16 or amx_bf16", remedy)


def _spconv(has_gpu):
    for name in ("spconv", "spconv-cu120", "spconv-cu126"):
        if version := installed_version(name):
            return _spconv_build(f"{name} {version}", has_gpu)
    remedy = "pip install 'pvd_ros[gpu]' (one of several GPU backends)" if has_gpu else "of use with a GPU only"
    return Finding("spconv", False, "not installed", remedy)


def _spconv_build(found, has_gpu):
    try:
        from spconv.cppconstants import CPU_ONLY_BUILD
    except (ImportError, OSError) as error:
        return Finding("spconv", False, f"{found} does not import: {error}", "pip install 'pvd_ros[gpu]' anew")
    if has_gpu and CPU_ONLY_BUILD:
        remedy = "pip uninstall spconv cumm, then pip install 'pvd_ros[gpu]'"
        return Finding("spconv", False, f"{found} is CPU-only: it cannot use the GPU", remedy)
    return Finding("spconv", True, found)


def _triton(has_gpu):
    version = installed_version("triton")
    if version is None:
        remedy = "comes with torch for CUDA" if has_gpu else "of use with a GPU only"
        return Finding("triton", False, "not installed", remedy)
    return Finding("triton", True, f"{version}{'' if has_gpu else ', idle without a GPU'}")
