"""Training steps a second of student and teacher, in each precision on each backend."""

import contextlib
import functools
import time
from pathlib import Path

from scripts.gpu.report import Rows
from scripts.gpu.sizes import network, sizes_on
from scripts.gpu.step_options import seconds_left, step_parser
from scripts.gpu.trainer import batches_of, folders_in, train_for

_MOST_STEPS = 40


def main() -> None:
    parser = step_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds `sequences`")
    options = parser.parse_args()
    sizes, rows = sizes_on(options.device), Rows(options.json)
    training, _ = folders_in(options.data)
    # The last precision first: the weights' own is measured while they are trained.
    waiting = [
        (role, settings, backend, precision)
        for backend in sizes.training_backends
        for precision in reversed(sizes.training_precisions)
        for role, settings in (("student", sizes.student), ("teacher", sizes.teacher))
    ]
    for number, (role, settings, backend, precision) in enumerate(waiting):
        left_s = seconds_left(options)
        if left_s <= 0:
            break
        until = time.monotonic() + 0.9 * left_s / (len(waiting) - number)
        names = {"role": role, "backend": backend, "precision": precision, "batch_size": sizes.batch_size}
        model = network(settings, options.device)
        stream = batches_of(training, model, options.device, sizes.batch_size, sizes.num_threads)
        with contextlib.closing(stream) as batches:
            train = functools.partial(train_for, until, model, None, batches, precision, backend, _MOST_STEPS)
            rows.add_measured(names, train)


if __name__ == "__main__":
    main()
