#!/usr/bin/env python3
"""Sets up .venv for `make`: standard library only, does nothing when nothing changed since the last time.

Environment: TORCH_INDEX (index that torch comes from), SYSTEM_LIBRARIES=skip, ROS_DISTRO (set by a sourced ROS 2).
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import system_libraries
from pip_progress import install

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "set_up.stamp"
LOG = ROOT / "build" / "set_up.log"
EXTRAS = ("train", "sim", "view", "dev")
NVIDIA_DRIVER = Path("/dev/nvidiactl")
INPUTS = ("constraints.txt", "setup.py", "setup.cfg", "pyproject.toml")
SUPPORTED_PYTHONS = ((3, 10), (3, 13))


class SetUpError(Exception):
    """Set-up cannot go on; the message says what to do."""


def main():
    check_python()
    ros_distro = sourced_ros()
    stamp = fingerprint(ros_distro)
    if STAMP.is_file() and STAMP.read_text() == stamp:
        return
    started = time.monotonic()
    say(f"setting up {VENV.name} for Python {'.'.join(map(str, sys.version_info[:3]))} (once; log in {LOG})")
    if ros_distro:
        say(f"ROS 2 {ros_distro} is sourced: using its rclpy and messages, not the pip wheels")
    LOG.parent.mkdir(exist_ok=True)
    system_libraries.ensure(say, LOG, is_skipped=os.environ.get("SYSTEM_LIBRARIES") == "skip")
    make_venv(ros_distro)
    install_packages(ros_distro)
    STAMP.write_text(stamp)
    say(f"set up in {time.monotonic() - started:.0f} s")


def check_python():
    lowest, highest = SUPPORTED_PYTHONS
    if not lowest <= sys.version_info[:2] <= highest:
        found = ".".join(map(str, sys.version_info[:2]))
        raise SetUpError(
            f"Python {found} found, 3.{lowest[1]} to 3.{highest[1]} expected; "
            f"name another one: make PYTHON=python3.{highest[1]} ..."
        )


def sourced_ros():
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


def fingerprint(ros_distro):
    """Changes whenever set-up has to run again."""
    digest = hashlib.sha256()
    for path in [*(ROOT / name for name in INPUTS), *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(path.read_bytes())
    facts = (sys.version, ros_distro, os.environ.get("TORCH_INDEX", ""), str(ROOT))
    return f"{digest.hexdigest()} {facts!r}\n"


def make_venv(ros_distro):
    """A new .venv where none stands or the one there is for another Python or another ROS."""
    wanted = f"{sys.version_info[0]}.{sys.version_info[1]} {'system' if ros_distro else 'own'} packages"
    if venv_kind() == wanted:
        return
    if VENV.exists():
        say(f"{VENV.name} is there but for other conditions (wanted: Python {wanted}): making it anew")
        shutil.rmtree(VENV)
    if not has_ensurepip():
        system_libraries.install_packages_or_explain(
            ["python3-venv"], "Python's venv module (package python3-venv)", say, LOG
        )
    say("making the virtual environment")
    command = [sys.executable, "-m", "venv", *(["--system-site-packages"] if ros_distro else []), str(VENV)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetUpError(f"`{' '.join(command)}` failed:\n{result.stdout}{result.stderr}")


def venv_kind():
    """Python version and kind of site-packages of the .venv there, or None."""
    config = VENV / "pyvenv.cfg"
    if not config.is_file() or not (VENV / "bin" / "python").exists():
        return None
    facts = dict(line.split(" = ", 1) for line in config.read_text().splitlines() if " = " in line)
    version = ".".join(facts.get("version", "").split(".")[:2])
    return f"{version} {'system' if facts.get('include-system-site-packages') == 'true' else 'own'} packages"


def has_ensurepip():
    """Debian ships Python without it; the venv module needs it."""
    return subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True).returncode == 0


def install_packages(ros_distro):
    constraints = ros_constraints() if ros_distro else ROOT / "constraints.txt"
    python = str(VENV / "bin" / "python")
    index = os.environ.get("TORCH_INDEX")
    if index:
        # Without its dependencies: such an index need not hold them in the pinned versions; the last step brings them.
        install(python, ["torch", "--no-deps", "-c", str(constraints), "--index-url", index], "torch", say, LOG)
    elif not NVIDIA_DRIVER.exists():
        say("pip may fetch torch with CUDA libraries (several GB); for the CPU alone start again with")
        say("  TORCH_INDEX=https://download.pytorch.org/whl/cpu")
    # Building the package itself with the pinned setuptools, instead of one that pip fetches for the occasion.
    install(python, ["setuptools", "-c", str(constraints)], "setuptools", say, LOG)
    chosen = (*EXTRAS, "gpu" if NVIDIA_DRIVER.exists() else "spconv")
    extras = ",".join(chosen if ros_distro else ("ros", *chosen))
    arguments = ["--no-build-isolation", "-c", str(constraints), "-e", f"{ROOT}[{extras}]"]
    install(python, arguments, f"pvd_ros[{extras}]", say, LOG)


def ros_constraints():
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


def say(text):
    print(f"[set-up] {text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (SetUpError, system_libraries.SystemLibraryError) as error:
        sys.exit(f"error: {error}")
    except RuntimeError as error:  # pip failed; its last lines are in the message
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; run the same command again to go on")
