"""Official checkpoints: which are converted, and what is said of those of other tasks, layouts and networks."""

import numpy as np
import pytest
import torch
from official_checkpoint import official_checkpoint

from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN
from pvd_core.weights import load_model, save_weights
from pvd_core.weights.convert import LAYOUTS, convert_checkpoint


@pytest.fixture
def convert(tmp_path):
    """A function that converts a state_dict, or the bytes of a file, to tmp_path/ours.safetensors."""

    def converted(content, layout="spconv1", kernels="as_trained", dataset="semantickitti"):
        path = tmp_path / "official.pt"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        return convert_checkpoint(path, tmp_path / "ours.safetensors", layout, kernels, dataset)

    return converted


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_converted_file_names_its_classes_and_its_data_set(convert, tmp_path, layout):
    convert(official_checkpoint(layout=layout), layout)
    _, facts = load_model(tmp_path / "ours.safetensors")
    assert tuple(facts["classes"]) == SEMANTICKITTI.names
    assert facts["taxonomy"] == "semantickitti"
    assert "past_scans" not in facts
    assert (facts["dataset"], facts["layout"], facts["converted_from"]) == ("semantickitti", layout, "official.pt")


def test_a_checkpoint_of_the_multi_scan_task_labels_its_25_classes(convert, tmp_path):
    convert(official_checkpoint(26), dataset="semantickitti-multiscan")
    segmenter = Segmenter.from_weights(tmp_path / "ours.safetensors", device="cpu")
    segmenter.model.label_layer.bias.data[24] = 1e6

    labels = segmenter.segment(np.ones((3, 4), np.float32)).labels

    assert segmenter.taxonomy == SEMANTICKITTI_MULTISCAN
    assert segmenter.past_scans == PastScans(2)
    assert [segmenter.taxonomy.names[label] for label in labels] == ["moving-other-vehicle"] * 3


@pytest.mark.parametrize(
    ("num_classes", "task"),
    [
        (17, "checkpoints of nuscenes"),
        (26, "checkpoints of semantickitti-multiscan"),
        (23, "waymo"),
        (12, "12 classes"),
    ],
)
def test_checkpoints_of_other_tasks_are_refused_by_name_and_nothing_is_written(convert, tmp_path, num_classes, task):
    with pytest.raises(UserError) as caught:
        convert(official_checkpoint(num_classes, num_point_features=4))
    assert task in str(caught.value)
    assert f"scores for {num_classes} classes" in str(caught.value)
    assert "those of semantickitti have 20" in str(caught.value)
    assert ("give --dataset semantickitti-multiscan" in str(caught.value)) == (num_classes == 26)
    assert not (tmp_path / "ours.safetensors").exists()


def test_data_sets_that_are_known_but_not_supported_are_told_from_unknown_ones(convert):
    with pytest.raises(
        UserError, match=r"checkpoints of nuscenes are not supported yet: their 16 classes and their grid"
    ):
        convert(official_checkpoint(17), dataset="nuscenes")
    with pytest.raises(
        UserError, match=r"scores for 20 classes.*those of semantickitti-multiscan have 26: give --data"
    ):
        convert(official_checkpoint(), dataset="semantickitti-multiscan")
    with pytest.raises(UserError, match="did you mean 'semantickitti'"):
        convert(official_checkpoint(), dataset="semantickity")


@pytest.mark.parametrize(("stored", "given"), [LAYOUTS, LAYOUTS[::-1]])
def test_the_wrong_layout_is_told_with_the_right_one(convert, stored, given):
    with pytest.raises(UserError, match=f"they are there in layout {stored}"):
        convert(official_checkpoint(layout=stored), given)


def test_kernels_of_another_network_are_refused(convert):
    state = official_checkpoint()
    name = "cylinder_3d_spconv_seg.downCntx.conv1.weight"
    state[name] = state[name].transpose(0, 1).contiguous()  # 3x1x3, where the official one has 1x3x3
    with pytest.raises(UserError, match=r"kernel extents \(1, 3, 3\) were expected first"):
        convert(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update({5: torch.zeros(2)}), "found Tensor for 5"),
        (lambda state: state.update({"epoch": 7}), "found int for 'epoch'"),
        (lambda state: state.update({"x": torch.zeros(2, 2).to_sparse()}), "found Tensor for 'x'"),
        (lambda state: state.update({"head.weight": torch.zeros(2)}), "unexpected tensor head.weight"),
        (lambda state: state.pop("cylinder_3d_spconv_seg.logits.bias"), "no tensor for head.conv.bias"),
        (lambda state: state.update({"cylinder_3d_spconv_seg.logits.bias": torch.tensor(0.0)}), "a single number"),
        (lambda state: state.pop("cylinder_3d_generator.PPmodel.0.weight"), "missing point_mlp.in_norm.weight"),
        (
            lambda state: state.update({"cylinder_3d_spconv_seg.downCntx.bn0.weight": torch.zeros(100_000)}),
            "width is 100000: expected a whole number from 1 to 128",
        ),
        (
            lambda state: state.update({"cylinder_3d_spconv_seg.logits.bias": torch.zeros(20, dtype=torch.int64)}),
            "the file holds whole numbers, the network expects floating-point numbers",
        ),
        (
            lambda state: state.update(
                {"cylinder_3d_spconv_seg.logits.bias": torch.full((20,), 1e300, dtype=torch.float64)}
            ),
            "not finite",
        ),
    ],
)
def test_what_does_not_belong_to_the_network_is_named(convert, tmp_path, change, message):
    state = official_checkpoint()
    change(state)
    with pytest.raises(UserError) as caught:
        convert(state)
    assert message in str(caught.value)
    assert "official.pt" in str(caught.value)
    assert not (tmp_path / "ours.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x80\x02]q\x00.", b"\x80\x02cos\nsystem\n."])
def test_files_that_are_no_checkpoint_are_refused(convert, content):
    with pytest.raises(UserError, match=r"official\.pt"):
        convert(content)


def test_a_pointer_of_git_lfs_is_no_checkpoint_and_says_so(convert):
    with pytest.raises(UserError, match="git lfs pull"):
        convert(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


def test_a_folder_a_missing_file_and_our_own_format_are_named(tmp_path, tiny_model):
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "none.pt", "does not exist")):
        with pytest.raises(UserError, match=message):
            convert_checkpoint(path, tmp_path / "o.safetensors", "spconv1", "as_trained")
    save_weights(tmp_path / "ours.safetensors", tiny_model)
    with pytest.raises(UserError, match="in our format already"):
        convert_checkpoint(tmp_path / "ours.safetensors", tmp_path / "o.safetensors", "spconv1", "as_trained")


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_checkpoint_that_was_cut_off_is_said_to_be_cut_short(convert, tmp_path, share):
    torch.save(official_checkpoint(), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    cut = whole[: int(share * len(whole))]
    with pytest.raises(
        UserError, match=rf"official\.pt looks cut short: after its {len(cut):,} bytes .* download it again"
    ):
        convert(cut)
