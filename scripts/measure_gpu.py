"""Makes all measurements on a GPU in one run: tests, tuning, `pvd bench`, latency from a cloud's bytes to its labels,
and what half precision costs in mIoU. Writes JSON and Markdown. Needs torch, triton, pytest, typer, rich and
safetensors; no ROS, no Open3D.

  python scripts/measure_gpu.py scan.bin --model cylinder3d-0.5x
  python scripts/measure_gpu.py drive/sequences/08/velodyne --weights best.safetensors --dataset drive --split 08
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pvd_core import default_weights  # noqa: E402
from pvd_core.borders.errors import UserError  # noqa: E402
from pvd_core.borders.files import written_atomically  # noqa: E402
from pvd_core.clouds import find_clouds, read_cloud  # noqa: E402
from pvd_core.clouds.measured import is_measured, measured_points  # noqa: E402
from pvd_core.models import build_model  # noqa: E402
from pvd_core.programs.message import ArrayLayout  # noqa: E402
from pvd_core.runtime.hardware import hardware, versions  # noqa: E402
from pvd_core.segmenter import Segmenter, resolve_device  # noqa: E402
from pvd_core.weights import load_model, save_weights  # noqa: E402

STEPS = ("tests", "tune", "bench", "latency", "accuracy")
TESTS = (
    "sparse/test_triton_backend.py",
    "sparse/test_triton_tuning.py",
    "programs/test_programs_pipeline.py",
    "programs/test_programs_gpu.py",
)
_WARM_UP_CLOUDS = 10

Clouds = Mapping[str, np.ndarray]  # path -> float32 (N, 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 1 if a step failed."""
    options = _options(arguments)
    device = resolve_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    weights = options.weights or _weights_of(options.model, options.out)
    clouds = {str(path): read_cloud(path) for path in find_clouds(options.scans)}
    result: dict[str, Any] = {
        "command": sys.argv,
        "hardware": hardware(device),
        "versions": versions(),
        "runs": options.runs,
    }
    steps: dict[str, Callable[[], Any]] = {
        "tests": lambda: _test(options),
        "tune": lambda: _tune(weights, device, clouds, options),
        "bench": lambda: _bench(weights, options),
        "latency": lambda: _latency(weights, device, clouds, options),
        "accuracy": lambda: _accuracy(weights, device, clouds, options),
    }
    for name in STEPS:
        if name in options.steps:
            started = time.perf_counter()
            print(f"{name} ...", flush=True)
            try:
                result[name] = steps[name]()
            # The other steps go on after a failed one: a borrowed GPU may not be there for a second run.
            except Exception as error:
                result[name] = {"failed": f"{type(error).__name__}: {error}"[:2000]}
            print(f"{name} took {time.perf_counter() - started:.0f} s", flush=True)
            # After every step, so that results are kept whatever ends this program.
            _write(result, options.out)
    print(_markdown(result))
    found = [result.get(name) for name in STEPS]
    return int(any(isinstance(step, dict) and ("failed" in step or step.get("passed") is False) for step in found))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", type=Path, help=".bin, .npy, .pcd, .ply files and folders")
    parser.add_argument("--weights", type=Path, help="default: those that ship with the package")
    parser.add_argument("--model", help="a network by name instead, with random weights: cylinder3d-0.5x")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dataset", type=Path, help="folder with sequences and labels: mIoU of each precision")
    parser.add_argument("--split", default="valid", help="of the data set: valid, train or sequences such as 08")
    parser.add_argument("--max-scans", type=int, help="of the data set, evenly spread")
    parser.add_argument("--backends", default="reference,triton,spconv")
    parser.add_argument("--precision", default="fp32,tf32,bf16,fp16")
    parser.add_argument("--runs", type=int, default=100, help="clouds a row, after warm-up")
    parser.add_argument("--tune-seconds", type=float, default=180, help="a precision")
    parser.add_argument("--steps", default=",".join(STEPS), help="which of " + ", ".join(STEPS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "gpu")
    options = parser.parse_args(arguments)
    options.backends, options.precision, options.steps = (
        tuple(text.split(",")) for text in (options.backends, options.precision, options.steps)
    )
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"--steps {','.join(sorted(unknown))}: expected some of {','.join(STEPS)}")
    if options.weights and options.model:
        parser.error("--model measures random weights, --weights those of a file; give one of the two")
    return options


def _weights_of(model: str | None, folder: Path) -> Path:
    """Path of the shipped weights, or of new random ones for the network named `model`."""
    if model is None:
        return default_weights()
    torch.manual_seed(0)
    path = folder / f"{model}-random.safetensors"
    save_weights(path, build_model(model))
    return path


def _test(options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", *(str(ROOT / "test" / "core" / name) for name in TESTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    (options.out / "tests.txt").write_text(done.stdout + done.stderr)
    lines = done.stdout.strip().splitlines() or ["no output"]
    return {"passed": done.returncode == 0, "summary": lines[-1], "log": "tests.txt"}


def _tune(weights: Path, device: torch.device, clouds: Clouds, options: argparse.Namespace) -> dict[str, Any]:
    """Tunes the block sizes for every precision. Writes them to the user's cache, where the next steps find them, and
    to a file beside the results."""
    from pvd_core.sparse.backends.triton_table import cache_path, save_measured
    from pvd_core.sparse.backends.triton_tuning import tune

    found = {}
    for precision in options.precision:
        segmenter = Segmenter(load_model(weights, device)[0], device=device, precision=precision)
        points = next(iter(clouds.values()))
        batch = segmenter.batch_of(measured_points(points, is_measured(points)))
        sizes = tune(segmenter, batch, seconds=options.tune_seconds)
        save_measured(cache_path(), sizes)
        save_measured(options.out / "triton_blocks.json", sizes)
        found[precision] = len(sizes)
    return {"layers": found, "file": "triton_blocks.json", "used": str(cache_path())}


def _bench(weights: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The rows of `pvd bench` for the same scans."""
    files = options.out / "bench.json", options.out / "bench.md"
    command = [
        *(sys.executable, "-m", "pvd_cli", "bench", *map(str, options.scans), "--weights", str(weights)),
        *("--device", options.device, "--backends", ",".join(options.backends)),
        *("--precision", ",".join(options.precision), "--runs", str(options.runs)),
        *("--json", str(files[0]), "--markdown", str(files[1]), "--force"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"pvd bench: {(done.stderr or done.stdout).strip()[-1500:]}")
    return {"files": [path.name for path in files]}


def _latency(weights: Path, device: torch.device, clouds: Clouds, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row of times from bytes to labels for each backend, precision and kind of programs; clouds take turns."""
    programs = {"triton": ("off", "eager", "graphs"), "reference": ("off",), "spconv": ("off",)}
    if device.type == "cpu":
        programs = {"reference": ("off", "eager")}
    rows = []
    for backend in options.backends:
        for precision in options.precision:
            for how in programs.get(backend, ()):
                rows.append(_latency_row(weights, device, clouds, options.runs, backend, precision, how))
                print(json.dumps(rows[-1]), flush=True)
    return rows


def _latency_row(
    weights: Path, device: torch.device, clouds: Clouds, runs: int, backend: str, precision: str, programs: str
) -> dict[str, Any]:
    row: dict[str, Any] = {"backend": backend, "precision": precision, "programs": programs}
    messages = [(points.tobytes(), ArrayLayout(len(points))) for points in clouds.values()]
    try:
        segmenter = Segmenter.from_weights(weights, str(device), precision, backend, programs)
        segmenter.warm_up()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        first_ms = _label_ms(segmenter, *messages[0])
        for number in range(_WARM_UP_CLOUDS):
            _label_ms(segmenter, *messages[number % len(messages)])
        times_ms = [_label_ms(segmenter, *messages[run % len(messages)]) for run in range(runs)]
    # Running out of memory is a RuntimeError too.
    except (UserError, RuntimeError) as error:
        return {**row, "cannot": str(error).splitlines()[0][:300]}
    return {
        **row,
        "first_ms": first_ms,
        **{f"p{p}_ms": float(np.percentile(times_ms, p)) for p in (50, 90, 99)},
        "peak_mb": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
        "counters": segmenter.counters,
    }


def _label_ms(segmenter: Segmenter, data: bytes, layout: ArrayLayout) -> float:
    start = time.perf_counter()
    segmenter.segment_bytes(data, layout)
    return (time.perf_counter() - start) * 1e3


def _accuracy(weights: Path, device: torch.device, clouds: Clouds, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each precision: share of its labels that are those of fp32, and its mIoU if a data set is given."""
    from training.data.dataset import ScanFolder
    from training.judge.evaluate import metrics_of, score

    rows: list[dict[str, Any]] = []
    expected: list[np.ndarray] | None = None
    for precision in ("fp32", *(name for name in options.precision if name != "fp32")):
        segmenter = Segmenter.from_weights(weights, str(device), precision)
        labels = [segmenter.segment(points).labels for points in clouds.values()]
        expected = expected or labels
        equal = sum(int((ours == theirs).sum()) for ours, theirs in zip(labels, expected, strict=True))
        row: dict[str, Any] = {"precision": precision, "labels_as_fp32": equal / max(sum(map(len, labels)), 1)}
        if options.dataset is not None:
            split = options.split if options.split in ("train", "valid") else options.split.split(",")
            folder = ScanFolder(options.dataset, split)
            found = metrics_of(score(segmenter, folder, folder.evenly_spaced(options.max_scans)))
            row |= {"miou": found["miou"], "miou_present": found["miou_present"]}
        rows.append(row)
    return rows


def _write(result: Mapping[str, Any], folder: Path) -> None:
    for name, text in (("gpu.json", json.dumps(result, indent=2) + "\n"), ("gpu.md", _markdown(result))):
        with written_atomically(folder / name) as temporary:
            temporary.write_text(text)


def _markdown(result: Mapping[str, Any]) -> str:
    machine = {**result["hardware"], **result["versions"]}
    parts = ["# GPU measurements", ", ".join(f"{name} {value}" for name, value in machine.items() if value)]
    for name in STEPS:
        found = result.get(name)
        if isinstance(found, list) and found:
            found = _table(found)
        if found:
            parts += [f"## {name}", str(found)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown; of the counters only those that are not 0."""
    rows = [
        {**row, "counters": ", ".join(f"{name} {count}" for name, count in row.get("counters", {}).items() if count)}
        for row in rows
    ]
    columns = list(dict.fromkeys(column for row in rows for column in row if any(each.get(column) for each in rows)))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if value < 1.5 else f"{value:.2f}"
    return "-" if value is None else str(value)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
