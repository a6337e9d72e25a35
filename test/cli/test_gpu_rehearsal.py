"""`make gpu DEVICE=cpu`, the whole of both parts at tiny sizes, in Triton's interpreter."""

import json
import subprocess
import sys

import pytest

from pvd_core.weights import read_facts

_STEPS = {
    1: ["equality", "tuning", "latency", "bench-fp32", "tests"],
    2: ["streets", "kernels", "teacher-cylinder3d", "pvd-cylinder3d", "student-cylinder3d", "bench-training"],
}


@pytest.mark.parametrize("part", [1, 2])
def test_both_parts_are_rehearsed_without_a_gpu(part, project_root, tmp_path):
    pytest.importorskip("triton", reason="triton is not installed (extra gpu)")
    pytest.importorskip("embreex", reason="embreex is not installed (extra sim)")
    command = [sys.executable, "-m", "scripts.gpu", "--part", str(part), "--device", "cpu", "--out", str(tmp_path)]
    # Beside other tests everything takes longer; what is left of the budget is not spent.
    done = subprocess.run([*command, "--budget", "150"], cwd=project_root, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    steps = json.loads((tmp_path / f"part{part}.json").read_text())["steps"]
    assert sorted(steps) == sorted(_STEPS[part])  # those of a stage end in any order
    rows = {name: step["rows"] for name, step in steps.items()}
    if part == 1:
        assert all(row["equal"] for row in rows["equality"])
        assert {row["backend"] for row in rows["latency"]} == {"triton", "reference"}
        assert all(row["same_labels"] == 1 and 0 < row["p50_ms"] <= row["p99_ms"] for row in rows["latency"])
    else:
        assert all(row["equal"] for row in rows["kernels"])
        taught, alone = rows["pvd-cylinder3d"][0], rows["student-cylinder3d"][0]
        assert taught["steps"] == taught["planned_steps"] == alone["steps"] > 0
        for role in ("teacher", "pvd", "student"):
            assert rows[f"{role}-cylinder3d"][0]["miou"] >= 0
        facts = read_facts(tmp_path / "runs" / "pvd-cylinder3d" / "last.safetensors")
        assert facts["distilled"]["method"] == "pvd"
