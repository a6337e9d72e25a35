"""Inter-voxel affinity maps, side by side: what networks take for alike, and what is alike (PVD's figure).

V voxels of a supervoxel, sorted by class, so that an ideal map is white blocks on the diagonal.
"""

import matplotlib
import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.losses.affinity import affinity_matrix
from pvd_core.losses.supervoxels import SupervoxelPartition, class_factor, sampling_weights
from pvd_core.taxonomy import MINORITY_CLASSES
from pvd_core.voxels import majority_labels

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_MOST_VOXELS = 400


def save_affinity(path, scan, segmenters):
    """Writes the affinity maps of {name: Segmenter} on the hardest supervoxel of a ViewedScan, with the ideal one and
    each network's mean squared distance from it; returns `path`."""
    if scan.truth is None:
        raise UserError(f"{scan.name} has no labels beside it: the ideal affinity map needs them")
    maps, labels_V = {}, None
    for name, segmenter in segmenters.items():
        measured_N = is_measured(scan.points)
        batch = segmenter.batch_of(measured_points(scan.points, measured_N))
        truth_P = torch.from_numpy(scan.truth[measured_N].astype(np.int64)).to(segmenter.device)
        voxel_labels_V = majority_labels(truth_P, batch.point_to_voxel_P, batch.num_voxels)
        rows_V = _hardest_rows(batch, voxel_labels_V)
        features_VE = segmenter.run_network(batch).voxel_features_VE
        if labels_V is not None and not torch.equal(labels_V, voxel_labels_V[rows_V].cpu()):
            raise UserError(f"network {name} has another grid than the first: their voxels cannot be compared")
        labels_V = voxel_labels_V[rows_V].cpu()
        maps[name] = affinity_matrix(features_VE, rows_V).cpu().numpy()
    ideal = (labels_V[:, None] == labels_V[None]).numpy().astype(float)
    _draw(path, {**maps, "ideal": ideal}, ideal, f"{scan.name}, {len(labels_V)} voxels of one supervoxel, by class")
    return path


def _hardest_rows(batch, voxel_labels_V):
    """Voxels of the supervoxel that difficulty-aware sampling draws most often, sorted by class, int64 (V,)."""
    # Boxes of the paper's share of the grid, whatever its resolution.
    size = tuple(max(1, cells // parts) for cells, parts in zip(batch.grid.shape, (4, 6, 4), strict=True))
    partition = SupervoxelPartition(size)
    supervoxel_V = partition.numbers(batch.coords_V4, batch.grid)
    distance_S = partition.relative_distances(batch.grid, 1, supervoxel_V.device)
    is_labelled_V = voxel_labels_V != 0
    is_minority_V = torch.isin(voxel_labels_V, torch.tensor(MINORITY_CLASSES, device=voxel_labels_V.device))
    num_voxels_S = torch.bincount(supervoxel_V[is_labelled_V], minlength=len(distance_S))
    num_minority_S = torch.bincount(supervoxel_V[is_minority_V], minlength=len(distance_S))
    weights_S = sampling_weights("difficulty", num_voxels_S, class_factor(num_minority_S), distance_S)
    if not weights_S.any():
        raise UserError("the scan has no labelled voxel: there is nothing to compare")
    # The far supervoxels weigh most but may hold a handful of voxels: a map wants some to look at.
    weights_S = torch.where(num_voxels_S >= min(100, int(num_voxels_S.max())), weights_S, 0)
    rows_V = ((supervoxel_V == weights_S.argmax()) & is_labelled_V).nonzero().squeeze(1)
    rows_V = rows_V[:: max(1, -(-len(rows_V) // _MOST_VOXELS))]
    return rows_V[torch.argsort(voxel_labels_V[rows_V], stable=True)]


def _draw(path, maps, ideal, title):
    figure, axes = plt.subplots(1, len(maps), figsize=(4.2 * len(maps), 4.9), squeeze=False, layout="constrained")
    for axis, (name, matrix) in zip(axes[0], maps.items(), strict=True):
        image = axis.imshow(matrix, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        distance = "" if name == "ideal" else f"\nmean squared distance {np.square(matrix - ideal).mean():.3f}"
        axis.set_title(f"{name}{distance}", fontsize=11)
        axis.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=axes[0].tolist(), shrink=0.8, label="cosine similarity")
    figure.suptitle(title, fontsize=12)
    with written_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    plt.close(figure)
