"""A student that starts as a slice of its teacher."""

import pytest
import torch
from tiny_dataset import TINY_MODEL

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from training.distil.slicing import sliced_state


@pytest.fixture
def teacher():
    torch.manual_seed(1)
    return build_model({**TINY_MODEL, "width": 6, "num_voxel_features": 5})


def test_slice_of_a_teacher_holds_the_first_channels_of_every_layer(teacher):
    student = build_model(TINY_MODEL)
    state = sliced_state(teacher, student)
    student.load_state_dict(state)
    first = "backbone.stem.branch_a.0.conv.weight"
    assert torch.equal(state[first], teacher.state_dict()[first][:, :4, :4])
    # The classifier reads two halves of 2s channels: each half of the student's comes from the teacher's half.
    wide = teacher.state_dict()["head.conv.weight"]
    assert torch.equal(state["head.conv.weight"], torch.cat((wide[:, :8], wide[:, 12:20]), dim=1))


def test_slice_of_a_narrower_teacher_is_refused(teacher):
    with pytest.raises(UserError, match="a slice is the first channels of a wider network"):
        sliced_state(teacher, build_model({**TINY_MODEL, "width": 8}))
