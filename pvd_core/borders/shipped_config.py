"""Finds the config files that came with the program: in the source tree, in a Python environment, or in a colcon
workspace."""

import os
import sys
from pathlib import Path

from pvd_core.borders.errors import UserError


def config_folders() -> list[Path]:
    """Where the program's folder config may be, each place once."""
    home = Path(__file__).resolve().parents[2]
    # Where pip installs for a user or into /usr/local, sys.prefix is another folder than that of the packages.
    prefixes = [*(home.parents[2:3] if home.name.endswith("-packages") else ()), Path(sys.prefix)]
    # A colcon install space is no Python prefix; ROS 2 lists it in this variable.
    prefixes += [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    return list(dict.fromkeys([home / "config", *(prefix / "share" / "pvd_ros" / "config" for prefix in prefixes)]))


def shipped_config(name: str | Path) -> Path:
    """Path of the file `name` in the program's folder config. UserError, which says where it was looked for, if this
    installation does not have it."""
    folders = config_folders()
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"no config file {name} in: {', '.join(map(str, folders))}; check its name, or reinstall the package"
    )


def config_path(path: str | Path) -> Path:
    """`path`; or, for a path such as config/train.yaml where no file is, that of the shipped file of this name."""
    path = Path(path)
    if path.parts[:1] != ("config",) or path.exists():
        return path
    try:
        return shipped_config(path.relative_to("config"))
    except UserError as error:
        raise UserError(f"there is no config file {path} in {Path.cwd()}, and {error}") from None
