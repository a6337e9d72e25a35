"""Runs pip with its output in a log and one short line of progress on the screen."""

import re
import subprocess
import sys
import threading
import time

_NOTABLE = re.compile(
    r"\s*(Collecting|Downloading|Processing|Building|Preparing|Installing) (\S+)(?:.*(\([\d.]+ [kMG]B\)))?"
)
_NOISE = re.compile(r"is ignored|Requirement already satisfied|Looking in")


class PipError(RuntimeError):
    """pip ended with an error; the message holds its last lines."""


def install(python, arguments, title, say, log_path):
    """`pip install` of the arguments with the given interpreter; raises PipError with pip's own last lines."""
    command = [python, "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check", *arguments]
    started = time.monotonic()
    kept_lines = []
    say(f"installing {title}")
    with log_path.open("a", encoding="utf-8") as log, _Reporter() as reporter:
        log.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        for line in process.stdout:
            if not _NOISE.search(line):
                log.write(line)
                kept_lines.append(line.rstrip())
                reporter.take(line)
        return_code = process.wait()
    if return_code != 0:
        last_lines = "\n".join(kept_lines[-15:])
        raise PipError(
            f"pip could not install {title} (exit code {return_code}); its last lines:\n{last_lines}\n"
            f"all of them are in {log_path}; check the network or the index, then run the same command again"
        )
    say(f"installed {title} in {time.monotonic() - started:.0f} s")


class _Reporter:
    """One line that is rewritten every second on a terminal, a line every ten seconds elsewhere.

    Time goes on in a thread of its own: pip unpacks for a minute without a word.
    """

    def __init__(self):
        self._is_terminal = sys.stdout.isatty()
        self._num_packages = 0
        self._doing = "starting"
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._show_until_end, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._has_ended.set()
        self._thread.join()

    def take(self, line):
        """Looks at one line of pip's output."""
        match = _NOTABLE.match(line)
        if match is None:
            return
        step, name, size = match.groups()
        if step == "Installing" and name == "collected":
            self._doing = f"unpacking {self._num_packages} packages"
            return
        self._num_packages += step == "Collecting"
        name = re.split(r"[<>=!~;\[]|-\d", name.rsplit("/", 1)[-1])[0]
        self._doing = f"{step.lower()} {name} {size or ''}".rstrip()

    def _show_until_end(self):
        started = time.monotonic()
        while not self._has_ended.wait(1 if self._is_terminal else 10):
            text = f"[set-up]   {time.monotonic() - started:4.0f} s  {self._num_packages} packages  {self._doing}"
            print(f"\r\033[K{text}" if self._is_terminal else text, end="" if self._is_terminal else "\n", flush=True)
        if self._is_terminal:
            print("\r\033[K", end="", flush=True)
