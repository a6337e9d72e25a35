"""Inter-voxel affinity maps of networks beside the ideal one, as in the figure of the PVD paper.

An affinity map holds the cosine similarities between the features of voxels. The voxels are those of one supervoxel,
sorted by class, so that the ideal map is 1 in blocks on the diagonal and 0 elsewhere. V voxels, S supervoxels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch

from pvd_cli.view.scans import ViewedScan
from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.losses.affinity import affinity_matrix
from pvd_core.losses.supervoxels import SupervoxelPartition, supervoxel_grid, supervoxel_weights
from pvd_core.segmenter import Segmenter
from pvd_core.voxels import VoxelBatch, majority_labels

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_MOST_VOXELS = 400


def save_affinity(path: Path, scan: ViewedScan, segmenters: Mapping[str, Segmenter]) -> Path:
    """Writes a PNG with the affinity maps of {name: Segmenter} on the hardest supervoxel of a scan, the ideal map, and
    the mean squared distance of each map from it; returns `path`. UserError for a scan without labels, and for networks
    with different grids."""
    if scan.truth is None:
        raise UserError(f"{scan.name} has no labels beside it: the ideal affinity map needs them")
    maps: dict[str, np.ndarray] = {}
    labels_V: torch.Tensor | None = None
    for name, segmenter in segmenters.items():
        measured_N = is_measured(scan.points)
        batch = segmenter.batch_of(measured_points(scan.points, measured_N))
        truth_P = torch.from_numpy(scan.truth[measured_N].astype(np.int64)).to(segmenter.device)
        voxel_labels_V = majority_labels(truth_P, batch.point_to_voxel_P, batch.num_voxels)
        rows_V = _hardest_rows(batch, voxel_labels_V, scan.taxonomy.minority)
        features_VE = segmenter.run_network(batch).voxel_features_VE
        assert features_VE is not None, "a network gives features of voxels, only files of teachers may not"
        if labels_V is not None and not torch.equal(labels_V, voxel_labels_V[rows_V].cpu()):
            raise UserError(f"network {name} has another grid than the first: their voxels cannot be compared")
        labels_V = voxel_labels_V[rows_V].cpu()
        maps[name] = affinity_matrix(features_VE, rows_V).cpu().numpy()
    assert labels_V is not None, "there is at least one network"
    ideal = (labels_V[:, None] == labels_V[None]).numpy().astype(float)
    _draw(path, {**maps, "ideal": ideal}, ideal, f"{scan.name}, {len(labels_V)} voxels of one supervoxel, by class")
    return path


def _hardest_rows(batch: VoxelBatch, voxel_labels_V: torch.Tensor, minority: Sequence[int]) -> torch.Tensor:
    """Numbers of the voxels in the supervoxel that difficulty-aware sampling draws most often, sorted by class, int64.
    `minority`: ids of the rare classes.
    At most _MOST_VOXELS of them; voxels without a label do not count."""
    # The paper's supervoxels are a 4th, 6th and 4th of its grid along rho, phi and z.
    rho, phi, z = supervoxel_grid(batch.grid).shape
    partition = SupervoxelPartition((max(1, rho // 4), max(1, phi // 6), max(1, z // 4)))
    supervoxel_V = partition.numbers(batch)
    is_labelled_V = voxel_labels_V != 0
    is_minority_V = torch.isin(voxel_labels_V, torch.tensor(minority, device=voxel_labels_V.device))
    labelled = supervoxel_V[is_labelled_V], is_minority_V[is_labelled_V]
    weights_S = supervoxel_weights(partition, batch, *labelled)
    if not weights_S.any():
        raise UserError("the scan has no labelled voxel: there is nothing to compare")
    # Far supervoxels weigh most but may have too few voxels for a map.
    num_voxels_S = torch.bincount(supervoxel_V[is_labelled_V], minlength=len(weights_S))
    weights_S = torch.where(num_voxels_S >= min(100, int(num_voxels_S.max())), weights_S, 0)
    rows_V = ((supervoxel_V == weights_S.argmax()) & is_labelled_V).nonzero().squeeze(1)
    rows_V = rows_V[:: max(1, -(-len(rows_V) // _MOST_VOXELS))]
    return rows_V[torch.argsort(voxel_labels_V[rows_V], stable=True)]


def _draw(path: Path, maps: Mapping[str, np.ndarray], ideal: np.ndarray, title: str) -> None:
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
