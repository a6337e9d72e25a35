#!/usr/bin/env python3
"""Starts set_up.py with a Python that suits it. Every Python since 2.7 reads this file: no annotations, no f-strings.

start_set_up.py demo [NAME=VALUE ...]     what labelling and simulating need; settings of `make demo`, to be checked
start_set_up.py test                      that, and what training and the tests need
"""

import os
import sys

LOWEST, HIGHEST = (3, 10), (3, 13)
if not LOWEST <= sys.version_info[:2] <= HIGHEST:
    folders = os.environ.get("PATH", "").split(os.pathsep)
    suitable = ["python3.%d" % minor for minor in range(HIGHEST[1], LOWEST[1] - 1, -1)]  # noqa: UP031
    installed = [name for name in suitable if any(os.access(os.path.join(at, name), os.X_OK) for at in folders)]
    if installed:
        advice = "name another one: make PYTHON=" + installed[0] + " ..."
    else:
        advice = "no other one is on PATH: install one, then make PYTHON=" + suitable[0] + " ..."
    sys.exit(
        "error: Python %d.%d found, 3.%d to 3.%d expected; %s"  # noqa: UP031
        % (sys.version_info[0], sys.version_info[1], LOWEST[1], HIGHEST[1], advice)
    )

import set_up  # noqa: E402

set_up.run(sys.argv[1] if len(sys.argv) > 1 else "test", sys.argv[2:])
