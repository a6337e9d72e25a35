"""The teacher's outputs, kept on disk: for a scan that comes again unchanged the teacher does not run a second time.

A file holds the outputs for one scan that the distillation method reads. It is named by a digest of the points, and its
folder by a digest of all else that the outputs depend on. So other data, another augmentation or other weights never
find a file that is not theirs.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import write_atomically, written_atomically
from pvd_core.models.output import SegmentationOutput
from pvd_core.voxels import VoxelBatch, Voxeliser
from pvd_core.weights import weights_file
from training.data.batches import TrainingBatch

Compute: TypeAlias = Callable[[VoxelBatch, Sequence[np.ndarray]], SegmentationOutput]

# To be raised when the same teacher gives other outputs, or when files hold something else.
_FORMAT = 1
_REQUIRED = ("voxel_logits_VC", "voxel_features_VE")


def digest_of(teachers: Iterable[str | Path]) -> str:
    """A text that differs for other weights files, or for another order of them, whatever they are called."""
    digest = hashlib.sha256()
    for weights in teachers:
        digest.update(weights_file(weights).read_bytes())
    return digest.hexdigest()


class TeacherCache:
    """Outputs of the teachers with these weights files for the voxels of a student's `grid`, by so many `votes`, in
    `precision` on `device`.

    `fields`: names of the fields of SegmentationOutput that are kept. They keep the type that they were computed in, so
    that what is read equals what was computed, to the bit. `num_examples`: scans times versions, from which the size of
    the whole cache is estimated. `note(text)` shows a line to the user. When a file cannot be written, as on a full
    disk, a note says so once, and from then on missing outputs are computed each time.
    """

    def __init__(
        self,
        folder: str | Path,
        teachers: Sequence[str | Path],
        grid: Voxeliser,
        votes: int,
        fields: Iterable[str],
        precision: str,
        device: torch.device,
        num_examples: int,
        note: Callable[[str], object],
    ) -> None:
        self.fields = tuple(sorted(fields))
        about = {
            "format": _FORMAT,
            "grid": grid.settings(),
            "votes": votes,
            "teacher": digest_of(teachers),
            "precision": precision,
            "device": device.type,
            "fields": self.fields,
        }
        self.folder = Path(folder) / hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        self._device, self._num_examples, self._note = device, num_examples, note
        self._is_writing, self._has_told_size = True, False
        if not (self.folder / "about.json").exists():
            with written_atomically(self.folder / "about.json") as temporary:
                temporary.write_text(json.dumps({**about, "files": [str(teacher) for teacher in teachers]}, indent=2))

    def output(self, batch: TrainingBatch, compute: Compute) -> SegmentationOutput:
        """The teacher's output for a batch, on its device; fields that are not kept are None.

        `compute(voxels, points)` runs the teacher on the student's voxels and the points in them. It gets one scan at a
        time, so that outputs do not depend on which scans are in a batch together.
        """
        scans = [self._of_scan(batch, number, compute) for number in range(batch.voxels.batch_size)]
        kept: dict[str, Any] = {name: torch.cat([scan[name] for scan in scans]) for name in self.fields}
        return SegmentationOutput(**{**dict.fromkeys(_REQUIRED), **kept})

    def _of_scan(self, batch: TrainingBatch, number: int, compute: Compute) -> dict[str, torch.Tensor]:
        """{field: tensor} of one scan."""
        path = self.folder / f"{batch.digests[number]}.safetensors"
        if path.exists():
            return self._read(path, batch.voxels.scan(number))
        output = compute(batch.voxels.scan(number), batch.points[number : number + 1])
        tensors = {name: getattr(output, name).contiguous() for name in self.fields}
        if self._is_writing:
            self._write(path, tensors)
        return tensors

    def _read(self, path: Path, voxels: VoxelBatch) -> dict[str, torch.Tensor]:
        try:
            tensors = load_file(path, device=str(self._device))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} cannot be read ({error}); remove it, and it is computed again") from error
        lengths = {name: len(tensor) for name, tensor in tensors.items()}
        num_points, num_voxels = len(voxels.point_to_voxel_P), voxels.num_voxels
        expected = {name: num_points if name.startswith("point_") else num_voxels for name in self.fields}
        if lengths != expected:
            raise UserError(
                f"{path} holds {lengths}, expected {', '.join(self.fields)} of {num_points} points and {num_voxels} "
                "voxels; remove it, and it is computed again"
            )
        return tensors

    def _write(self, path: Path, tensors: dict[str, torch.Tensor]) -> None:
        content = save(tensors)
        self._tell_size(len(content))
        try:
            write_atomically(path, content)
        except UserError as error:
            self._is_writing = False
            self._note(f"warning: {error}; from here on the teacher's outputs are computed where they are not there")

    def _tell_size(self, num_bytes: int) -> None:
        if self._has_told_size:
            return
        self._has_told_size = True
        free_gb = shutil.disk_usage(self.folder).free / 1e9
        self._note(
            f"keeps {', '.join(self.fields)} of the teacher in {self.folder}: {num_bytes / 1e6:.1f} MB a scan, about "
            f"{num_bytes * self._num_examples / 1e9:.1f} GB for {self._num_examples} ({free_gb:.0f} GB are free)"
        )
