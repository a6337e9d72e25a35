"""Means of weights of one network, between those of an earlier and a later stage of a training: the later ones know their
training data better, the earlier ones may serve better elsewhere, and a mean often has the best of both.

    python scripts/average_weights.py EARLIER.safetensors LATER.safetensors MEAN.safetensors [--share 0.5]
"""

import argparse
import sys

from pvd_core.errors import UserError
from pvd_core.weights import load_model, save_weights


def averaged(earlier_path, later_path, share):
    """(model, facts) with `share` of the later weights, running statistics included. UserError for other networks."""
    (model, earlier_facts), (later, facts) = load_model(earlier_path), load_model(later_path)
    state, later_state = model.state_dict(), later.state_dict()
    shapes, later_shapes = ({name: value.shape for name, value in each.items()} for each in (state, later_state))
    if model.config != later.config or shapes != later_shapes:
        raise UserError(f"{earlier_path} and {later_path} hold different networks: expected two stages of one training")
    for name, value in state.items():
        if value.is_floating_point():
            value.lerp_(later_state[name], share)
    mean_of = {"share_of_later": share, "earlier_step": earlier_facts.get("step"), "later_step": facts.get("step")}
    # What was validated were the later weights, not their mean.
    return model, {**{key: value for key, value in facts.items() if key != "validation"}, "mean_of": mean_of}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("earlier")
    parser.add_argument("later")
    parser.add_argument("mean")
    parser.add_argument("--share", type=float, default=0.5, help="of the later weights, 0 to 1")
    options = parser.parse_args(arguments)
    if not 0 <= options.share <= 1:
        parser.error(f"--share is {options.share}: expected 0 to 1")
    try:
        model, facts = averaged(options.earlier, options.later, options.share)
        save_weights(options.mean, model, facts)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {options.mean}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
