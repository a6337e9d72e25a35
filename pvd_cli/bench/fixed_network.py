"""The U-Net alone as a Segmenter's programs run it: in fixed shapes, on a GPU as a CUDA graph. V rows, E channels."""

from collections.abc import Callable, Sequence

import torch

from pvd_cli.bench.scan_input import ScanInput
from pvd_core.models.backbone import STRIDES
from pvd_core.programs.buckets import BucketChooser
from pvd_core.programs.cells import PaddedGrid
from pvd_core.programs.fixed_sites import FixedSites
from pvd_core.programs.frozen import frozen
from pvd_core.programs.static_function import StaticFunction
from pvd_core.runtime.precision import PRECISIONS, computing_in
from pvd_core.segmenter import Segmenter
from pvd_core.sparse import SparseTensor


class FixedNetwork:
    """The network of a Segmenter on one scan. `run()` builds the kernel maps anew, `run_on_kept_maps()` does not. Both
    return voxel logits (V, number of classes), whose first rows are those of the scan's voxels."""

    def __init__(self, segmenter: Segmenter, scan: ScanInput) -> None:
        self._precision, self._device = segmenter.precision, segmenter.device
        self._model = frozen(segmenter.model, PRECISIONS[segmenter.precision])
        self._grid_shape = self._model.grid.shape
        columns = scan.batch.coords_V4[:, 1:].unbind(dim=1)
        self._keys_V = PaddedGrid(self._grid_shape).keys(columns, torch.ones_like(columns[0], dtype=torch.bool))
        self._features_VE = self._voxel_features(scan)
        num_rows, kept_sites = self._room_for(scan)
        self.run = self._static(lambda: self._logits(self._new_sites(num_rows)))
        self.run_on_kept_maps = self._static(lambda: self._logits(kept_sites))

    @torch.inference_mode()
    def _voxel_features(self, scan: ScanInput) -> torch.Tensor:
        with computing_in(self._precision, self._device.type, keeps_casts=False):
            return self._model.voxel_compress(self._model.point_mlp(scan.batch.point_features_PF), scan.batch)

    def _room_for(self, scan: ScanInput) -> tuple[Sequence[int], FixedSites]:
        """(rows of each level, sites whose maps are built) of the bucket that a DeviceRunner ends up with."""
        chooser = BucketChooser(self._grid_shape, STRIDES)
        while (bucket := chooser.choose(scan.num_points)) is not None:
            if bucket.num_rows[0] > scan.num_voxels:
                sites = self._new_sites(bucket.num_rows)
                self._logits(sites)
                wanted = torch.stack(sites.num_sites_a_level()).tolist()
                if all(count < rows for count, rows in zip(wanted, bucket.num_rows, strict=True)):
                    return bucket.num_rows, sites
            chooser.overflowed(scan.num_points, bucket)
        raise ValueError(f"no bucket has room for {scan.num_voxels} voxels")

    def _new_sites(self, num_rows: Sequence[int]) -> FixedSites:
        return FixedSites(self._keys_V, self._grid_shape, num_rows, self._model.backend)

    @torch.inference_mode()
    def _logits(self, sites: FixedSites) -> torch.Tensor:
        features_VE = torch.nn.functional.pad(self._features_VE, (0, 0, 0, sites.num_sites - len(self._features_VE)))
        with computing_in(self._precision, self._device.type, keeps_casts=False):
            return self._model.head["conv"](self._model.backbone(SparseTensor(features_VE, sites))).features_VC

    def _static(self, function: Callable[[], torch.Tensor]) -> StaticFunction[torch.Tensor]:
        # The function has no input: all that it reads is on the device already.
        return StaticFunction(lambda _input_B: function(), 1, self._device, self._device.type == "cuda")
