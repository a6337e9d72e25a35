"""The mean of several weights of one network, such as those of trainings with other seeds from one start ("model
soups", Wortsman et al., ICML 2022): one network that mostly knows as much as the best of them.

    python scripts/average_weights.py runs/seed41 runs/seed51 --out mean.safetensors

Its confidences and what it does without intensity are to be measured anew: `pvd without-intensity`, `pvd calibrate`.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from pvd_cli.new_weights import check_new_weights
from pvd_core.borders.errors import UserError
from pvd_core.models import Network
from pvd_core.models.build import model_facts
from pvd_core.weights import load_model, save_weights
from pvd_core.weights.facts import DISTILLED_KEY, TAXONOMY_KEY
from pvd_core.weights.source import check_different
from training.judge.seen import seen_by_ancestors

# Facts of one training that do not hold of the mean of several.
_OF_ONE = ("validation", "confidence", "balance", "without_intensity", "seed")


def average(paths: list[Path]) -> tuple[Network, dict[str, Any]]:
    """(the network with the mean of each tensor, its facts: those of the first file that hold of all, and what all have
    seen). UserError for fewer than two files, the same file twice, and other networks, classes or teachers."""
    if len(paths) < 2:
        raise UserError(f"one weights file has no mean: {', '.join(map(str, paths))}; name two or more")
    check_different(paths)
    networks, facts = zip(*map(load_model, paths), strict=True)
    for path, network, about in zip(paths[1:], networks[1:], facts[1:], strict=True):
        same = (model_facts(network), about[TAXONOMY_KEY]) == (model_facts(networks[0]), facts[0][TAXONOMY_KEY])
        if not same or about.get(DISTILLED_KEY) != facts[0].get(DISTILLED_KEY):
            raise UserError(f"{path} and {paths[0]} have other networks, classes or teachers: a mean of them is none")
    states = [network.state_dict() for network in networks]
    mean = {name: torch.stack([state[name].double() for state in states]).mean(0) for name in states[0]}
    networks[0].load_state_dict({name: tensor.to(states[0][name].dtype) for name, tensor in mean.items()})
    networks[0].bare_statistics = None
    kept = {key: value for key, value in facts[0].items() if key not in _OF_ONE}
    # As "seed" of the top level, that of one file.
    kept["training_config"] = {key: value for key, value in kept.get("training_config", {}).items() if key != "seed"}
    averaged = [
        {"file": path.name, "seed": about.get("seed"), "step": about.get("step")}
        for path, about in zip(paths, facts, strict=True)
    ]
    return networks[0], {**kept, "ancestors": seen_by_ancestors(facts), "averaged": averaged}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", type=Path, help="weights files, or folders of training runs")
    parser.add_argument("--out", type=Path, required=True, help="weights to write (.safetensors)")
    arguments = parser.parse_args()
    try:
        check_new_weights(arguments.out)
        save_weights(arguments.out, *average(arguments.weights))
    except UserError as error:
        raise SystemExit(f"average_weights: {error}") from error
    print(f"wrote {arguments.out}, the mean of {len(arguments.weights)}")


if __name__ == "__main__":
    main()
