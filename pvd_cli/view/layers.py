"""Colours of one scan, layer by layer. N points; colours are RGB float64 (N, 3) in 0..1."""

import numpy as np

from pvd_cli.picture import class_colours, input_colours
from pvd_core.taxonomy import CLASS_NAMES

_RIGHT, _WRONG, _UNKNOWN = (0.45, 0.50, 0.55), (1.0, 0.16, 0.16), (0.18, 0.20, 0.23)
_DIMMED = 0.12


def layers_of(points, truth, predictions):
    """{layer: colours} of a scan: input, truth, and each of `predictions`, {name: class ids (N,)}, with its errors.

    `points` float32 (N, 4); `truth` class ids (N,) or None, without which there are no errors to show.
    """
    layers = {"input": input_colours(points)}
    if truth is not None:
        layers["truth"] = class_colours(truth)
    for name, labels in predictions.items():
        layers[name] = class_colours(labels)
        if truth is not None:
            layers[f"{name}: errors"] = error_colours(labels, truth)
    return layers


def error_colours(labels, truth):
    """Red where a labelled point is labelled wrong, grey where right, dark where the truth says nothing."""
    colours = np.tile(_RIGHT, (len(labels), 1))
    colours[labels != truth] = _WRONG
    colours[truth == 0] = _UNKNOWN
    return colours


def only_class(colours, class_id, truth, predictions):
    """`colours` with every point dimmed that neither the truth nor a prediction gives the class."""
    sources = [labels for labels in (truth, *predictions.values()) if labels is not None]
    if not sources:
        return colours
    is_shown = np.any([labels == class_id for labels in sources], axis=0)
    return np.where(is_shown[:, None], colours, colours * _DIMMED)


def class_names_of(truth, predictions):
    """Names of the classes that occur, in the order of their ids."""
    sources = [labels for labels in (truth, *predictions.values()) if labels is not None]
    present = np.unique(np.concatenate(sources)) if sources else []
    return [CLASS_NAMES[class_id] for class_id in present if class_id]
