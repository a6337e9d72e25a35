"""Writes what `pvd bench` timed, with the circumstances that belong to every figure."""

import functools
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pvd_cli.bench.plan import Plan
from pvd_cli.bench.report import as_markdown
from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output, written_atomically
from pvd_core.runtime.hardware import hardware, versions
from training.run.run_folder import source_commit

# It goes through all packages that are installed, and a command writes its result after each table.
_versions = functools.cache(versions)


def check_new_output(path: Path, force: bool) -> None:
    """To be called before anything is timed. UserError for a file that cannot be written, or that exists, unless
    `force` is set."""
    check_output(path)
    if path.exists() and not force:
        raise UserError(f"{path} exists already; name another file, or add --force")


def with_circumstances(result: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """`result`, tables by name, with the command line, commit, machine, versions and the settings of the plan."""
    return {
        "command": shlex.join(["pvd", *sys.argv[1:]]),
        "commit": source_commit(),
        "hardware": hardware(plan.device),
        "versions": _versions(),
        "runs": plan.runs,
        "settings": {
            "device": str(plan.device),
            "backends": plan.backends,
            "precisions": plan.precisions,
            "threads": plan.threads,
            "beside": plan.beside,
            "models": tuple(plan.networks),
            "scans": tuple(plan.scans),
        },
        **result,
    }


def write_result(result: Mapping[str, Any], json_file: Path | None, markdown: Path | None) -> list[Path]:
    """Writes the files whose paths are given; returns these paths."""
    contents = {json_file: json.dumps(result, indent=2) + "\n", markdown: as_markdown(result)}
    paths = [path for path in contents if path is not None]
    for path in paths:
        with written_atomically(path) as temporary:
            temporary.write_text(contents[path])
    return paths
