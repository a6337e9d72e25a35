"""Runs pip with its output in a log and one short line of progress on the screen."""

import re
import subprocess
import sys
import time

_SECONDS_BETWEEN_LINES = 10
_NOTABLE = re.compile(
    r"\s*(Collecting|Downloading|Processing|Building|Preparing|Installing) (\S+).*?(\([\d.]+ [kMG]B\))?$"
)
_NOISE = re.compile(r"is ignored|Requirement already satisfied|Looking in")


class PipError(RuntimeError):
    """pip ended with an error; the message holds its last lines."""


def install(python, arguments, title, say, log_path):
    """`pip install` of the arguments with the given interpreter; raises PipError with pip's own last lines."""
    command = [python, "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check", *arguments]
    say(f"installing {title}")
    started = time.monotonic()
    kept_lines = []
    reporter = _Reporter()
    with log_path.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        for line in process.stdout:
            if _NOISE.search(line):
                continue
            log.write(line)
            kept_lines.append(line.rstrip())
            reporter.show(line, time.monotonic() - started)
        return_code = process.wait()
    reporter.clear()
    if return_code != 0:
        last_lines = "\n".join(kept_lines[-15:])
        raise PipError(
            f"pip could not install {title} (exit code {return_code}); its last lines:\n{last_lines}\n"
            f"all of them are in {log_path}; check the network or the index, then run the same command again"
        )
    say(f"installed {title} in {time.monotonic() - started:.0f} s")


class _Reporter:
    """One line that is rewritten on a terminal, a line every ten seconds elsewhere."""

    def __init__(self):
        self._is_terminal = sys.stdout.isatty()
        self._num_collected = 0
        self._last_shown = 0.0

    def show(self, line, elapsed_s):
        match = _NOTABLE.match(line)
        if match is None:
            return
        step, name, size = match.groups()
        self._num_collected += step == "Collecting"
        name = name.rsplit("/", 1)[-1][:50]
        text = f"[set-up]   {elapsed_s:4.0f} s  {self._num_collected} packages  {step.lower()} {name} {size or ''}"
        if self._is_terminal:
            print(f"\r\033[K{text}", end="", flush=True)
        elif elapsed_s - self._last_shown >= _SECONDS_BETWEEN_LINES:
            self._last_shown = elapsed_s
            print(text, flush=True)

    def clear(self):
        if self._is_terminal:
            print("\r\033[K", end="", flush=True)
