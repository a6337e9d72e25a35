"""Scans of one data set, mixed with those of another."""

import numpy as np
import pytest
from tiny_dataset import write_dataset

from pvd_core.borders.errors import UserError
from training.data.dataset import ScanFolder
from training.data.folder_stream import FolderStream
from training.data.mix import MixingConfig
from training.data.partner_stream import PartnerStream
from training.run.config import load_config


def stream_of(root, seed=0):
    folder = ScanFolder(root, "train")
    return FolderStream(folder, folder.evenly_spaced(), seed)


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    own = write_dataset(tmp_path_factory.mktemp("data") / "own", {"00": 2, "08": 1})
    others = write_dataset(tmp_path_factory.mktemp("data") / "simulated", {"01": 3, "08": 1})
    return stream_of(own), stream_of(others)


def test_scans_are_the_own_ones_and_what_is_mixed_in_is_of_the_other_data_set(streams):
    own, partners = streams
    both = PartnerStream(own, partners)
    assert both.num_scans() == 2
    for position in range(5):
        assert np.array_equal(both.scan(position).points, own.scan(position).points)
        assert both.identity(position) == own.identity(position)
        drawn = both.partner(position, np.random.default_rng(position)).points
        assert np.array_equal(drawn, partners.partner(position, np.random.default_rng(position)).points)
        assert both.objects(position) is partners.objects(position)


def test_counts_facts_and_fingerprint_are_of_both(streams):
    own, partners = streams
    both = PartnerStream(own, partners)
    assert np.array_equal(both.class_counts(), own.class_counts() + partners.class_counts())
    assert both.facts()["dataset"] == "own"
    assert [each["dataset"] for each in both.facts()["made_of"]] == ["simulated"]
    assert own.describe() in both.describe()
    assert partners.describe() in both.describe()
    other_way = PartnerStream(partners, own)
    assert len({stream.fingerprint() for stream in (own, partners, both, other_way)}) == 4


def test_partners_without_mixing_are_refused():
    with pytest.raises(UserError, match="nothing is mixed"):
        MixingConfig(partners="data")


@pytest.mark.parametrize("setting", ["scans.past=1", "data=simulated"])
def test_partners_are_for_single_scans_of_a_folder(setting):
    words = ["dataset=x", "mixing.partners=data", "mixing.laser_mix=0.5", "max_steps=1", setting]
    with pytest.raises(UserError, match=r"mixing\.partners are single scans"):
        load_config(None, words)
