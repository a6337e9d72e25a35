"""Class scores of points drawn from labelled scans, for what is chosen on them: shifts of classes, a temperature."""

from collections.abc import Callable, Sequence

import numpy as np

from pvd_core.borders.errors import naming_scan
from pvd_core.segmenter import Segmenter
from training.data.dataset import ScanFolder
from training.data.fused_scans import FusedScans
from training.data.prefetch import prefetched

_POINTS_A_SCAN = 15_000


def sampled_scores(
    segmenter: Segmenter,
    folder: ScanFolder,
    indices: Sequence[int],
    progress: Callable[[int, int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(class scores float16 (N, C), class ids uint8 (N,)) of points drawn from each of the scans `indices`, the same
    ones every time. Behind each scan are the past scans that the weights expect; only the scan's own points are drawn.
    `progress(num_done, num_all)` is called after each scan."""
    scores, truths = [np.zeros((0, folder.taxonomy.num_classes), np.float16)], [np.zeros(0, np.uint8)]
    scans = prefetched(FusedScans(folder, segmenter.past_scans).example, indices, num_workers=1)
    for num_done, (index, scan) in enumerate(zip(indices, scans, strict=True), start=1):
        points, truth_P = scan.points, scan.labels[scan.is_current]  # of the first points
        drawn = np.random.default_rng(num_done).permutation(len(truth_P))[:_POINTS_A_SCAN]
        if len(drawn):
            with naming_scan(folder.scans[index].points_path):
                batch = segmenter.batch_of(points)
                scores_PC = segmenter.run_network(batch).scores_of_points(batch.point_to_voxel_P)
            scores.append(scores_PC.float().cpu().numpy()[drawn].astype(np.float16))
            truths.append(truth_P[drawn])
        if progress is not None:
            progress(num_done, len(indices))
    return np.concatenate(scores), np.concatenate(truths)
