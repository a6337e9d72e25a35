"""Lines of the `pvd` command in forked processes, where they may be killed or run out of disk space."""

import resource
import sys

from forked_calls import ForkedCall

from pvd_cli.__main__ import main


def start_pvd(*words, most_bytes=0):
    """A running `pvd WORDS`. most_bytes: stands in for a full disk, no file can grow beyond them."""
    return ForkedCall(_run, [str(word) for word in words], most_bytes)


def _run(words, most_bytes):
    if most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    sys.argv = ["pvd", *words]
    main()
