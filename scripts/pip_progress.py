"""Runs pip with its output in a log and one short line of progress on the screen."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

_NOTABLE = re.compile(r"\s*(Collecting|Downloading|Processing|Building|Preparing|Installing) (\S+)")
_NOISE = re.compile(r"is ignored|Requirement already satisfied|Looking in")
_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|name resolution|ConnectTimeout|ReadTimeout|ProxyError"
)
_NOT_AT_INDEX = re.compile(r"No matching distribution found|ResolutionImpossible")
# The last: of Python's tempfile.
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|No usable temporary directory")


class PipError(Exception):
    """pip ended with an error; the message says what to do."""


def disk_is_full(text: str, what: str) -> str:
    """A sentence where `text`, of an error or a program, says that the disk is full; otherwise ""."""
    if not _NO_SPACE.search(text):
        return ""
    return f"the disk is full: {what} could not be installed; free some GB, then run the same command again"


def install(python: Path, arguments: "list[str]", title: str, say: Callable[[str], None], log_path: Path) -> None:
    """`pip install` of the arguments with the given interpreter; raises PipError with the cause, or pip's last lines
    where that is not known."""
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--progress-bar",
        "off",
        "--no-compile",
        "--disable-pip-version-check",
        *arguments,
    ]
    started = time.monotonic()
    kept_lines: list[str] = []
    say(f"installing {title}")
    # A temporary folder of its own: what pip has downloaded is seen there.
    with (
        log_path.open("a", encoding="utf-8") as log,
        tempfile.TemporaryDirectory(prefix="pvd_set_up_") as downloads,
        _Reporter(python, Path(downloads)) as reporter,
    ):
        log.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "TMPDIR": downloads, "PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        for line in process.stdout:
            if not _NOISE.search(line):
                log.write(line)
                kept_lines.append(line.rstrip())
                reporter.take(line)
        return_code = process.wait()
    if return_code != 0:
        raise PipError(_what_went_wrong(title, return_code, kept_lines, log_path))
    say(f"installed {title} in {time.monotonic() - started:.0f} s")


def _what_went_wrong(title: str, return_code: int, lines: "list[str]", log_path: Path) -> str:
    text = "\n".join(lines)
    if return_code < 0:
        number = -return_code
        why = ", probably because memory ran out: close other programs" if number == signal.SIGKILL else ""
        return (
            f"pip was killed by signal {number} ({signal.strsignal(number)}) while it installed {title}{why}; "
            f"run the same command again; pip's output is in {log_path}"
        )
    if full := disk_is_full(text, title):
        return full
    if _NO_NETWORK.search(text):
        return (
            f"no network: pip reached no package index for {title}; check the connection, or name a proxy or mirror "
            "(https_proxy, PIP_INDEX_URL), then run the same command again, which goes on where this one stopped"
        )
    if _NOT_AT_INDEX.search(text):
        return (
            f"pip found no fitting {title}: either it did not reach the package index, or the index lacks a version "
            "that constraints.txt names; check the connection and the index (https_proxy, PIP_INDEX_URL, TORCH_INDEX), "
            f"then run the same command again; pip's output is in {log_path}"
        )
    last_lines = "\n".join(lines[-15:])
    return (
        f"pip could not install {title} (exit code {return_code}); its last lines:\n{last_lines}\n"
        f"all of them are in {log_path}; check the network or the index, then run the same command again"
    )


class _Reporter:
    """One line that is rewritten every second on a terminal, a line every ten seconds elsewhere.

    pip says nothing while it downloads and unpacks, so this looks at the files that it writes.
    """

    def __init__(self, python: Path, downloads: Path) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._downloads = downloads
        self._venv = python.parent.parent
        self._num_packages = 0
        self._num_before = self._num_installed()
        self._doing = "starting"
        self._is_unpacking = False
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._show_until_end, daemon=True)

    def __enter__(self) -> "_Reporter":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def take(self, line: str) -> None:
        """Looks at one line of pip's output."""
        match = _NOTABLE.match(line)
        if match is None:
            return
        step, name = match.groups()
        if step == "Installing" and name == "collected":
            self._is_unpacking, self._num_packages = True, line.count(",") + 1
            return
        self._num_packages += step == "Collecting"
        name = re.split(r"[<>=!~;\[]|-\d", name.rsplit("/", 1)[-1])[0]
        self._doing = f"{step.lower()} {name}"

    def _show_until_end(self) -> None:
        started = time.monotonic()
        while not self._has_ended.wait(1 if self._is_terminal else 10):
            text = f"[set-up]   {time.monotonic() - started:4.0f} s  {self._now()}"
            print(f"\r\033[K{text}" if self._is_terminal else text, end="" if self._is_terminal else "\n", flush=True)
        if self._is_terminal:
            print("\r\033[K", end="", flush=True)

    def _now(self) -> str:
        if self._is_unpacking:
            return f"unpacking: {self._num_installed() - self._num_before} of {self._num_packages} packages"
        return f"{self._num_packages} packages, {self._downloaded_mb():.0f} MB fetched, {self._doing}"

    def _num_installed(self) -> int:
        return sum(1 for _ in self._venv.glob("lib/python*/site-packages/*.dist-info"))

    def _downloaded_mb(self) -> float:
        total = 0
        for folder, _, names in os.walk(self._downloads):
            for name in names:
                with contextlib.suppress(OSError):  # gone meanwhile
                    total += os.stat(os.path.join(folder, name)).st_size
        return total / 1e6
