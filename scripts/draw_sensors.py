"""Draws real scans of several sensors from above, with the labels that a network gives them: docs/sensors/NAME.png.

    python scripts/draw_sensors.py DATA [--weights FILE.safetensors] [--out docs/sensors]

DATA holds the folders `vlp16_organised`, `nuscenes`, `pcd` and `rellis3d` with the files named below.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_cli.picture import save_prediction_picture
from pvd_core import default_weights
from pvd_core.clouds import read_cloud
from pvd_core.clouds.measured import is_measured
from pvd_core.segmenter import Segmenter
from training.data.augmentation.geometry import rotated_about_z

_BYTE = 1 / 255
_TRAINED_HEIGHT_M = 1.73  # of the sensor above the road


@dataclass(frozen=True)
class RealScan:
    name: str
    path: str
    title: str
    """Sensor, owner of the scan and its licence."""
    intensity_scale: float = _BYTE
    num_columns: int = 4
    turn_deg: float = 0.0
    """Counter-clockwise from above, to bring the vehicle's front to +x."""


_SCANS = (
    RealScan(
        "vlp16",
        "vlp16_organised/1766567016_71624448.bin",
        "Velodyne VLP-16; s3gf4u17/ros2_lidar_georeference, Apache-2.0",
        num_columns=5,
    ),
    RealScan(
        "hdl32e",
        "nuscenes/scene-1072/velodyne/000000.bin",
        "Velodyne HDL-32E; nuScenes, CC BY-NC-SA 4.0",
        turn_deg=-90,
    ),
    RealScan(
        "hdl32e_second",
        "nuscenes/five_column_LIDAR_TOP.pcd.bin",
        "Velodyne HDL-32E; nuScenes, CC BY-NC-SA 4.0",
        num_columns=5,
        turn_deg=-90,
    ),
    RealScan(
        "pandar128",
        "pcd/pandar128_organised_1875x128.pcd",
        "Hesai, 128 rings; LimHyungTae/patchwork, MIT",
    ),
    RealScan(
        "os1_64",
        "rellis3d/000104.bin",
        "Ouster OS1-64, off road; RELLIS-3D, CC BY-NC-SA 3.0",
        intensity_scale=80.0,
    ),
)


def main(command_line: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=default_weights())
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "sensors")
    arguments = parser.parse_args(command_line)
    segmenter = Segmenter.from_weights(arguments.weights, "cpu")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for scan in _SCANS:
        points = read_cloud(arguments.data / scan.path, scan.intensity_scale, scan.num_columns)
        points = _as_trained(points, np.radians(scan.turn_deg))
        path = arguments.out / f"{scan.name}.png"
        save_prediction_picture(path, points, segmenter.segment(points).labels, segmenter.taxonomy, title=scan.title)
        print(f"wrote {path}", flush=True)


def _as_trained(points: np.ndarray, turn: float) -> np.ndarray:
    """The points, float32 (N, 4), turned by `turn` radians, and shifted along z so that the ground lies as far below
    the sensor as in training."""
    turned = rotated_about_z(points, turn)
    distance = np.hypot(points[:, 0], points[:, 1])
    ground_m = np.quantile(points[(distance > 4) & (distance < 15), 2], 0.15)
    turned[is_measured(points), 2] -= ground_m + _TRAINED_HEIGHT_M
    return turned


if __name__ == "__main__":
    main()
