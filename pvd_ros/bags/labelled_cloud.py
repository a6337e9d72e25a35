"""What a labelled cloud says of its points, and what a labelled bag says of its labels."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds.mounting import Mounting
from pvd_core.clouds.stream import CloudStream
from pvd_core.taxonomy import Taxonomy, taxonomy_named
from pvd_ros.bags.channel import BagError

RECORD = "pvd_labels"
"""Name of the metadata record."""
_DTYPES = {"label": (6, "u4"), "confidence": (7, "f4")}


class LabelFacts(NamedTuple):
    """The classes of the labels, and how the clouds were brought to what the network knows."""

    taxonomy: Taxonomy
    intensity_factor: float
    mounting: Mounting


def record_of(taxonomy: Taxonomy, stream: CloudStream) -> dict[str, str]:
    """The metadata record of a bag that was labelled with classes of `taxonomy`."""
    return {
        "taxonomy": taxonomy.name,
        "intensity_factor": repr(float(stream.factor)),
        "mounting": json.dumps(dataclasses.asdict(stream.mounting)),
    }


def facts_of(record: Mapping[str, str]) -> LabelFacts:
    """What the metadata record of a labelled bag says. UserError if it is none that this program writes."""
    try:
        mounting = Mounting(**json.loads(record["mounting"]))
        return LabelFacts(taxonomy_named(record["taxonomy"]), float(record["intensity_factor"]), mounting)
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"the record {RECORD} of the bag is not as `pvd label-bag` writes it: {error}") from error


def labels_of(cloud: Any) -> np.ndarray:
    """Class ids, uint32 (N,), of a labelled PointCloud2. BagError if it is none."""
    return _column(cloud, "label")


def confidence_of(cloud: Any) -> np.ndarray:
    """The confidence of each label, float32 (N,), of a labelled PointCloud2. BagError if it is none."""
    return _column(cloud, "confidence")


def _column(cloud: Any, name: str) -> np.ndarray:
    datatype, code = _DTYPES[name]
    fields = [field for field in cloud.fields if field.name == name]
    data = np.asarray(cloud.data)
    num_points = cloud.width * cloud.height
    is_packed = len(data) == num_points * cloud.point_step
    is_there = len(fields) == 1 and fields[0].datatype == datatype and fields[0].offset + 4 <= cloud.point_step
    if not (is_there and is_packed):
        has = ", ".join(field.name for field in cloud.fields)
        raise BagError(
            f"a cloud has no {name} as `pvd label-bag` and the node write it; its fields are {has or 'none'}: "
            "is it the topic of the labelled clouds?"
        )
    offset, order = fields[0].offset, ">" if cloud.is_bigendian else "<"
    rows = data.reshape(num_points, cloud.point_step)
    column = np.ascontiguousarray(rows[:, offset : offset + 4])
    return column.reshape(-1).view(order + code).astype(code, copy=False)
