"""Teacher's outputs kept on disk: a scan that comes again as it was is not shown to the teacher a second time.

A file holds what the distillation method reads of the teacher on one scan. It is named by a digest of the points, in a
folder named by a digest of all else that the outputs depend on. So other data, another augmentation or other weights
find nothing that is not theirs.
"""

import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import write_atomically, written_atomically
from pvd_core.models.output import SegmentationOutput

# Changes when the same teacher would give other outputs, or files hold something else.
_FORMAT = 1
_REQUIRED = ("voxel_logits_VC", "voxel_features_VE")


class TeacherCache:
    """Outputs of the teacher with the weights file `teacher` that computes in `precision` on `device`.

    `fields`: names of SegmentationOutput's fields that are kept, in the type that they were computed in, so that what
    is read is what was computed, to the bit. `num_examples`: scans times versions, for what `note(text)` says. Where
    nothing more can be written, as on a full disk, this says so once and outputs are computed again each time.
    """

    def __init__(self, folder, teacher, fields, precision, device, num_examples, note):
        self.fields = tuple(sorted(fields))
        about = {
            "format": _FORMAT,
            "teacher": hashlib.sha256(Path(teacher).read_bytes()).hexdigest(),
            "precision": precision,
            "device": device.type,
            "fields": self.fields,
        }
        self.folder = Path(folder) / hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        self._device, self._num_examples, self._note = device, num_examples, note
        self._is_writing, self._has_told_size = True, False
        if not (self.folder / "about.json").exists():
            with written_atomically(self.folder / "about.json") as temporary:
                temporary.write_text(json.dumps({**about, "file": str(teacher)}, indent=2))

    def output(self, batch, compute):
        """SegmentationOutput, with None for fields that are not kept, of a TrainingBatch; on its device.

        `compute(voxels)` is the teacher on a VoxelBatch. It gets scan by scan, so that outputs do not depend on which
        scans happen to be in a batch together.
        """
        scans = [self._of_scan(batch, number, compute) for number in range(batch.voxels.batch_size)]
        kept = {name: torch.cat([scan[name] for scan in scans]) for name in self.fields}
        return SegmentationOutput(**{**dict.fromkeys(_REQUIRED), **kept})

    def _of_scan(self, batch, number, compute):
        """{field: tensor} of one scan."""
        path = self.folder / f"{batch.digests[number]}.safetensors"
        if path.exists():
            return self._read(path, batch.voxels.num_points_per_scan[number])
        output = compute(batch.voxels.scan(number))
        tensors = {name: getattr(output, name).contiguous() for name in self.fields}
        if self._is_writing:
            self._write(path, tensors)
        return tensors

    def _read(self, path, num_points):
        try:
            tensors = load_file(path, device=str(self._device))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} cannot be read ({error}); remove it, and it is computed again") from error
        lengths = {name: len(tensor) for name, tensor in tensors.items()}
        wrong = [name for name in lengths if name.startswith("point_") and lengths[name] != num_points]
        if lengths.keys() != set(self.fields) or wrong:
            raise UserError(
                f"{path} holds {lengths}, expected {', '.join(self.fields)} of {num_points} points; remove it, and it "
                "is computed again"
            )
        return tensors

    def _write(self, path, tensors):
        content = save(tensors)
        self._tell_size(len(content))
        try:
            write_atomically(path, content)
        except UserError as error:
            self._is_writing = False
            self._note(f"warning: {error}; from here on the teacher's outputs are computed where they are not there")

    def _tell_size(self, num_bytes):
        if self._has_told_size:
            return
        self._has_told_size = True
        free_gb = shutil.disk_usage(self.folder).free / 1e9
        self._note(
            f"keeps {', '.join(self.fields)} of the teacher in {self.folder}: {num_bytes / 1e6:.1f} MB a scan, about "
            f"{num_bytes * self._num_examples / 1e9:.1f} GB for {self._num_examples} ({free_gb:.0f} GB are free)"
        )
