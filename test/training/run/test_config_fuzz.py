"""Thousands of small mutations of the configs that ship: each is refused in a short message, or read as it stands."""

import random
import resource
import shutil

import pytest
import yaml
from mutations import mutated_bytes, mutated_value

from pvd_core.borders.errors import UserError
from training.ablation.grid import read_grid
from training.ablation.plan import make_plan
from training.data.benchmarks import read_benchmark
from training.run.config import config_as_dict, load_config

MOST_GROWTH_KB = 300_000

# Of each test; the many with `make test-slow`.
sizes = pytest.mark.parametrize("num_files", [10, pytest.param(460, marks=pytest.mark.slow)])

TRAINING = ("train.yaml", "train_first.yaml", "train_simulated.yaml", "distill.yaml")
GRIDS = ("table1.yaml", "table1_cpu.yaml", "finetune.yaml", "near_far.yaml", "full.yaml")
BENCHMARKS = ("simulated.yaml", "real-33.yaml")


def read_training(path):
    config = load_config(
        path, ["dataset=data", "distillation.teacher=t"] if "distill" in path.name else ["dataset=data"]
    )
    return config_as_dict(config)


def read_whole_grid(path):
    return make_plan(read_grid(path), "data", "out")


READERS = [
    *((read_training, "", name) for name in TRAINING),
    *((read_whole_grid, "ablations", name) for name in GRIDS),
    *((read_benchmark, "benchmarks", name) for name in BENCHMARKS),
]


@pytest.fixture
def config(tmp_path, project_root, request):
    """(reader, path of a copy of a shipped config, beside all others)."""
    reader, folder, name = request.param
    shutil.copytree(project_root / "config" / folder, tmp_path / "config")
    return reader, tmp_path / "config" / name


def outcome(reader, path):
    """What the config says, or None where it is refused. Every other error is a failure."""
    message = ""
    try:
        return reader(path)
    except UserError as error:
        message = str(error)
    assert 10 < len(message) < 6000
    return None


@pytest.mark.parametrize("config", READERS, indirect=True, ids=[name for _, _, name in READERS])
@sizes
def test_mutated_configs_are_refused_or_read_as_they_stand(num_files, config):
    reader, path = config
    content, chance = path.read_bytes(), random.Random(5)
    values, whole = yaml.safe_load(content), outcome(reader, path)
    before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for _ in range(num_files):
        path.write_bytes(mutated_bytes(chance, content))
        refused += outcome(reader, path) is None
        path.write_text(yaml.safe_dump(mutated_value(chance, values)))
        refused += outcome(reader, path) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH_KB
    assert refused > 0.2 * num_files
    path.write_bytes(content)
    assert outcome(reader, path) == whole


@pytest.mark.parametrize("name", TRAINING)
@sizes
def test_what_a_training_config_says_is_what_is_read(num_files, name, project_root, tmp_path):
    """Every value that a mutated file holds and that is not refused stands in the settings."""
    path, chance = tmp_path / name, random.Random(6)
    values = yaml.safe_load((project_root / "config" / name).read_text())
    for _ in range(num_files):
        other = mutated_value(chance, values)
        path.write_text(yaml.safe_dump(other))
        read = outcome(read_training, path)
        if read is not None:
            assert not differences(other, read), other


def differences(written, read, where=""):
    """Names of the values that were written and are read as others."""
    if isinstance(written, dict) and isinstance(read, dict):
        return [
            name
            for key, value in written.items()
            if f"{where}{key}" not in ("dataset", "distillation.teacher")
            for name in differences(value, read.get(key, "absent"), f"{where}{key}.")
        ]
    if isinstance(written, (list, tuple)):
        written, read = [str(each) for each in written], [str(each) for each in read or ()]
        return [] if [plainly(each) for each in written] == [plainly(each) for each in read] else [where]
    return [] if plainly(written) == plainly(read) or where in OTHER_WORDS else [where]


OTHER_WORDS = ("model.", "precision.")  # a preset's name becomes a section, old names of number formats new ones


def plainly(value):
    """Numbers as numbers, however YAML had them."""
    try:
        return value if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError):
        return value
