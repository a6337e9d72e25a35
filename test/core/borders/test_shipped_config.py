"""Config files that came with the program are found from any folder, also those of an installed wheel."""

import shutil

import pytest

from pvd_core.borders import shipped_config
from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import read_yaml
from training.ablation.grid import read_grid
from training.data.benchmarks import benchmark_named


@pytest.fixture
def prefix(monkeypatch, tmp_path, project_root):
    """The prefix of an environment into which a wheel was installed; the present folder is elsewhere."""
    packages = tmp_path / "env/lib/python3.11/site-packages"
    monkeypatch.setattr(shipped_config, "__file__", str(packages / "pvd_core/borders/shipped_config.py"))
    monkeypatch.setattr(shipped_config.sys, "prefix", str(tmp_path / "other"))
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    shutil.copytree(project_root / "config", tmp_path / "env/share/pvd_ros/config")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "env"


def test_grids_benchmarks_and_settings_of_a_wheel_are_found(prefix):
    assert read_grid("config/ablations/table3.yaml", ["base=cpu.yaml"]).base == "cpu.yaml"
    assert read_yaml("config/train.yaml")
    for name in ("simulated", "config/benchmarks/simulated.yaml"):
        assert benchmark_named(name).sums_path == prefix / "share/pvd_ros/config/benchmarks/simulated.sums"


def test_a_file_of_the_user_comes_first(prefix, tmp_path):
    (tmp_path / "here/config").mkdir()
    (tmp_path / "here/config/train.yaml").write_text("mine: 1")
    assert read_yaml("config/train.yaml") == {"mine": 1}


def test_a_missing_file_is_named_with_all_places(prefix, tmp_path):
    with pytest.raises(UserError) as caught:
        read_yaml("config/ablations/none.yaml")
    for place in ("here", "env/lib/python3.11/site-packages/config", "env/share/pvd_ros/config", "other/share/pvd_ros"):
        assert str(tmp_path / place) in str(caught.value)
    shutil.rmtree(prefix / "share")
    with pytest.raises(UserError, match=r"no benchmarks in .*env/share/pvd_ros/config/benchmarks"):
        benchmark_named("simulated")
