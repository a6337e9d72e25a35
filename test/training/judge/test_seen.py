"""What a weights file says of all trainings behind it: its own, and those of start, teacher, balance and the
statistics without intensity."""

import json

import pytest
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_cli.main import run
from pvd_core.weights import read_facts
from training.judge.seen import described, seen_data
from training.run.config import load_config
from training.run.loop import train

pytestmark = pytest.mark.usefixtures("without_curves")


@pytest.fixture(scope="module")
def chain(tmp_path_factory, without_curves):
    """(data set, weights at the end of: train on 01, teach a student on 02, balance on 03, balance on 04, measure
    without intensity on 05 and on 06, fine-tune on 00)."""
    root = tmp_path_factory.mktemp("chain")
    data = write_dataset(root / "drive", {"00": 1, "01": 1, "02": 1, "03": 1, "04": 1, "05": 2, "06": 2, "08": 1})

    def trained(name, sequence, *overrides):
        base = [f"dataset={data}", f"model={json.dumps(TINY_MODEL)}", "num_threads=1", "max_steps=1"]
        config = load_config(None, [*base, f"sequences=['{sequence}']", *overrides])
        return train(config, root / name)["last_weights"]

    def changed(command, sequence, weights):
        out = root / f"{sequence}.safetensors"
        line = [command, data, "--weights", weights, "--split", sequence, "--out", out, "--device", "cpu"]
        assert run([str(word) for word in line]) == 0
        return out

    teacher = trained("teacher", "01")
    student = trained("student", "02", f"distillation.teacher={teacher}", "distillation.method=kd")
    balanced = changed("balance", "04", changed("balance", "03", student))
    both = changed("without-intensity", "06", changed("without-intensity", "05", balanced))
    return data, trained("tuned", "00", f"initial_weights={both}")


def test_no_training_is_forgotten_through_teacher_balances_and_fine_tuning(chain):
    _, weights = chain
    seen = {sequence for data in seen_data(read_facts(weights)) for sequence in data["sequences"]}
    assert seen == {"00", "01", "02", "03", "04", "05", "06"}


def test_evaluation_says_so_in_words(chain, capsys):
    data, weights = chain
    assert run(["evaluate", str(data), "--weights", weights, "--split", "03,08"]) == 0
    captured = capsys.readouterr()
    assert "were trained on: drive 00, 01, 02, 03, 04, 05, 06" in captured.out
    assert f"note: 03 of {data} among them: this is no score on unseen scans" in captured.err


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"training_data": "a sentence", "ancestors": 3, "balance": [], "without_intensity": 1},
        {"training_data": None, "ancestors": ["x", None], "balance": "x"},
    ],
)
def test_header_that_says_nothing_usable_is_said_to_say_nothing(facts):
    assert "does not say" in described(seen_data(facts))


def test_what_a_data_set_is_made_of_was_seen_however_deep_it_lies():
    simulated = {"dataset": "simulated", "sequences": ["00"]}
    own = {"dataset": "own", "sequences": ["00"], "made_of": [{"dataset": "kitti", "sequences": ["02"]}]}
    facts = {"training_data": {"dataset": "mine", "sequences": ["01"], "made_of": [own, simulated]}}
    assert [data["dataset"] for data in seen_data(facts)] == ["mine", "own", "kitti", "simulated"]


@pytest.mark.parametrize("parts", [5, "kitti", [3, None], {"dataset": "kitti"}])
def test_parts_that_are_no_list_of_data_sets_are_not_taken_for_some(parts):
    assert seen_data({"training_data": {"dataset": "own", "made_of": parts}}) == [{"dataset": "own"}]


def test_sequences_that_are_no_list_are_not_taken_for_some():
    assert described([{"dataset": "d", "sequences": 7}]).endswith("were trained on: d")
