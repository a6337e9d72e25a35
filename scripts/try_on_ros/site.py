"""Where things are tried: a folder, a ROS domain of its own, and the tools that are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from pvd_core.borders.errors import UserError
from pvd_ros.middleware.transport import CYCLONE_VARIABLE, PROFILE_VARIABLES
from scripts.try_on_ros.outcome import NotThereError
from scripts.try_on_ros.programs import Program

ROOT = Path(__file__).resolve().parents[2]
FAST_DDS, CYCLONE_DDS = "rmw_fastrtps_cpp", "rmw_cyclonedds_cpp"
# Variables by which a user chooses settings. Where they are unset or empty, node and player take the shipped ones.
SETTINGS = (*PROFILE_VARIABLES, CYCLONE_VARIABLE)
# What a user has who chose nothing.
_PLAIN_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <profiles><participant profile_name="plain" is_default_profile="true"/></profiles>
</dds>
"""


def plain_settings(folder: Path) -> dict[str, str]:
    """Variables by which every program, node and player too, runs with the middlewares' own settings. One of them names
    a file that this writes into `folder`."""
    plain = folder / "plain.xml"
    plain.write_text(_PLAIN_PROFILE)
    return {**dict.fromkeys(PROFILE_VARIABLES, str(plain)), CYCLONE_VARIABLE: "<CycloneDDS/>"}


@dataclass(frozen=True)
class Site:
    """folder: for all that is written. variables: the environment of programs. patience_s: how long is waited for
    anything; it only bounds a hang."""

    folder: Path
    patience_s: float
    variables: Mapping[str, str] = field(default_factory=dict)

    def program(self, name: str, *command: object) -> Program:
        """A command that runs until it ends or is interrupted."""
        return Program(name, command, self.variables, self.folder, self.patience_s)

    def module(self, name: str, module: str, *arguments: object) -> Program:
        """As `program`, for a module of Python."""
        return self.program(name, "python3", "-m", module, *arguments)

    def output_of(self, *command: object, code: int | None = 0) -> str:
        """What a command prints that ends by itself. UserError for another exit code than `code`; None: for none."""
        name = "_".join(str(word).strip("/").replace("/", "_") for word in command[:4])
        with self.program(name, *command) as program:
            found = program.wait()
            if code is not None and found != code:
                raise UserError(f"`{' '.join(map(str, command))}` ended with exit code {found}: {program.last_lines()}")
            return program.text()

    def output_without(self, text: str, tries_s: float, *command: object) -> str:
        """What a command prints, whatever its exit code, which differ between releases of ROS. It is run again while
        `text` is in it; after `tries_s` seconds what it printed last is returned all the same."""
        deadline = time.monotonic() + tries_s
        while text in (found := self.output_of(*command, code=None)) and time.monotonic() < deadline:
            pass
        return found

    def with_variables(self, **variables: str) -> Site:
        """The same with other environment variables on top."""
        return replace(self, variables={**self.variables, **variables})

    def inside(self, name: str) -> Site:
        """The same in a folder below."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return replace(self, folder=folder)

    def sourced(self, setup: Path) -> Site:
        """The same after `source setup`."""
        command = ["bash", "-c", 'source "$0" >/dev/null && env -0', str(setup)]
        shown = subprocess.run(command, env=dict(self.variables), capture_output=True, text=True, check=True).stdout
        return replace(self, variables=dict(line.split("=", 1) for line in shown.split("\0") if "=" in line))

    def over(self, middleware: str, are_shipped: bool = True) -> Site:
        """The same over a middleware, with the shipped settings or with those of its own. NotThereError where
        it is not installed."""
        library = f"lib/lib{middleware}.so"
        if not any((Path(prefix) / library).exists() for prefix in self._prefixes):
            raise NotThereError(middleware)
        kept = {name: value for name, value in self.variables.items() if name not in SETTINGS}
        if not are_shipped:
            kept |= plain_settings(self.folder)
        return replace(self, variables={**kept, "RMW_IMPLEMENTATION": middleware})

    def need(self, *tools: str) -> None:
        """NotThereError if one is missing: a program, or a verb of ros2 such as "ros2 bag"."""
        for tool in tools:
            program, _, verb = tool.partition(" ")
            if shutil.which(program, path=self.variables.get("PATH")) is None:
                raise NotThereError(program)
            if (
                verb
                and subprocess.run([program, verb, "--help"], env=dict(self.variables), capture_output=True).returncode
            ):
                raise NotThereError(tool)

    def need_package(self, name: str) -> None:
        """NotThereError if a ROS package is not installed."""
        if not self.has_package(name):
            raise NotThereError(f"the package {name}")

    def has_package(self, name: str) -> bool:
        """Whether a ROS package is installed."""
        return any(
            (Path(each) / "share/ament_index/resource_index/packages" / name).exists() for each in self._prefixes
        )

    def versions(self, names: Iterable[str]) -> list[str]:
        """Name and version of those of these ROS packages that are installed."""
        found = []
        for name in names:
            files = [Path(each) / "share" / name / "package.xml" for each in self._prefixes]
            if present := next(filter(Path.is_file, files), None):
                found.append(f"{name} {ElementTree.parse(present).findtext('version')}")
        return found

    @property
    def _prefixes(self) -> list[str]:
        return self.variables.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
