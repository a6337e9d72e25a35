"""Training an SPVNAS from its net.config, without a checkpoint."""

import json

import pytest
import yaml
from net_configs import net_config

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.models.unet_plan import plan_settings
from pvd_core.voxels import CartesianGrid
from pvd_core.weights.net_config import plan_of_net_config
from training.ablation.grid import read_grid
from training.ablation.plan import make_plan
from training.run.config import config_as_dict, load_config


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.config"
    path.write_text(json.dumps({**net_config(), "pres": 0.1, "vres": 0.1}))
    return path


def test_a_run_takes_channels_and_voxels_from_a_net_config_and_records_them(file, tmp_path):
    config = load_config(None, ["dataset=d", f"model.net_config={file}"])
    network = build_model(config.network)
    assert type(network).__name__ == "SPVCNN"
    assert network.config.plan == plan_settings(plan_of_net_config(net_config(), "test"))
    assert network.grid == CartesianGrid(0.1)
    file.unlink()  # a run goes on without the file
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config_as_dict(config)))
    assert load_config(tmp_path / "config.yaml") == config


def test_other_settings_of_the_network_stand_beside_a_net_config(file):
    given = ["dataset=d", f"model.net_config={file}", "model.grid.voxel_size=0.4", "model.name=null"]
    assert build_model(load_config("config/train_unets.yaml", given).network).grid == CartesianGrid(0.4)
    config = load_config(None, [*given[:2], "scans.past=1", "scans.time=true"])
    assert build_model(config.network).grid == CartesianGrid(0.1, time=True)
    assert load_config(None, ["dataset=d", "model.net_config=null", "model.name=minkunet-1x"]).model == {
        "name": "minkunet-1x"
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.name=spvcnn-1x"], r"model.name is 'spvcnn-1x', but .* leave one out \(model.name=null\)"),
        (["model.architecture=minkunet"], "model.architecture is 'minkunet', but model.net_config says"),
        (["model.channel_ratio=0.5"], "model.channel_ratio is 0.5"),
        (["model.plan={}"], "model.plan is {}"),
        (["model.width=8"], "unknown model setting 'width'"),
        (["model.grid.shape=[8, 8, 8]"], "unknown grid setting 'shape'"),
        (["model.net_config=5"], "model.net_config is 5: expected the path"),
        (["model.net_config=nowhere"], "net.config nowhere does not exist"),
    ],
)
def test_what_a_net_config_says_already_is_refused(file, overrides, message):
    with pytest.raises(UserError, match=message):
        load_config(None, ["dataset=d", f"model.net_config={file}", *overrides])


def test_rows_of_a_grid_take_a_net_config(file, tmp_path):
    rows = [{"name": "searched", "settings": {"model": {"net_config": str(file)}}}, {"name": "default"}]
    values = {"name": "nets", "title": "Nets", "seeds": [0], "starts_from": "random", "rows": rows}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({**values, "settings": {"max_steps": 1}}))
    searched, default = make_plan(read_grid(tmp_path / "grid.yaml"), "data", tmp_path).runs
    assert searched.config.model["architecture"] == "spvcnn"
    assert default.config.model == {"name": "cylinder3d-compact"}
