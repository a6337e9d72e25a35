"""Wheels packed with LZMA are read by pip like any other."""

import subprocess
import sys
import zipfile

from scripts import gpu_wheels


def test_pip_installs_a_repacked_wheel(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_wheels, "_LEAST_BYTES_REPACKED", 0)
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    files = {
        "thing.py": "answer = 42\n",
        "thing-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        "thing-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "thing-1.0.dist-info/RECORD": "thing.py,,\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    packed = tmp_path / "packed" / wheel.name
    packed.parent.mkdir()

    gpu_wheels.repack(wheel, packed)

    assert {entry.compress_type for entry in zipfile.ZipFile(packed).infolist()} == {zipfile.ZIP_LZMA}
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(tmp_path / "site"),
    ]
    subprocess.run([*pip, str(packed)], check=True, capture_output=True)
    assert (tmp_path / "site" / "thing.py").read_text() == "answer = 42\n"
