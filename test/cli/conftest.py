"""What the tests of the commands share: weights, a scan, the one line of a refusal, and measuring without processes."""

import numpy as np
import pytest
import torch
from ros_weights import tiny_weights

from pvd_cli.bench import process, turns, worker
from pvd_cli.main import run
from pvd_core.borders.errors import UserError


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


class MeasuringHere:
    """What a MeasuringProcess does, in this process: a new one imports torch for seconds."""

    def __init__(self, job):
        self.job, self.has_room_for_another = job, True
        try:
            self._measurement = worker._measurement(job)
        except UserError as error:
            raise process.CannotMeasureError(str(error).splitlines()[0]) from None
        self.facts, self.labels = self._measurement.facts, self._measurement.labels

    def repeat(self, first, most):
        return worker._one_turn(self._measurement, first, most)

    def end(self):
        pass


@pytest.fixture
def no_processes(monkeypatch):
    """Benchmarks measure in the process of the test."""
    num_threads = torch.get_num_threads()
    monkeypatch.setattr(turns, "MeasuringProcess", MeasuringHere)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def short_warm_up(monkeypatch):
    monkeypatch.setattr("pvd_cli.bench.measurement._RUNS", 1)
    monkeypatch.setattr("pvd_cli.bench.measurement._LEAST_RUNS", 1)
    monkeypatch.setattr("pvd_cli.bench.worker._TURN_SECONDS", 0.0)
