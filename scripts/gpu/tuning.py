"""Tunes the block sizes of the Triton kernels for fp16, the most important network first, until the time is over.

The table goes to the file that $PVD_TRITON_BLOCKS names, where the later steps find it."""

import time
from collections.abc import Callable

from pvd_core.segmenter import Segmenter
from pvd_core.sparse.backends.triton_table import cache_path, save_measured
from pvd_core.sparse.backends.triton_tuning import tune
from scripts.gpu.report import Rows
from scripts.gpu.sizes import network, sizes_on
from scripts.gpu.step_options import clouds_of, run_main, seconds_left, step_parser


def main() -> None:
    options = step_parser(__doc__).parse_args()
    sizes, rows, points = sizes_on(options.device), Rows(options.json), clouds_of(options)[0]
    precision = sizes.precisions[0]
    time_ms = _once_ms if options.device == "cpu" else None
    for name, settings in sizes.networks.items():
        # The candidate that is being compiled when the time is over takes some seconds more.
        seconds = 0.8 * seconds_left(options) - 2
        if seconds <= 0:
            break
        segmenter = Segmenter(network(settings, options.device), device=options.device, precision=precision)
        start = time.monotonic()
        found = tune(segmenter, segmenter.batch_of(points), time_ms, seconds)
        save_measured(cache_path(), found)
        spent_s = time.monotonic() - start
        rows.add({"network": name, "precision": precision, "layers_tuned": len(found), "seconds": spent_s})


def _once_ms(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    run_main(main)
