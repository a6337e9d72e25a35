"""What the tests of the commands share: weights, a scan, and the one line of a refusal."""

import numpy as np
import pytest
from ros_weights import tiny_weights

from pvd_cli.main import run


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def scan(tmp_path):
    """A .bin file with a no-return point and a NaN point in it, and what it holds."""
    points = np.random.default_rng(0).uniform((-30, -30, -2, 0), (30, 30, 1, 1), (3000, 4)).astype(np.float32)
    points[5, :3], points[7] = 0, np.nan
    path = tmp_path / "scan.bin"
    points.tofile(path)
    return path


@pytest.fixture
def error_of(capsys):
    """A function that runs a command that must fail, and gives the one line it prints."""

    def line_of(*arguments):
        assert run([str(argument) for argument in arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        return lines[0]

    return line_of
