#!/usr/bin/env python3
"""Starts set_up.py with a Python that suits it. Every Python since 2.7 reads this file: no annotations, no f-strings.

start_set_up.py demo     what labelling and simulating need
start_set_up.py test     that, and what training and the tests need
"""

import sys

LOWEST, HIGHEST = (3, 10), (3, 13)
if not LOWEST <= sys.version_info[:2] <= HIGHEST:
    sys.exit(
        "error: Python %d.%d found, 3.%d to 3.%d expected; name another one: make PYTHON=python3.%d ..."  # noqa: UP031
        % (sys.version_info[0], sys.version_info[1], LOWEST[1], HIGHEST[1], HIGHEST[1])
    )

import set_up  # noqa: E402

set_up.run(sys.argv[1] if len(sys.argv) > 1 else "test")
