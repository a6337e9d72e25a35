"""Measures on a GPU what needs one, in two calls of at most --budget seconds each.

  python -m scripts.gpu scan.bin --part 1      # kernels against the reference, tuning, latency, spconv, tests
  python -m scripts.gpu scan.bin --part 2      # training of teachers and students, PVD
  python -m scripts.gpu --part 1 --device cpu --budget 60     # rehearses part 1 without a GPU

Needs torch, triton, typer, rich and safetensors, part 2 lightning too; no ROS. Results are written after each step.
"""

import argparse
import itertools
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pvd_core.clouds.example import spinning_scan
from pvd_core.segmenter import resolve_device
from pvd_core.weights import save_weights
from scripts.gpu.budget import run_stages
from scripts.gpu.parts import Parts, left_out_of_bench
from scripts.gpu.report import Report
from scripts.gpu.sizes import environment_on, network, sizes_on
from scripts.gpu.step_options import run_main

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 1 if a step failed."""
    options = _options(arguments)
    device = resolve_device(options.device)
    out = (options.out or ROOT / ("build/gpu_rehearsal" if device.type == "cpu" else "benchmarks/gpu")).resolve()
    work = ROOT / "build" / "gpu"
    for folder in (out / "logs", work):
        folder.mkdir(parents=True, exist_ok=True)
    if options.part == 2:
        # Streets that an earlier call did not finish would be continued, and its runs would be in the way.
        for folder in (work / "streets", out / "runs"):
            shutil.rmtree(folder, ignore_errors=True)
    scans = [path.resolve() for path in options.scans] or [_example(work, options.device)]
    tiny_weights = work / "tiny.safetensors"
    save_weights(tiny_weights, network(sizes_on("cpu").compared, "cpu"))
    stages = Parts(options.device, scans, tiny_weights, out, work).stages(options.part)
    for step in itertools.chain.from_iterable(stages):
        for suffix in (".json", ".md"):
            (out / f"{step.name}{suffix}").unlink(missing_ok=True)
    report = Report(options.part, device, options.budget, out)
    report.result |= {"scans": [path.name for path in scans], "left_out_of_bench": left_out_of_bench()}
    environment = {
        **environment_on(options.device),
        "PVD_TRITON_BLOCKS": str(out / "triton_blocks.json"),
        "PYTHONPATH": str(ROOT),
    }
    # Where this was started in the background, Ctrl-C would not reach the steps; a terminated call ends its step.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    run_stages(stages, options.budget, out / "logs", environment, report.note)
    print(report.markdown())
    return int(not report.is_good)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="*", type=Path, help=".bin, .npy, .pcd, .ply files and folders; a made-up scan")
    parser.add_argument("--part", type=int, choices=(1, 2), required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--budget", type=float, default=300, help="seconds")
    parser.add_argument("--out", type=Path, help="benchmarks/gpu; build/gpu_rehearsal without a GPU")
    options = parser.parse_args(arguments)
    if not options.budget > 0:
        parser.error(f"--budget {options.budget:g}: expected more than 0 seconds")
    return options


def _example(folder: Path, device: str) -> Path:
    path = folder / "example.bin"
    spinning_scan(sizes_on(device).example_points).tofile(path)
    return path


if __name__ == "__main__":
    run_main(main)
