"""Layers of one scan: the colours of its points by input, truth, predictions and errors.

N points. Colours are RGB float64 (N, 3) in 0..1, labels class ids, any integer type (N,).
"""

from collections.abc import Mapping

import numpy as np

from pvd_cli.picture import class_colours, input_colours
from pvd_core.taxonomy import Taxonomy

# White is no class's colour; red is that of persons and traffic signs.
_WRONG, _RIGHT, _UNKNOWN = np.array([(1.0, 1.0, 1.0), (0.30, 0.36, 0.42), (0.16, 0.18, 0.20)])
ERROR_LEGEND = {"wrong": _WRONG, "right": _RIGHT, "truth unknown": _UNKNOWN}
_DIMMED = 0.12


def layers_of(
    points: np.ndarray, truth: np.ndarray | None, predictions: Mapping[str, np.ndarray], taxonomy: Taxonomy
) -> dict[str, np.ndarray]:
    """{name of the layer: colours} of a scan: input, truth, and for each of `predictions` its labels and its errors.

    points: float32 (N, 4). truth: labels, or None if they are unknown; then there are no layers of truth and errors.
    predictions: {name of the network: labels}.
    """
    layers = {"input": input_colours(points)}
    if truth is not None:
        layers["truth"] = class_colours(truth, taxonomy)
    for name, labels in predictions.items():
        layers[name] = class_colours(labels, taxonomy)
        if truth is not None:
            layers[f"{name}: errors"] = error_colours(labels, truth)
    return layers


def error_colours(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """White where the label is wrong, grey where it is right, dark where the truth is class 0 (unlabelled)."""
    colours = np.tile(_RIGHT, (len(labels), 1))
    colours[labels != truth] = _WRONG
    colours[truth == 0] = _UNKNOWN
    return colours


def only_class(
    colours: np.ndarray, class_id: int, truth: np.ndarray | None, predictions: Mapping[str, np.ndarray]
) -> np.ndarray:
    """`colours`, but dimmed for points that are of the class neither in the truth nor in any of `predictions`."""
    sources = [labels for labels in (truth, *predictions.values()) if labels is not None]
    if not sources:
        return colours
    is_shown = np.any([labels == class_id for labels in sources], axis=0)
    return np.where(is_shown[:, None], colours, colours * _DIMMED)


def class_names_of(truth: np.ndarray | None, predictions: Mapping[str, np.ndarray], taxonomy: Taxonomy) -> list[str]:
    """Names of the classes in the truth or in any of `predictions`, in the order of their ids."""
    sources = [labels for labels in (truth, *predictions.values()) if labels is not None]
    present: list[int] = np.unique(np.concatenate(sources)).tolist() if sources else []
    return [taxonomy.names[class_id] for class_id in present if class_id]
