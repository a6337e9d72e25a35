"""Puts pip into a new virtual environment, also where Debian's Python lacks ensurepip (package python3-venv) and
nobody may install it: then pip's own wheel is fetched and installs itself."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from pip_progress import PipError, disk_is_full

_INDEX = "https://pypi.org/simple"
# One release that every supported Python runs.
_WHEEL = re.compile(r'href="([^"#]*/(pip-25\.3-py3-none-any\.whl))#sha256=([0-9a-f]{64})"')


def add_pip(python: Path, say: Callable[[str], None]) -> None:
    """Installs pip for the interpreter of a virtual environment; PipError where it cannot be had."""
    ensurepip = subprocess.run([str(python), "-m", "ensurepip", "--upgrade"], capture_output=True, text=True)
    if ensurepip.returncode == 0:
        # ensurepip makes pip3 alone.
        if not (python.parent / "pip").exists():
            (python.parent / "pip").write_bytes((python.parent / "pip3").read_bytes())
            (python.parent / "pip").chmod(0o755)
        return
    if full := disk_is_full(ensurepip.stdout + ensurepip.stderr, "pip"):
        raise PipError(full)
    if "No module named ensurepip" in ensurepip.stderr:
        say("this Python comes without ensurepip (Debian's python3-venv): fetching pip itself")
    else:
        last_line = (ensurepip.stderr.strip().splitlines() or ["ended without a message"])[-1]
        say(f"this Python's ensurepip failed ({last_line}): fetching pip itself")
    with tempfile.TemporaryDirectory(prefix="pvd_pip_") as folder:
        wheel = _fetched(Path(folder))
        command = [str(python), f"{wheel}/pip", "install", "--no-index", "--disable-pip-version-check", str(wheel)]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        output = f"{result.stdout}{result.stderr}"
        raise PipError(disk_is_full(output, "pip") or f"pip could not install itself:\n{output}")


def _fetched(folder: Path) -> Path:
    """pip's wheel, its checksum verified."""
    index = os.environ.get("PIP_INDEX_URL", _INDEX).rstrip("/")
    page_url = f"{index}/pip/"
    try:
        with urllib.request.urlopen(page_url, timeout=60) as response:
            page = response.read().decode()
        match = _WHEEL.search(page)
        if match is None:
            raise PipError(f"{page_url} offers no pip 25.3; {_OTHERWISE}")
        link, name, digest = match.groups()
        with urllib.request.urlopen(urllib.parse.urljoin(page_url, link), timeout=60) as response:
            content = response.read()
    except (urllib.error.URLError, OSError) as error:
        raise PipError(f"no network: {page_url} cannot be read ({error}); {_OTHERWISE}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise PipError(f"{name} from {index} does not have its checksum; {_OTHERWISE}")
    wheel = folder / name
    wheel.write_bytes(content)
    return wheel


_OTHERWISE = (
    f"try again, or install Python's venv module (Debian, Ubuntu: sudo apt-get install "
    f"python{sys.version_info[0]}.{sys.version_info[1]}-venv)"
)
