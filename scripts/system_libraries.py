"""The system libraries that Open3D's wheel leaves to the system: found, installed with apt-get, or asked for."""

import ctypes
import os
import shutil
import subprocess

# Library file -> Debian and Ubuntu package. What libOpen3D.so 0.18 to 0.20 and torch link to beyond the C++ runtime.
PACKAGE_OF_LIBRARY = {
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libX11.so.6": "libx11-6",
    "libgomp.so.1": "libgomp1",
    "libudev.so.1": "libudev1",
    "libidn2.so.0": "libidn2-0",
}


class SystemLibraryError(Exception):
    """Something must be installed that this user may not install; the message names the command."""


def missing_packages():
    """Names of the packages whose library the dynamic loader does not find."""
    return [package for library, package in PACKAGE_OF_LIBRARY.items() if not _is_loadable(library)]


def ensure(say, log_path, is_skipped=False):
    """Installs what is missing, or raises SystemLibraryError naming the command that would."""
    packages = missing_packages()
    if not packages:
        return
    if is_skipped:
        say(f"system libraries missing, left alone as asked: {' '.join(packages)} (the simulator will not start)")
        return
    install_packages_or_explain(
        packages, "the system libraries that Open3D, the simulator's ray caster, needs", say, log_path
    )


def install_packages_or_explain(packages, purpose, say, log_path):
    """Installs Debian packages as root or through a sudo that asks nothing, else raises SystemLibraryError."""
    names = " ".join(packages)
    prefix = _apt_prefix()
    if prefix is None:
        how = f"run `sudo apt-get install {names}`" if shutil.which("apt-get") else f"install what Debian calls {names}"
        raise SystemLibraryError(f"missing: {purpose}; {how}, then start again (SYSTEM_LIBRARIES=skip goes on without)")
    say(f"installing {purpose}: {names}")
    apt = [*prefix, "apt-get", "-o", "DPkg::Lock::Timeout=120"]
    for command in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", *packages]):
        result = subprocess.run(
            command, capture_output=True, text=True, env=_apt_environment(), stdin=subprocess.DEVNULL
        )
        with log_path.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{result.stdout}{result.stderr}")
    # `update` may fail on one foreign source and the packages still install, so only the last step counts.
    if result.returncode != 0:
        last_lines = "\n".join((result.stdout + result.stderr).splitlines()[-5:])
        raise SystemLibraryError(f"apt-get could not install {names}:\n{last_lines}\nall of it is in {log_path}")


def _apt_prefix():
    """What to put before apt-get: nothing as root, sudo where it asks no password, None where neither."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def _apt_environment():
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}


def _is_loadable(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
