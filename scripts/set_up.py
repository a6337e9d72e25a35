"""Sets up .venv for `make`: standard library only, does nothing when nothing changed since the last time.

start_set_up.py starts it. Environment: TORCH_INDEX (index that torch comes from), ROS_DISTRO (set by a sourced ROS 2).
"""

import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bare_pip import add_pip
from make_settings import fault_of
from pip_progress import PipError, disk_is_full, install
from venv_parts import gone_files, restored_on_failure, size_gb, top_level_parts

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# Where the old one stays until the new one stands.
ASIDE = ROOT / "build" / "venv_before"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "set_up.json"
LOG = ROOT / "build" / "set_up.log"
NVIDIA_DRIVER = Path("/dev/nvidiactl")
# The project's folder in the first lines of .venv's pip: after #!, or quoted where the path is long or has spaces.
HOME_OF_PIP = re.compile(r"""^(?:#!|'''exec' )"?(/.*?)/\.venv/bin/python""", re.MULTILINE)
INPUTS = ("constraints.txt", "setup.py", "setup.cfg", "pyproject.toml")
# The native engine, which installing the package compiles.
ENGINE = "pvd_core/native"
SOURCES = (".py", ".cpp", ".h")
EXTRAS = {"demo": set(), "test": {"train", "dev"}}
# By extra, what many processes import.
FIRST_IMPORTS = {
    "ros": ["pvd_ros.node.segmenter_node", "pvd_ros.play", "pvd_ros.record", "matplotlib.pyplot"],
    "train": ["training.run.loop"],
    "dev": ["pytest", "hypothesis", "triton"],
}
IMPORT_EACH = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(Exception):
        importlib.import_module(name)
"""
# Measured, with the CPU build of torch and what pip unpacks on the way; CUDA's libraries take more.
NEEDED_GB = {"demo": 3, "test": 5}


class SetUpError(Exception):
    """Set-up cannot go on; the message says what to do."""


def main(purpose: str) -> None:
    """Installs what `purpose` needs, a key of EXTRAS, unless it is there."""
    ros_distro = sourced_ros()
    wanted = {"facts": fingerprint(ros_distro), "extras": sorted(wanted_extras(purpose, ros_distro))}
    before = read_stamp()
    if before.get("facts") == wanted["facts"]:
        if set(wanted["extras"]) <= set(before["extras"]) and is_whole(before):
            return
        wanted["extras"] = sorted({*wanted["extras"], *before["extras"]})
    started = time.monotonic()
    say(f"setting up {VENV.name} for Python {sys.version.split()[0]} (once; log in {LOG.relative_to(ROOT)})")
    if ros_distro:
        say(f"ROS 2 {ros_distro} is sourced: using its rclpy and messages, not the pip wheels")
    LOG.parent.mkdir(exist_ok=True)
    if STAMP.exists():
        # Of a set-up that was killed after its end.
        shutil.rmtree(ASIDE, ignore_errors=True)
    with restored_on_failure(VENV, ASIDE, say):
        make_venv(ros_distro, NEEDED_GB[purpose])
        install_packages(wanted["extras"], ros_distro)
        found = {"packages": top_level_parts(VENV), "never_there": gone_files(VENV), "compiler": compiler()}
        STAMP.write_text(json.dumps({**wanted, **found}))
    say(f"set up in {time.monotonic() - started:.0f} s")


def wanted_extras(purpose: str, ros_distro: "str | None") -> "set[str]":
    """Names of setup.py's extras."""
    extras = set(EXTRAS[purpose])
    if not ros_distro:
        extras.add("ros")
    if purpose == "test":
        extras.add("gpu" if NVIDIA_DRIVER.exists() else "spconv")
    return extras


def is_whole(stamp: dict) -> bool:
    """Whether all that the stamp names is still there, and the command and the native engine too, which alone are
    quickly made again."""
    return (VENV / "bin" / "pvd").exists() and not lost_parts(stamp) and not can_now_be_compiled(stamp)


def can_now_be_compiled(stamp: dict) -> bool:
    """Whether the native engine is missing, and a compiler is there that the set-up of the stamp did not have."""
    return not (ROOT / ENGINE / "engine.so").exists() and compiler() not in ("", stamp.get("compiler"))


def compiler() -> str:
    """The command of the C++ compiler that the native engine is built with; "" where there is none."""
    build = runpy.run_path(str(Path(__file__).parent.parent / ENGINE / "build.py"))
    try:
        return " ".join(build["compiler"]())
    except build["BuildError"]:
        return ""


def lost_parts(stamp: dict) -> "list[str]":
    """Paths that .venv had when the stamp was written, and has no more."""
    parts = ["pyvenv.cfg", "bin/python", "bin/pip", *stamp.get("packages", [])]
    lost = [part for part in parts if not (VENV / part).exists()]
    return lost or (gone_files(VENV, but=stamp["never_there"]) if "never_there" in stamp else [])


def read_stamp() -> dict:
    """What the last set-up that came to its end wrote; {} where there was none or it is of another version."""
    try:
        stamp = json.loads(STAMP.read_text())
        return stamp if isinstance(stamp["extras"], list) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def sourced_ros() -> "str | None":
    """Name of the ROS 2 distribution whose rclpy this Python imports, or None."""
    distro = os.environ.get("ROS_DISTRO")
    if not distro:
        return None
    check = subprocess.run([sys.executable, "-c", "import rclpy, sensor_msgs"], capture_output=True, text=True)
    if check.returncode == 0:
        return distro
    say(
        f"ROS_DISTRO={distro} is set, but {sys.executable} cannot import its rclpy and sensor_msgs "
        "(another Python version?): taking the pip wheels instead; "
        "to use that ROS, name the Python it was built for: make PYTHON=/usr/bin/python3 ..."
    )
    return None


def fingerprint(ros_distro: "str | None") -> str:
    """Changes whenever set-up has to run again."""
    digest = hashlib.sha256()
    sources = [*Path(__file__).parent.glob("*.py"), *(ROOT / ENGINE).glob("*.*")]
    for path in [*(ROOT / name for name in INPUTS), *sorted(path for path in sources if path.suffix in SOURCES)]:
        digest.update(path.read_bytes())
    facts = (sys.version, ros_distro, os.environ.get("TORCH_INDEX", ""), str(ROOT))
    return f"{digest.hexdigest()} {facts!r}"


def make_venv(ros_distro: "str | None", needed_gb: float) -> None:
    """A new .venv where none stands, or where the one there is damaged or for another Python, ROS or folder: then that
    is moved to ASIDE, if it ever was whole. SetUpError where the disk cannot hold `needed_gb` of packages."""
    if VENV.is_symlink() or (VENV.exists() and not VENV.is_dir()):
        check_link_or_file(ros_distro)
        return
    if VENV.exists():
        flaw = flaw_of_venv(ros_distro)
        if not flaw:
            if not STAMP.exists():
                check_free_space(needed_gb, size_gb(VENV))
            return
        say(f"{VENV.name} {flaw}: making it anew")
        if STAMP.exists():
            check_free_space(needed_gb, beside=f" beside the old {VENV.name}, which `make clean` removes")
            VENV.rename(ASIDE)
        else:
            shutil.rmtree(VENV)
    check_free_space(needed_gb)
    say("making the virtual environment")
    command = [sys.executable, "-m", "venv", "--without-pip", *(["--system-site-packages"] if ros_distro else [])]
    result = subprocess.run([*command, str(VENV)], capture_output=True, text=True)
    try:
        if result.returncode != 0:
            output = f"{result.stdout}{result.stderr}"
            raise SetUpError(disk_is_full(output, VENV.name) or f"`{' '.join(command)} {VENV}` failed:\n{output}")
        add_pip(PYTHON, say)
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        raise


def check_free_space(needed_gb: float, there_gb: float = 0.0, beside: str = "") -> None:
    """SetUpError where the disk cannot hold a set-up of which `there_gb` are there."""
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb + there_gb < needed_gb:
        raise SetUpError(
            f"{free_gb:.1f} GB free in {ROOT}, set-up needs about {needed_gb - there_gb:.2g}{beside}: "
            "free some, then start again"
        )


def check_link_or_file(ros_distro: "str | None") -> None:
    """SetUpError unless what stands in the place of the folder is a link to a usable .venv: what it links to is not
    ours to remove."""
    what = f"a link to {os.readlink(VENV)}" if VENV.is_symlink() else "a file"
    flaw = "is not there" if not VENV.exists() else "is no folder" if not VENV.is_dir() else flaw_of_venv(ros_distro)
    if flaw:
        which = f", which {flaw}" if VENV.is_symlink() else ""
        raise SetUpError(
            f"{VENV} is {what}{which}; a folder, or no file at all, expected: "
            f"remove it (rm {VENV.name}), then run the same command again"
        )


def flaw_of_venv(ros_distro: "str | None") -> str:
    """Why the .venv that stands there cannot be used; "" where it can."""
    lost = lost_parts(read_stamp())
    if lost:
        others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        return f"is {'damaged' if STAMP.exists() else 'unfinished'} ({lost[0]}{others} missing)"
    made_in = HOME_OF_PIP.search((VENV / "bin" / "pip").read_text(errors="replace"))
    if made_in and made_in[1] != str(VENV.parent):
        return f"was moved here from {made_in[1]}, to which its programs still point"
    wanted = f"{sys.version_info[0]}.{sys.version_info[1]} {'system' if ros_distro else 'own'} packages"
    found = venv_kind()
    return "" if found == wanted else f"is for other conditions ({found}; wanted: {wanted})"


def venv_kind() -> str:
    """Python version and kind of site-packages of the .venv there."""
    config = (VENV / "pyvenv.cfg").read_text()
    facts = dict(line.split(" = ", 1) for line in config.splitlines() if " = " in line)
    version = ".".join(facts.get("version", "").split(".")[:2])
    return f"{version} {'system' if facts.get('include-system-site-packages') == 'true' else 'own'} packages"


def install_packages(extras: "list[str]", ros_distro: "str | None") -> None:
    constraints = ros_constraints() if ros_distro else ROOT / "constraints.txt"
    index = os.environ.get("TORCH_INDEX")
    if index:
        # Without its dependencies: such an index need not hold them in the pinned versions; the last step brings them.
        install(PYTHON, ["torch", "--no-deps", "-c", str(constraints), "--index-url", index], "torch", say, LOG)
    elif not NVIDIA_DRIVER.exists():
        say("pip may fetch torch with CUDA libraries (several GB); for the CPU alone start again with")
        say("  TORCH_INDEX=https://download.pytorch.org/whl/cpu")
    # Building the package itself with the pinned setuptools, instead of one that pip fetches for the occasion.
    install(PYTHON, ["setuptools", "-c", str(constraints)], "setuptools", say, LOG)
    named = f"[{','.join(extras)}]" if extras else ""
    arguments = ["--no-build-isolation", "-c", str(constraints), "-e", f"{ROOT}{named}"]
    install(PYTHON, arguments, f"pvd_ros{named}", say, LOG)
    say("importing once, so that later starts are quick")
    import_once(extras)


def import_once(extras: "list[str]") -> None:
    """Imports what the extras brought, so that Python keeps its byte code: processes that start side by side would
    each compile it. What cannot be imported is left to those who need it."""
    modules = [module for extra in extras for module in FIRST_IMPORTS.get(extra, [])]
    subprocess.run([str(PYTHON), "-c", IMPORT_EACH, *modules], cwd=ROOT, capture_output=True)


def ros_constraints() -> Path:
    """The constraints file that suits a sourced ROS: its messages are compiled for the NumPy major it came with."""
    version = subprocess.run(
        [sys.executable, "-c", "import numpy; print(numpy.__version__)"], capture_output=True, text=True
    ).stdout.strip()
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    if version.startswith("1."):
        lines = [line for line in lines if not line.startswith("numpy==")] + ["numpy==1.26.4"]
    path = LOG.parent / "constraints_ros.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def say(text: str) -> None:
    print(f"[set-up] {text}", flush=True)


def run(purpose: str, settings: "list[str]") -> None:
    """`main`, once the settings of `make` are looked at, each NAME=VALUE; an error ends the program with one line."""
    try:
        if fault := fault_of(settings):
            raise SetUpError(fault)
        main(purpose)
    except (SetUpError, PipError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if full := disk_is_full(str(error), VENV.name):
            sys.exit(f"error: {full}")
        sys.exit(f"error: {error.strerror or error} ({error.filename or ROOT}); then run the same command again")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; run the same command again to go on")
