"""Collects the wheels that a GPU machine without network lacks, packed so tightly that they travel in 64 MiB.

  python scripts/gpu_wheels.py wheels                      # here, with pip and network
  pip install --no-index --no-deps wheels/*.whl            # there: Python 3.12 on x86-64 Linux, with torch and CUDA

They are the ray caster, spconv with what it needs, spconv-triton and pytest. Wheels are repacked with LZMA, which pip
reads like any other: spconv shrinks from 67 to 25 MiB.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# Named one by one: with their needs would come torch and numpy, which are there. cumm 0.8 does not serve spconv 2.3.8.
WHEELS = (
    "embreex",
    "spconv-cu126==2.3.8",
    *("cumm-cu126>=0.7.11,<0.8", "pccm", "ccimport", "pybind11", "ninja", "fire", "termcolor", "lark", "portalocker"),
    *("requests", "charset-normalizer", "idna", "urllib3", "certifi"),
    "spconv-triton==1.0.0",
    *("pytest", "pluggy", "iniconfig", "packaging", "pygments"),
)
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_12_x86_64")
_MOST_MIB = 64
# Small wheels of Python alone gain nothing.
_LEAST_BYTES_REPACKED = 1 << 20


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        download(Path(downloads))
        for wheel in sorted(Path(downloads).glob("*.whl")):
            repack(wheel, folder / wheel.name)
            print(f"{(folder / wheel.name).stat().st_size / 2**20:6.2f} MiB {wheel.name}", flush=True)
    size = sum(wheel.stat().st_size for wheel in folder.glob("*.whl")) / 2**20
    print(f"{size:6.2f} MiB in {folder}")
    if size > _MOST_MIB:
        sys.exit(f"error: {folder} holds {size:.0f} MiB, at most {_MOST_MIB} can travel; remove what is not needed")


def download(folder: Path) -> None:
    """Downloads the wheels for Python 3.12 into `folder`."""
    platforms = (word for platform in _PLATFORMS for word in ("--platform", platform))
    target = ("--only-binary", ":all:", "--python-version", "3.12", "--implementation", "cp", *platforms)
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *target, *WHEELS)
    subprocess.run(command, check=True)


def repack(wheel: Path, target: Path) -> None:
    """Writes the files of `wheel` to the wheel `target`, compressed with LZMA."""
    if wheel.stat().st_size < _LEAST_BYTES_REPACKED:
        target.write_bytes(wheel.read_bytes())
        return
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w") as packed:
        for entry in source.infolist():
            copy = zipfile.ZipInfo(entry.filename, entry.date_time)
            copy.external_attr, copy.compress_type = entry.external_attr, zipfile.ZIP_LZMA
            packed.writestr(copy, source.read(entry))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
