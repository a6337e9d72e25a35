"""Ctrl-C and SIGTERM: both unwind the command, so that half-written files are removed, and neither is lost."""

import signal
from types import FrameType
from typing import TypeAlias

from pvd_core.borders.errors import UserError

Stop: TypeAlias = KeyboardInterrupt | SystemExit
# As shells count: 128 and the number of the signal.
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143
_last_stop: Stop | None = None


def forget_stops() -> None:
    """To be called where a command begins, which no earlier stop concerns."""
    global _last_stop
    _last_stop = None


def catch_stops() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, unless this process was started to ignore it, and SIGTERM (of
    `timeout`, a container or CI) SystemExit."""
    signal.signal(signal.SIGTERM, _raise_stop)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _raise_stop)


def _raise_stop(number: int, _: FrameType | None) -> None:
    global _last_stop
    _last_stop = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(EXIT_TERMINATED)
    raise _last_stop


def stop_behind(error: BaseException) -> Stop | None:
    """The stop that `error` is, or that came before it; None where there was none and for mistakes of the user.
    Compiled code that calls Python gives an error of its own in place of a stop that meets it there: so does numpy when
    it compares structured arrays, and it keeps nothing of the stop. typer makes the stop its error's cause."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return error
    if isinstance(error.__cause__, KeyboardInterrupt | SystemExit):
        return error.__cause__
    return None if isinstance(error, UserError) else _last_stop


def stop_code(stop: Stop) -> int:
    """The exit code of a command that `stop` ended."""
    return EXIT_INTERRUPTED if isinstance(stop, KeyboardInterrupt) else EXIT_TERMINATED
