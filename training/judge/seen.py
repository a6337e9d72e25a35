"""Which scans weights have seen: in their own training, and in that of the weights that they come from."""

import json
from collections.abc import Iterable
from typing import Any

from training.data.dataset import ScanFolder


def seen_data(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """What the header of a weights file says about the scans of each training: its own and those of its ancestors.

    `facts`: as `read_facts` gives them. Ancestors are the weights that a training starts from, its teacher, and the
    ancestors of both. Each item has "dataset" (name of its folder) and "sequences"; equal ones come once.
    """
    found = [facts.get("training_data"), *facts.get("ancestors", ())]
    # Converted checkpoints say nothing, and facts may hold a sentence instead.
    return _distinct(data for data in found if isinstance(data, dict))


def seen_by_ancestors(ancestors: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a weights file says under "ancestors", from the facts of the weights that its training took."""
    return _distinct(data for facts in ancestors for data in seen_data(facts))


def seen_sequences(facts: dict[str, Any], folder: ScanFolder) -> list[str]:
    """Those sequences of `folder` that weights with these facts have seen."""
    # Sequences of other data sets have the same numbers, so the name of the data set has to match too.
    name = folder.root.resolve().name
    of_this_data = [data for data in seen_data(facts) if data.get("dataset") == name]
    seen = {sequence for data in of_this_data for sequence in data.get("sequences", ())}
    return [sequence for sequence in folder.sequences if sequence in seen]


def _distinct(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(item, sort_keys=True): item for item in items}.values())
