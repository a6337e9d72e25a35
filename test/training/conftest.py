"""What tests of the training share."""

from unittest import mock

import pytest


@pytest.fixture(scope="module")
def without_curves():
    """Trainings in this process end without a picture of their curves, which takes as long as some ten steps."""
    with mock.patch("training.run.loop.draw_curves"):
        yield
