"""What the header of a weights file must say, and that nothing is built or read before it is checked."""

import json
import resource
import struct

import pytest
import torch
from ros_weights import TINY
from safetensors.torch import load_file, save_file

from pvd_core import default_weights
from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN, TAXONOMIES
from pvd_core.weights import (
    ExpectedCloud,
    WeightsError,
    expected_cloud,
    load_model,
    read_facts,
    save_weights,
    taxonomy_of,
)


def with_facts(path, change):
    """Rewrites the facts of a file as an earlier version would, without a digest."""
    facts = read_facts(path)
    change(facts)
    save_file(load_file(path), path, metadata={"pvd": json.dumps(facts)})


def refusal(path):
    """The message with which both ways of reading refuse the header."""
    with pytest.raises(WeightsError) as caught:
        read_facts(path)
    with pytest.raises(WeightsError) as again:
        load_model(path)
    assert str(caught.value) == str(again.value)
    assert str(caught.value).startswith(f"weights {path}: ")
    return str(caught.value)


def swapped(names):
    return [names[0], names[2], names[1], *names[3:]]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (list(reversed(SEMANTICKITTI.names)), "in reverse order"),
        (swapped(SEMANTICKITTI.names), "the same classes in another order: class 1 is 'bicycle' instead of 'car'"),
        (["unlabeled", "barrier", *SEMANTICKITTI.names[2:]], "other classes: class 1 is 'barrier' instead of 'car'"),
        (["Unlabeled", *SEMANTICKITTI.names[1:]], "other classes: class 0 is 'Unlabeled'"),
        (SEMANTICKITTI.names[1:], "there are 19 class names"),
        ([*SEMANTICKITTI.names, "moving-car"], "there are 21 class names"),
        ([], "there are 0 class names"),
        ("car", "classes are 'car'"),
        (20, "classes are 20"),
        (list(range(20)), "classes are [0, 1, 2"),
        (None, "classes are null"),
        ({"car": 1}, "classes are {'car': 1}"),
    ],
)
def test_classes_other_than_those_of_the_program_are_refused_with_what_was_found(saved, classes, message):
    with_facts(saved, lambda facts: facts.update(classes=classes))
    assert message in refusal(saved)


def test_a_header_without_classes_is_refused(saved):
    with_facts(saved, lambda facts: facts.pop("classes"))
    assert "names no classes" in refusal(saved)
    assert "convert them again" in refusal(saved)


HUGE = 10**9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": HUGE}, "width is 1000000000: expected a whole number from 1 to 128"),
        ({"width": "16"}, "width is '16'"),
        ({"width": True}, "width is true"),
        ({"width": 2.0}, "width is 2.0"),
        ({"width": -1}, "width is -1"),
        ({"num_point_features": HUGE}, "num_point_features is 1000000000"),
        (
            {"point_mlp_widths": [8] * 100_000},
            "point_mlp_widths is [8, 8, 8, 8, 8, 8, ...]: expected a list of at most 8",
        ),
        ({"refinement_widths": [HUGE]}, "refinement_widths is 1000000000"),
        ({"refinement_widths": 8}, "refinement_widths is 8"),
        ({"refinement": ["R3"]}, "refinement ['R3']: expected one of R3, R1, none"),
        ({"kernels": "as_guessed"}, "kernels 'as_guessed'"),
        ({"num_classes": 17}, "scores for 17 classes, but 20 have names: the 19 of SemanticKITTI and class 0"),
        ({"num_classes": HUGE}, "num_classes is 1000000000"),
        ({"architecture": "pointnet"}, "unknown architecture 'pointnet'"),
        ({"name": "cylinder3d-1x"}, "names the preset 'cylinder3d-1x'"),
        ({"depth": 3}, "unknown model setting 'depth'"),
        ({"grid": [40, 30, 8]}, "grid is [40, 30, 8]"),
        ({"grid": {"shape": [40, 30, 8]}}, "grid in its header lacks rho_range, z_range; it has ['shape']"),
    ],
)
def test_impossible_settings_are_refused_by_name(saved, settings, message):
    with_facts(saved, lambda facts: facts["model"].update(settings))
    assert message in refusal(saved)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"shape": [HUGE, 30, 8]}, "at most 67,108,864 cells"),
        ({"shape": [40, 30]}, "expected a list of three sizes"),
        ({"shape": [40.5, 30, 8]}, "whole numbers"),
        ({"shape": [40, 30, 1]}, "of at least 2"),
        ({"shape": "480"}, "expected a list of three sizes"),
        ({"rho_range": [0, 1e999]}, "without the facts"),  # JSON has no infinity
        ({"z_range": [2.0, -4.0]}, "the first must be below the second"),
        ({"z_range": [-4, 10**30]}, "up to 10000"),
        ({"z_range": [False, True]}, "z_range"),
        ({"cells": [1]}, "unknown grid setting 'cells'"),
        ({"kind": "spherical"}, "grid kind is 'spherical': expected one of"),
        ({"kind": ["cylindrical"]}, "grid kind is ['cylindrical']"),
    ],
)
def test_impossible_grids_are_refused(saved, grid, message):
    with_facts(saved, lambda facts: facts["model"]["grid"].update(grid))
    assert message in refusal(saved)


def test_a_grid_of_earlier_headers_is_cylindrical_with_rings_of_one_width(saved):
    grid = load_model(saved)[0].grid
    assert read_facts(saved)["model"]["grid"] == json.loads(json.dumps(grid.settings()))
    with_facts(saved, lambda facts: [facts["model"]["grid"].pop(name) for name in ("kind", "radial")])
    assert load_model(saved)[0].grid == grid


def test_a_progressive_grid_travels_with_the_weights(tmp_path):
    grid = {"shape": (12, 30, 8), "rho_range": (1, 50), "radial": "progressive", "first_cell": 0.2}
    model = build_model({**TINY, "grid": grid})
    save_weights(tmp_path / "weights.safetensors", model)
    assert load_model(tmp_path / "weights.safetensors")[0].grid == model.grid
    with_facts(tmp_path / "weights.safetensors", lambda facts: facts["model"]["grid"].pop("first_cell"))
    assert "grid in its header lacks first_cell" in refusal(tmp_path / "weights.safetensors")


def test_a_missing_setting_is_not_replaced_by_a_default(saved):
    with_facts(saved, lambda facts: [facts["model"].pop(name) for name in ("grid", "kernels")])
    assert "lacks model settings: kernels, grid" in refusal(saved)


def test_settings_that_do_not_fit_the_tensors_are_refused_before_anything_is_built(saved):
    with_facts(saved, lambda facts: facts["model"].update(width=128))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match="does not fit the network"):
        load_model(saved)  # 3.6 GB, were it built
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("text", ["", "[]", "3", '"model"', "{", '{"model": 3}', '{"model": {}}', "[" * 100_000])
def test_facts_that_are_no_facts_are_refused(saved, text):
    save_file(load_file(saved), saved, metadata={"pvd": text})
    assert "facts" in refusal(saved)


def test_a_file_of_another_program_is_refused(saved):
    save_file(load_file(saved), saved)
    assert "without the facts of a model" in refusal(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: b"", "is empty"),
        (lambda whole: whole[:5], "not a whole safetensors file"),
        (lambda whole: whole[:1000], "bytes and more are missing"),
        (lambda whole: whole[:-1], "not a whole safetensors file"),
        (lambda whole: whole + b"\0", "not a whole safetensors file"),
        (lambda whole: bytes(1000), "not a whole safetensors file"),
        (lambda whole: struct.pack("<Q", 2**60) + whole[8:], "not a whole safetensors file"),
        (
            lambda whole: b"version https://git-lfs.github.com/spec/v1\n",
            "not the file itself; fetch that with: git lfs pull",
        ),
        (lambda whole: b"version 7 of my weights\n", "is a text file that begins with"),
        (lambda whole: b"\x80\x02}q\x00.", "a pickled checkpoint"),
        (lambda whole: b"PK\x03\x04" + bytes(100), "`pvd convert` turns official ones into weights"),
    ],
)
def test_files_of_other_kinds_and_cut_ones_are_named_for_what_they_are(saved, content, message):
    saved.write_bytes(content(saved.read_bytes()))
    assert message in refusal(saved)


def test_missing_files_and_folders_are_told_apart(tmp_path, tiny_model):
    with pytest.raises(WeightsError, match=r"none\.safetensors: does not exist"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match=r"holds no weights: expected best\.safetensors"):
        load_model(tmp_path)
    with pytest.raises(WeightsError, match="is no regular file"):
        read_facts("/dev/null")


def test_run_folder_without_best_weights_names_the_file_that_can_be_given(tmp_path, saved):
    last = saved.rename(tmp_path / "last.safetensors")
    with pytest.raises(WeightsError, match=rf"holds no best\.safetensors, .* give the file itself, {last}$"):
        read_facts(tmp_path)
    assert read_facts(last)


def test_the_folder_of_a_run_stands_for_its_best_weights(tmp_path, tiny_model):
    save_weights(tmp_path / "best.safetensors", tiny_model, {"seed": 5})
    assert read_facts(tmp_path)["seed"] == load_model(tmp_path)[1]["seed"] == 5


@pytest.mark.parametrize("num_bytes_from_end", [3, 5000])
def test_a_flipped_bit_in_the_tensors_is_noticed(saved, num_bytes_from_end):
    content = bytearray(saved.read_bytes())
    content[-num_bytes_from_end] ^= 1
    saved.write_bytes(content)
    with pytest.raises(WeightsError, match="have changed since they were written"):
        load_model(saved)


def test_tensors_of_the_same_shape_that_changed_places_are_noticed(saved):
    whole, state = read_metadata(saved), load_file(saved)
    names = [name for name in state if name.endswith("running_mean") and state[name].shape == (8,)]
    state[names[0]], state[names[1]] = state[names[1]] + 1, state[names[0]]
    save_file(state, saved, metadata=whole)
    with pytest.raises(WeightsError, match="have changed since they were written"):
        load_model(saved)


def test_a_change_of_the_facts_is_noticed(saved):
    metadata = read_metadata(saved)
    metadata["pvd"] = metadata["pvd"].replace("50.0", "51.0")
    save_file(load_file(saved), saved, metadata=metadata)
    with pytest.raises(WeightsError, match="have changed since they were written"):
        load_model(saved)


def read_metadata(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])["__metadata__"]


def test_variances_below_zero_and_numbers_of_another_kind_are_refused(saved):
    state = load_file(saved)
    state["point_mlp.in_norm.running_var"][0] = -1
    state["head.conv.bias"] = state["head.conv.bias"].to(torch.int64)
    save_file(state, saved, metadata={"pvd": json.dumps(read_facts(saved))})
    with pytest.raises(WeightsError, match=r"head\.conv\.bias: the file holds whole numbers"):
        load_model(saved)
    state["head.conv.bias"] = state["head.conv.bias"].double()
    save_file(state, saved, metadata={"pvd": json.dumps(read_facts(saved))})
    with pytest.raises(WeightsError, match=r"running_var: holds variances below 0"):
        load_model(saved)


def test_weights_say_what_they_expect_of_a_cloud(saved):
    assert read_facts(saved)["expected_cloud"] == {
        "axes": "x forward, y left, z up",
        "sensor_height_m": 1.73,
        "intensity_range": [0.0, 1.0],
        "intensity_95th": 0.4,
    }
    with_facts(saved, lambda facts: facts.pop("expected_cloud"))
    assert expected_cloud(read_facts(saved)) == ExpectedCloud()
    with_facts(saved, lambda facts: facts.update(expected_cloud={"sensor_height_m": 2.1}))
    _, facts = load_model(saved)
    assert expected_cloud(facts).sensor_height_m == 2.1
    assert "about 2.1 m above the ground" in str(expected_cloud(facts))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"axes": "x right, y forward, z up"}, "the only ones this version labels"),
        ({"sensor_height_m": -1}, "sensor_height_m is -1"),
        ({"intensity_range": [1, 0]}, "the smaller one first"),
        ({"colour": "red"}, "unknown config key 'expected_cloud.colour'"),
        ([1], "expected_cloud is [1]"),
    ],
)
def test_expectations_that_cannot_be_met_are_refused(saved, values, message):
    with_facts(saved, lambda facts: facts.update(expected_cloud=values))
    assert message in refusal(saved)


def test_a_network_of_other_classes_than_the_file_would_name_is_not_saved(tmp_path, tiny_model):
    with pytest.raises(ValueError, match="26 classes, but 20 have names"):
        save_weights(tmp_path / "w.safetensors", build_model({**TINY, "num_classes": 26}))
    with pytest.raises(ValueError, match="20 classes, but 26 have names"):
        save_weights(tmp_path / "w.safetensors", tiny_model, {"taxonomy": "semantickitti-multiscan"})
    with pytest.raises(UserError, match="unknown taxonomy 'nuscenes'"):
        save_weights(tmp_path / "w.safetensors", tiny_model, {"taxonomy": "nuscenes"})


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=lambda taxonomy: taxonomy.name)
def test_a_file_names_its_taxonomy_and_its_classes(tmp_path, taxonomy):
    model = build_model({**TINY, "num_classes": taxonomy.num_classes})
    save_weights(tmp_path / "w.safetensors", model, {"taxonomy": taxonomy.name})

    _, facts = load_model(tmp_path / "w.safetensors")

    assert (facts["taxonomy"], tuple(facts["classes"])) == (taxonomy.name, taxonomy.names)
    assert taxonomy_of(facts) == taxonomy


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"taxonomy": "cityscapes"}, "unknown taxonomy 'cityscapes'; known taxonomies are semantickitti"),
        ({"taxonomy": None}, "taxonomy is null: expected one of semantickitti, semantickitti-multiscan"),
        ({"taxonomy": "semantickitti-multiscan"}, "there are 20 class names"),
        (
            {"taxonomy": "semantickitti-multiscan", "classes": SEMANTICKITTI_MULTISCAN.names},
            "scores for 20 classes, but 26 have names: the 25 of SemanticKITTI's multi-scan task",
        ),
        ({"classes": SEMANTICKITTI_MULTISCAN.names}, "there are 26 class names"),
    ],
)
def test_a_taxonomy_that_is_unknown_or_does_not_fit_is_refused(saved, facts, message):
    with_facts(saved, lambda of_file: of_file.update(facts))
    assert message in refusal(saved)


def test_files_of_earlier_versions_have_the_classes_of_semantickitti(saved):
    with_facts(saved, lambda facts: facts.pop("taxonomy"))
    _, facts = load_model(saved)
    assert facts["taxonomy"] == "semantickitti"


def test_the_shipped_weights_of_earlier_versions_load():
    model, facts = load_model(default_weights())
    assert model.config.num_classes == len(facts["classes"])
    assert taxonomy_of(facts) == SEMANTICKITTI
