"""The steps of the two calls, the most valuable first, with their shares of the budget."""

import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.gpu.budget import Stage, Step
from scripts.gpu.sizes import sizes_on

_TESTS = ("sparse/test_triton_backend.py", "programs/test_programs_gpu.py")
# What the kernels are compared with: {backend: the package that it needs}.
_YARDSTICKS = {"spconv": "spconv", "spconv-triton": "spconv_triton"}


class Parts:
    """`out`: where results go; `work`: where data go that nobody keeps."""

    def __init__(self, device: str, scans: Sequence[Path], tiny_weights: Path, out: Path, work: Path) -> None:
        self._device, self._scans, self._tiny_weights, self._out, self._work = device, scans, tiny_weights, out, work
        self._is_rehearsal = device == "cpu"

    def stages(self, part: int) -> list[Stage]:
        return self._labelling() if part == 1 else self._training()

    def _labelling(self) -> list[Stage]:
        steps = [
            self._own("equality", 4, "equality"),
            self._own("tuning", 5, "tuning", most_s=60),
            self._own("latency", 5, "latency"),
            *(self._bench(precision) for precision in sizes_on(self._device).precisions),
            Step("tests", 2, lambda seconds: self._tests(), absent=_lacks("pytest")),
            *([] if self._is_rehearsal else [self._bench_beside_spconv_triton()]),
        ]
        return [[step] for step in steps]

    def _training(self) -> list[Stage]:
        """Trainings run side by side: one alone leaves most of a GPU idle."""
        streets = self._work / "streets"
        no_ray_caster = _lacks("embreex")
        data = streets if no_ray_caster is None else self._folder_of_scans()
        options = ("--data", str(data), "--runs", str(self._out / "runs"))

        # Of tiny sizes the start of each process takes most, whatever the step.
        shares = (1, 1, 1, 1) if self._is_rehearsal else (4, 7, 12, 3)

        def training(role: str, share: float) -> list[Step]:
            families = sizes_on(self._device).families
            return [self._own(f"{role}-{family}", share, "training", role, family, *options) for family in families]

        return [
            [
                Step("streets", shares[0], lambda seconds: self._simulate(streets), absent=no_ray_caster),
                self._own("kernels", shares[0], "equality", "--for-training"),
            ],
            training("teacher", shares[1]),
            [*training("pvd", shares[2]), *training("student", shares[2])],
            [self._bench_training(shares[3])],
        ]

    def _own(self, name: str, share: float, module: str, *options: str, most_s: float = float("inf")) -> Step:
        command = (sys.executable, "-m", f"scripts.gpu.{module}", *options, "--device", self._device)
        files = ("--json", str(self._out / f"{name}.json"), "--scans", *map(str, self._scans))
        # A time of day, because importing torch takes some of the seconds.
        return Step(name, share, lambda seconds: (*command, "--end", f"{time.time() + seconds:.1f}", *files), most_s)

    def _bench(self, precision: str) -> Step:
        """One precision a step: `pvd bench` has no sample before the processes of all its rows have started."""
        if self._is_rehearsal:
            return self._bench_of(f"bench-{precision}", "reference", precision)
        spconv = ["spconv"] if _lacks("spconv") is None else []
        return self._bench_of(f"bench-{precision}", ",".join(["triton", *spconv, "reference"]), precision)

    def _bench_training(self, share: float) -> Step:
        backends = "reference" if self._is_rehearsal else "triton,reference"
        precision = sizes_on(self._device).training_precision
        return self._bench_of("bench-training", backends, precision, share, options=("--train", "--runs", "5"))

    def _bench_beside_spconv_triton(self) -> Step:
        """The last step: the package tunes its kernels itself, which may take all that is left. What Triton compiled
        stays in its cache, so that another call comes further."""
        precision = sizes_on(self._device).precisions[0]
        return self._bench_of("bench-spconv-triton", "triton,spconv-triton", precision, absent=_lacks("spconv_triton"))

    def _bench_of(
        self,
        name: str,
        backends: str,
        precision: str,
        share: float = 3,
        absent: str | None = None,
        options: Sequence[str] = (),
    ) -> Step:
        of_network = ("--weights", str(self._tiny_weights)) if self._is_rehearsal else ("--model", "cylinder3d-0.5x")
        command = [
            *(sys.executable, "-m", "pvd_cli", "bench", str(self._scans[0]), *of_network, "--backends", backends),
            *("--device", self._device, "--precision", precision),
            *(options or ("--runs", str(min(sizes_on(self._device).runs, 50)))),
            *("--json", str(self._out / f"{name}.json"), "--markdown", str(self._out / f"{name}.md"), "--force"),
        ]
        return Step(name, share, lambda seconds: command, absent=absent)

    def _tests(self) -> list[str]:
        # In the interpreter the kernels' tests take minutes; `make test` runs them.
        names = _TESTS[1:] if self._is_rehearsal else _TESTS
        return [sys.executable, "-m", "pytest", "-q", *(f"test/core/{name}" for name in names)]

    def _simulate(self, streets: Path) -> list[str]:
        workers = str(len(os.sched_getaffinity(0)))
        command = (sys.executable, "-m", "pvd_cli", "simulate", str(streets), "--workers", workers)
        return [*command, *sizes_on(self._device).streets]

    def _folder_of_scans(self) -> Path:
        """The folder that holds `sequences`, of a scan in .../sequences/SS/velodyne or of such a folder."""
        path = self._scans[0].resolve()
        above = [path, *path.parents]
        return next((folder for folder in above if (folder / "sequences").is_dir()), path.parent)


def left_out_of_bench() -> dict[str, str]:
    """{backend: why `pvd bench` does not compare with it}."""
    reasons = {name: _lacks(package) for name, package in _YARDSTICKS.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _lacks(package: str) -> str | None:
    return None if importlib.util.find_spec(package) else f"the package {package} is not installed"
