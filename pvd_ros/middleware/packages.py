"""Whether this Python has the packages that a program needs: a clear error instead of a failing import."""

from __future__ import annotations

import importlib.util
import sys

from pvd_core.borders.errors import UserError

NODE_NEEDS = ("numpy", "yaml", "safetensors", "torch")
PLAYER_NEEDS = ("numpy", "rosbags", "mcap")
_PIP_NAMES = {"yaml": "PyYAML"}


def require_packages(*names: str) -> None:
    """UserError that says what to do if a package is missing."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        to_install = [_PIP_NAMES.get(name, name) for name in missing]
        raise UserError(
            f"{sys.executable} has no {', '.join(missing)}: activate the virtual environment that has it in this "
            f"terminal (source .venv/bin/activate), or install it: pip install {' '.join(to_install)}"
        )


def main() -> int:
    """`python3 -m pvd_ros.middleware.packages NAME...`: exit code 0, or 2 and the error if one of them is missing."""
    try:
        require_packages(*sys.argv[1:])
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
