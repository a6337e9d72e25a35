"""What came out of the demo: accuracy against the truth, a picture, a report, tables."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pvd_cli.demo.drive import Drive
from pvd_cli.demo.movers import MoverScores, compare_with_single, print_movers
from pvd_cli.demo.run import LabelledDrive
from pvd_cli.tables import print_iou, print_latency
from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from pvd_core.borders.wording import counted
from pvd_ros.bags import read_clouds
from pvd_ros.codec import stamp_of
from pvd_ros.poses import summary
from training.judge.metrics import ConfusionMatrix

# The usual drive has 120.
_FEW_CLOUDS = 50


def judge(drive: Drive, run: LabelledDrive) -> ConfusionMatrix | None:
    """ConfusionMatrix of the recorded labels against the truth, clouds matched by stamp; None without a truth."""
    if not drive.label_path_of_stamp:
        return None
    scores = ConfusionMatrix(run.taxonomy)
    for cloud in _recorded(run):
        truth = _truth(drive, run, cloud)
        scores.update(_column(cloud, "label"), truth)
    return scores


def compare_movers(drive: Drive, run: LabelledDrive, weights: Path, fused: ConfusionMatrix) -> MoverScores:
    """How movers fare with past clouds behind each cloud, against the same clouds alone."""
    clouds = [_points(cloud) for cloud in _recorded(run)]
    return compare_with_single(clouds, [_truth(drive, run, cloud) for cloud in _recorded(run)], weights, fused)


def write_picture(drive: Drive, run: LabelledDrive, out: Path) -> Path | None:
    """A bird's-eye PNG of the recorded cloud in the middle of the drive; its path, or None where none was recorded."""
    from pvd_cli.picture import save_prediction_picture

    if not run.counts["recorded"]:
        return None
    middle = run.counts["recorded"] // 2
    cloud = next(cloud for index, cloud in enumerate(_recorded(run)) if index == middle)
    points = _points(cloud)
    truth = _truth(drive, run, cloud) if drive.label_path_of_stamp else None
    title = f"cloud {middle + 1} of {run.counts['recorded']} as the node published them: {len(points):,} points"
    path = out / "picture.png"
    save_prediction_picture(path, points, _column(cloud, "label"), run.taxonomy, truth, title)
    return path


def write_report(
    run: LabelledDrive, scores: ConfusionMatrix | None, movers: MoverScores | None, picture: Path | None, out: Path
) -> dict[str, Any]:
    """Writes and returns report.json's content."""
    counts = run.counts
    report = {
        "clouds_in": counts["played"],
        "labelled": counts["labelled"],
        "dropped": counts["dropped"],
        "rejected": counts["rejected"],
        "skipped": counts["skipped"],
        "lost_in_transport": counts["lost"],
        "recorded": counts["recorded"],
        "node": run.is_live,
        "rejected_by_reason": run.rejected_by_reason,
        "latency_ms": run.latency_ms,
        "remarks": run.remarks,
        "miou": scores.miou() if scores else None,
        "miou_present": scores.miou(present_only=True) if scores else None,
        "iou": _iou_of_present(scores) if scores else None,
        "num_points": scores.num_points if scores else None,
        "history": run.history,
        "movers": movers.as_json() if movers else None,
        "paths": {
            "labelled_bag": str(run.labelled_bag),
            "labelled_topic": run.labelled_topic,
            "picture": str(picture) if picture else None,
            "report": str(out / "report.json"),
            "logs": str(out / "logs"),
        },
    }
    with written_atomically(out / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n")
    return report


def print_results(
    report: dict[str, Any],
    scores: ConfusionMatrix | None,
    rate: float,
    movers: MoverScores | None = None,
    num_scans: int = 1,
) -> None:
    """Tables, paths, and what to do where clouds that were played at `rate` came too fast; UserError where not one
    cloud was labelled."""
    print()
    print_latency(report["latency_ms"], "Latency of the node" if report["node"] else "Time to label a cloud")
    print(
        f"clouds in {report['clouds_in']}, labelled {report['labelled']}, dropped {report['dropped']} "
        f"(a newer one had come), rejected {report['rejected']}, lost in transport {report['lost_in_transport']}"
    )
    num_missed = report["dropped"] + report["lost_in_transport"]
    if num_missed:
        slower = max(0.01, float(f"{0.8 * rate * report['labelled'] / report['clouds_in']:.1g}"))
        print(
            f"note: {counted(num_missed, 'cloud')} came while this machine was busy with others: it is too slow for "
            f"this pace; --rate {slower:g} (make demo RATE={slower:g}) plays slower, so that all can be labelled"
        )
    if report["history"]:
        print(f"history: {summary(report['history'])}")
    for remark in report["remarks"]:
        print(f"note: {remark}")
    if report["skipped"]:
        print(f"  skipped {report['skipped']}: the recorder had not been found yet")
    for reason, count in report["rejected_by_reason"].items():
        print(f"  rejected {count}: {reason}")
    if report["recorded"] != report["labelled"]:
        print(f"note: {counted(report['recorded'], 'cloud')} recorded of {report['labelled']} labelled")
    if scores:
        print()
        scored = {**report, "num_points_by_class": scores.points_by_name()}
        print_iou(scored, scores.taxonomy, "Labels against the simulated truth, clouds matched by stamp")
    if movers:
        print()
        print_movers(movers, num_scans)
    if 0 < report["recorded"] < _FEW_CLOUDS:
        longer = "; a longer drive (--seconds, make demo SECONDS=) says more" if scores else ""
        print(f"note: of so few clouds ({report['recorded']}) latency and IoU scatter from run to run{longer}")
    print()
    for name in ("labelled_bag", "picture", "report"):
        print(f"{name.replace('_', ' '):<13} {report['paths'][name]}")
    if not report["labelled"]:
        raise UserError(f"no cloud was labelled; the logs of the processes are in {report['paths']['logs']}")


def _recorded(run):
    return (
        (cloud.message for cloud in read_clouds(run.labelled_bag, run.labelled_topic)) if run.counts["recorded"] else ()
    )


def _points(message):
    """float32 (N, 4) of a recorded cloud."""
    return np.stack([_column(message, name) for name in ("x", "y", "z", "intensity")], axis=1)


def _truth(drive, run, message):
    """Class ids (N,) of the scan that a recorded cloud was made from."""
    bag_stamp_ns = run.bag_stamp_of_published[stamp_of(message)]
    return run.taxonomy.class_ids_from_raw(np.fromfile(drive.label_path_of_stamp[bag_stamp_ns], dtype="<u4"))


def _column(message, name):
    """One field of a labelled cloud, (N,); the node's output has one layout, little endian without row padding."""
    kinds = {7: "<f4", 6: "<u4"}
    field = next(field for field in message.fields if field.name == name)
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(-1, message.point_step)
    return np.ascontiguousarray(rows[:, field.offset : field.offset + 4]).view(kinds[field.datatype])[:, 0]


def _iou_of_present(scores):
    is_present = scores.points_per_class()[1:] > 0
    return {name: iou for (name, iou), present in zip(scores.iou_by_name().items(), is_present, strict=True) if present}
