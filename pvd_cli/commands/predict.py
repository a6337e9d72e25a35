"""`pvd predict`: labels for scan files."""

import dataclasses
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pvd_cli import options
from pvd_cli.cloud_options import (
    CLOUD_FILES,
    FIELD_OPTIONS,
    USUAL_HEIGHT,
    IntensityField,
    IntensityScale,
    MountingHeight,
    MountingPitch,
    MountingRoll,
    MountingYaw,
    NotedClouds,
    end_where_labels_are_spoilt,
    stream_for,
)
from pvd_cli.errors import EXIT_INCOMPLETE, EXIT_USER_ERROR, interruptible, optional_packages, print_error
from pvd_cli.version import program_version
from pvd_core.borders.errors import TooWideError, UserError
from pvd_core.borders.wording import counted

if TYPE_CHECKING:
    import numpy as np

    from training.judge.metrics import ConfusionMatrix


def predict(
    inputs: Annotated[list[Path], typer.Argument(help=f"Scans ({CLOUD_FILES}) and folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the .label files.")],
    weights: options.SeveralWeights = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = 0,
    intensity_scale: IntensityScale = "auto",
    intensity_field: IntensityField = "",
    mounting_height: MountingHeight = USUAL_HEIGHT,
    mounting_roll: MountingRoll = 0.0,
    mounting_pitch: MountingPitch = 0.0,
    mounting_yaw: MountingYaw = 0.0,
    columns: options.Columns = "4",
    picture: Annotated[bool, typer.Option("--picture", help="Write a bird's-eye NAME.png beside each .label.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace .label files that exist.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue: keep .label files that the same weights and options made.")
    ] = False,
) -> None:
    """Label scan files.

    One .label file a scan: raw SemanticKITTI ids as uint32, in the scan's order.

    Points that are no measurement (NaN, or 0, 0, 0 for no return) get 0. Where the scans lie in SemanticKITTI's
    layout with labels beside them, the IoU of each class is printed too. Weights that were trained with past scans
    behind each take these from the files beside a scan, by the poses.txt and calib.txt of its sequence.

    Networks expect of a cloud: x forward, y left, z up, in metres, the sensor about 1.7 m above the ground, intensity
    0..1. predict.jsonl beside the labels says which weights and options made each file. The exit code is 3 if some
    scans could not be read or reach too far for the network's voxels, 4 if scans lie where no network knows them, such
    as in a map's frame or in millimetres; 3 where both hold.

    \b
    Examples:
      pvd predict scan.bin --out labels
      pvd predict sequences/08/velodyne --weights mine.safetensors --out predictions
      pvd predict sequences/08/velodyne --weights default --weights cylinder3d-0.5x --out predictions
      pvd predict kitti --out submission
      pvd predict kitti --out submission --resume
      pvd predict cloud.pcd --picture --out labels
      pvd predict radar.pcd --intensity-field rcs --out labels
      pvd predict sweep.pcd.bin --columns 5 --mounting-height 1.84 --mounting-yaw 90 --out labels
    """
    import numpy as np

    from pvd_cli.classes_found import classes_found_text
    from pvd_cli.label_files import label_bytes, label_paths, read_labels, true_labels, write_labels
    from pvd_cli.label_record import LabelRecord
    from pvd_cli.past_clouds import PastClouds
    from pvd_cli.progress import tracked
    from pvd_core import default_weights
    from pvd_core.borders.files import check_output_folder
    from pvd_core.clouds import CloudFileError, find_clouds, read_cloud_file
    from pvd_core.clouds.bin_columns import bin_columns
    from pvd_core.clouds.exported import sequences_of
    from pvd_core.clouds.mounting import Mounting
    from pvd_core.committee import segmenter_of
    from pvd_core.weights import weights_file
    from training.judge.metrics import ConfusionMatrix

    bin_columns(columns)  # refused once, not for each scan
    mounting = Mounting(mounting_height, mounting_roll, mounting_pitch, mounting_yaw)
    files = [weights_file(each) for each in weights or [default_weights()]]
    clouds = find_clouds(inputs)
    noted = NotedClouds(stream_for(files[0], intensity_scale, mounting, FIELD_OPTIONS, sequences_of(clouds)))
    paths = label_paths(clouds, inputs, out)
    earlier = _earlier(paths, overwrite, resume)
    check_output_folder(out)
    if picture:
        with optional_packages("view", "--picture"):
            from pvd_cli.picture import save_prediction_picture
    options.use_threads(threads)
    segmenter = segmenter_of(files, device, precision)
    taxonomy = segmenter.taxonomy
    made_with = {
        "precision": segmenter.precision,
        "intensity_scale": intensity_scale,
        "intensity_field": intensity_field,
        "mounting": list(dataclasses.astuple(mounting)),
        "columns": columns,
    }
    record = LabelRecord(out, files, {**made_with, "version": program_version()})
    record.check_own(earlier.values())
    past = PastClouds(clouds, segmenter.past_scans, columns, intensity_field)
    segmenter.warm_up()

    confusion = ConfusionMatrix(taxonomy)
    timings_ms: dict[str, list[float]] = defaultdict(list)
    notes: set[str] = set()
    num_failed = num_done = num_kept = 0
    counts = np.zeros(taxonomy.num_classes, np.int64)

    def score(cloud: Path, labels: "np.ndarray") -> "np.ndarray | None":
        """The truth, if it is known; counts the labels, and what they got right."""
        counts[:] += np.bincount(labels, minlength=taxonomy.num_classes)
        truth, reason = true_labels(cloud, len(labels), taxonomy)
        if truth is not None:
            confusion.update(labels, truth)
        elif reason:
            notes.add(f"labels beside the scans not used: {reason}")
        return truth

    with interruptible(lambda: f"{num_done} of {len(clouds)} scans are labelled in {out}; --resume goes on"):
        for cloud in tracked(clouds, "labelling", "scans"):
            started = time.perf_counter()
            try:
                points, other_fields = read_cloud_file(cloud, columns=columns, intensity_field=intensity_field)
            except CloudFileError as error:
                print_error(error)
                num_failed += 1
                continue
            num_own, points = len(points), past.fused(cloud, points)
            read_ms = (time.perf_counter() - started) * 1e3
            prepared = noted.prepared(cloud, points, num_own, other_fields)
            # Others were cut short or changed, or belong to another scan.
            if cloud in earlier and record.is_unchanged(paths[cloud], points, noted.intensity_factor):
                score(cloud, read_labels(paths[cloud], taxonomy))
                num_kept, num_done = num_kept + 1, num_done + 1
                continue
            try:
                result = segmenter.segment(prepared)
            except TooWideError as error:
                print_error(f"{cloud}: {error}")
                num_failed += 1
                continue
            timings_ms["read"].append(read_ms)
            labels = result.labels[:num_own]
            for stage, value in result.timings_ms.items():
                timings_ms[stage].append(value)
            truth = score(cloud, labels)
            if picture:
                save_prediction_picture(paths[cloud].with_suffix(".png"), points[:num_own], labels, taxonomy, truth)
            # Written last, because for --resume a scan with labels is done.
            content = label_bytes(labels, taxonomy)
            record.add(paths[cloud], points, noted.intensity_factor, content)
            write_labels(paths[cloud], content)
            num_done += 1
    if num_kept:
        notes.add(f"{counted(num_kept, 'scan')} labelled before, with the same weights and options")
    if num_kept < len(earlier):
        anew = counted(len(earlier) - num_kept, "scan")
        notes.add(f"{anew} labelled anew: the scan, the factor of its intensity or its label file has changed since")
    _report(num_done, num_failed, out, timings_ms, confusion, sorted(notes))
    if classes := classes_found_text(counts, taxonomy):
        print(classes)
    noted.say_in_short()
    failure = EXIT_INCOMPLETE if num_done else EXIT_USER_ERROR
    end_where_labels_are_spoilt(noted.num_spoilt, failure if num_failed else 0)


def _earlier(paths: Mapping[Path, Path], overwrite: bool, resume: bool) -> dict[Path, Path]:
    """{cloud: label file} of the clouds whose existing labels are kept if they fit. UserError for labels that may
    neither be kept nor replaced."""
    if overwrite and resume:
        raise UserError("--overwrite labels all scans anew, --resume only the rest: give one of the two")
    existing = {cloud: path for cloud, path in paths.items() if path.exists()}
    for path in existing.values():
        if path.is_dir():
            raise UserError(f"{path} is a folder, where a .label file is to be written; move it away")
    if existing and not overwrite and not resume:
        first = next(iter(existing.values()))
        others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UserError(
            f"{first}{others} exists already; name another folder with --out, go on with --resume or start anew with "
            "--overwrite"
        )
    return existing if resume else {}


def _report(
    num_done: int,
    num_failed: int,
    out: Path,
    timings_ms: Mapping[str, Sequence[float]],
    confusion: "ConfusionMatrix",
    notes: Sequence[str],
) -> None:
    from pvd_cli.tables import print_class_table, print_latency
    from pvd_ros.report.latency import percentiles_of

    if timings_ms:
        latency_ms = {stage: percentiles_of(values) for stage, values in timings_ms.items()}
        print_latency(latency_ms, f"Time a scan, {counted(len(timings_ms['read']), 'scan')}")
    if confusion.num_points:
        print_class_table(confusion, "Against the labels beside the scans")
    for note in notes[:3]:
        print(f"note: {note}", file=sys.stderr)
    where = f"labels in {out}" if num_done else f"nothing written to {out}"
    print(f"{counted(num_done, 'scan')} labelled, {num_failed} failed; {where}")
