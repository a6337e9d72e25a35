"""Trains one network for the time of a step, keeps its weights and scores them.

The network is the teacher, the student, or the student again, with PVD.
"""

import contextlib
import time
from pathlib import Path

import torch

from pvd_core.segmenter import Segmenter
from pvd_core.weights import load_model, save_weights
from scripts.gpu.report import Rows
from scripts.gpu.sizes import network, sizes_on
from scripts.gpu.step_options import seconds_left, step_parser
from scripts.gpu.trainer import batches_of, folders_in, train_for
from training.judge.evaluate import metrics_of, score

# Of the time; the rest is for saving and scoring.
_SHARE_OF_TRAINING = 0.8


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("role", choices=("teacher", "student", "pvd"))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds `sequences`")
    parser.add_argument("--weights", type=Path, required=True, help="folder for the weights, ROLE.safetensors")
    options = parser.parse_args()
    sizes, device = sizes_on(options.device), torch.device(options.device)
    model, teacher = network(sizes.teacher if options.role == "teacher" else sizes.student, options.device), None
    if options.role == "pvd":
        model = load_model(options.weights / "student.safetensors", device)[0]
        teacher = load_model(options.weights / "teacher.safetensors", device)[0]
    training, validation = folders_in(options.data)
    precision, backend = sizes.training_precisions[0], sizes.training_backends[0]
    until = time.monotonic() + _SHARE_OF_TRAINING * seconds_left(options)
    with contextlib.closing(
        batches_of(training, model, options.device, sizes.batch_size, sizes.num_threads)
    ) as batches:
        result = train_for(until, model, teacher, batches, precision, backend)

    options.weights.mkdir(parents=True, exist_ok=True)
    save_weights(options.weights / f"{options.role}.safetensors", model.eval())
    row = {"role": options.role, "precision": precision, "backend": backend, "batch_size": sizes.batch_size, **result}
    rows = Rows(options.json)
    rows.add(row)
    # Triton would compile every kernel once more, for inference in fp32.
    segmenter = Segmenter(model, device=device, backend="reference")
    metrics = metrics_of(score(segmenter, validation, validation.evenly_spaced(sizes.validation_scans)))
    rows.rows.clear()
    rows.add({**row, "miou": metrics["miou"], "miou_present": metrics["miou_present"]})


if __name__ == "__main__":
    main()
