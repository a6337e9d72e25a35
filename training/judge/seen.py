"""Which scans weights have seen: in their own training, and in that of the weights that they come from."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pvd_core.weights.confidence import CONFIDENCE_KEY
from training.data.dataset import ScanFolder


def seen_data(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """What the header of a weights file says about the scans of each training: its own and those of its ancestors.

    `facts`: as `read_facts` gives them. Ancestors are the weights that a training starts from, its teacher, and the
    ancestors of both; scans on which `pvd balance` chose its shifts and `pvd without-intensity` measured its statistics
    count too, and so does what a data set is made of. Each item has "dataset" (name of its folder) and "sequences";
    equal ones come once.
    """
    ancestors = facts.get("ancestors")
    found = [facts.get("training_data"), *(ancestors if isinstance(ancestors, list) else ())]
    taken = [facts[name] for name in ("balance", "without_intensity") if isinstance(facts.get(name), dict)]
    found += [{key: each[key] for key in ("dataset", "sequences") if key in each} for each in taken]
    # Converted checkpoints say nothing, and facts may hold a sentence instead.
    return _distinct(part for data in found for part in _with_parts(data))


def _with_parts(data: Any) -> Iterator[dict[str, Any]]:
    """A data set, and those that it is made of; nothing for what is none."""
    if isinstance(data, dict):
        yield {key: data[key] for key in data if key != "made_of"}
        made_of = data.get("made_of")
        for part in made_of if isinstance(made_of, list) else ():
            yield from _with_parts(part)


def seen_by_ancestors(ancestors: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a weights file says under "ancestors", from the facts of the weights that its training took."""
    return _distinct(data for facts in ancestors for data in seen_data(facts))


def seen_sequences(facts: dict[str, Any], folder: ScanFolder) -> list[str]:
    """Those sequences of `folder` that weights with these facts have seen."""
    return _among(folder, seen_data(facts))


def calibrated_on(facts: dict[str, Any], folder: ScanFolder) -> list[str]:
    """Those sequences of `folder` on which `pvd calibrate` fitted the temperature of weights with these facts. It
    changes no label, so they are not seen in the sense above; only confidences are better there than elsewhere."""
    calibration = facts.get(CONFIDENCE_KEY)
    fitted_on = calibration.get("fitted_on") if isinstance(calibration, dict) else None
    return _among(folder, [fitted_on] if isinstance(fitted_on, dict) else [])


def _among(folder: ScanFolder, seen: Iterable[dict[str, Any]]) -> list[str]:
    # Sequences of other data sets have the same numbers, so the name of the data set has to match too.
    name = folder.root.resolve().name
    found = {sequence for data in seen if data.get("dataset") == name for sequence in _sequences(data)}
    return [sequence for sequence in folder.sequences if sequence in found]


def described(seen: Iterable[dict[str, Any]]) -> str:
    """A sentence on what `seen_data` gave, for whoever reads a score."""
    of_dataset: dict[str, set[str]] = {}
    for data in seen:
        of_dataset.setdefault(str(data.get("dataset")), set()).update(_sequences(data))
    if not of_dataset:
        return "the weights file does not say what it was trained on"
    parts = [f"{name} {', '.join(sorted(sequences))}".strip() for name, sequences in of_dataset.items()]
    return f"the weights, or weights that they come from, were trained on: {'; '.join(parts)}"


def _sequences(data: dict[str, Any]) -> list[str]:
    found = data.get("sequences")
    return [str(name) for name in found] if isinstance(found, list) else []


def _distinct(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(item, sort_keys=True): item for item in items}.values())
