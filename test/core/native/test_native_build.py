"""The library is built where it can be, and one that does not fit is named and not loaded."""

import shutil
import subprocess
import sys

import pytest

from pvd_core.borders.errors import UserError
from pvd_core.native import build, library
from pvd_core.sparse.backends import load_backend


@pytest.fixture
def reason(tmp_path):
    """Why a library at that path is not loaded."""
    return lambda path: library._load(path)[1]


def test_where_there_is_a_compiler_the_library_is_usable():
    """Else the tests of the engine would be left out without a word."""
    try:
        build.compiler()
    except build.BuildError:
        pytest.skip("no C++ compiler")
    assert library.status()[0], library.status()[1]


def test_no_compiler_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(build.BuildError, match="no C\\+\\+ compiler: install one"):
        build.build()


def test_a_compiler_that_fails_is_quoted_and_leaves_no_library(tmp_path, monkeypatch, capsys, reason):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\nfor n in 1 2 3 4 5 6 7; do echo line $n >&2; done\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    target = tmp_path / "engine.so"
    target.write_bytes(b"older")
    build.try_to_build(target)
    assert not target.exists()
    assert "line 7" in capsys.readouterr().err
    assert "ended with code 3" in reason(target)
    assert "line 3" in reason(target)
    assert "line 2" not in reason(target)


def test_a_compiler_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(build.BuildError, match="did not start"):
        build.build(tmp_path / "engine.so")


def test_a_library_of_another_source_or_machine_is_refused(tmp_path, reason):
    for name, content, message in (
        ("old.so", b"\x7fELF of another source", "another version of its source"),
        ("arm.so", b"\x7fELF " + build.source_digest().encode(), "does not load on this machine"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert message in reason(path)
    assert "was not built here" in reason(tmp_path / "none.so")


def test_without_the_library_the_backend_says_why(monkeypatch):
    monkeypatch.setattr(library, "_load", lambda path: (None, "it was not built here"))
    library.load.cache_clear()
    sys.modules.pop("pvd_core.sparse.backends.native", None)
    try:
        with pytest.raises(UserError, match="not usable: it was not built here"):
            load_backend("native")
    finally:
        monkeypatch.undo()
        library.load.cache_clear()


def test_auto_takes_the_reference_where_the_library_is_not_usable(monkeypatch):
    import torch

    from pvd_core.sparse.backends import reference
    from pvd_core.sparse.backends.choose import backend_for

    monkeypatch.setattr(library, "status", lambda: (False, ""))
    assert backend_for("auto", torch.device("cpu")) is reference


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path):
    """Convolutions, gradients, chains and maps under the address and undefined-behaviour sanitizers."""
    target = tmp_path / "engine.so"
    flags = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    build.build(target, flags)
    # With the C++ library beside it, or torch's exceptions would find no way through.
    runtime = " ".join(
        subprocess.run(
            [*build.compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")
    )
    script = (
        "import pathlib, sys, pytest\n"
        "from pvd_core.native import library\n"
        f"library.LIBRARY = pathlib.Path({str(target)!r})\n"
        "names = 'convolution', 'cells', 'sorted_cells'\n"
        "sys.exit(pytest.main([*(f'test/core/native/test_native_{name}.py' for name in names),"
        "'-q', '-p', 'no:cacheprovider']))\n"
    )
    environment = {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=900
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


@pytest.mark.slow
def test_cross_compiled_for_arm64_it_agrees_with_plain_loops(tmp_path):
    """The comparison that the library makes when it is loaded, and a few sites looked up, under an emulator."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        pytest.skip("needs g++-aarch64-linux-gnu and qemu-user")
    main = tmp_path / "main.cpp"
    main.write_text(
        f'#include "{build.SOURCE}"\n'
        "#include <cstdio>\n"
        "const int64_t coords[] = {0, 1, 1, 5, 0, 1, 1, 6, 0, 1, 2, 6}, stride[] = {1, 1, 1};\n"
        "int main() {\n"
        "  const char *level = pvd_use_level(nullptr);\n"
        "  int64_t keys[3]; uint64_t occupied[3]; int32_t first[4], heights[3], rows[27];\n"
        "  pvd::SortedColumns columns = {keys, first, heights, occupied, 0, 1, 4, 4, 9};\n"
        "  pvd_list_columns(&columns, coords, 3);\n"
        "  pvd_look_up_sorted(&columns, coords, 3, stride, 0, rows, 2);\n"
        '  printf("%s %d %d %d\\n", level ? level : "none", rows[12], rows[13], rows[14]);\n'
        "}\n"
    )
    program = tmp_path / "main"
    flags = [flag for flag in build._FLAGS if flag not in ("-shared", "-fPIC")]
    subprocess.run([compiler, *flags, "-static", str(main), "-o", str(program)], check=True)
    result = subprocess.run([emulator, str(program)], capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout) == (0, "plain 6 3 18\n"), result.stderr
