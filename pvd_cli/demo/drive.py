"""What the demo plays: a bag of the user's, or a simulated drive whose true labels are known."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from pvd_cli.bags import sequence_frames, write_sequence_bag
from pvd_cli.progress import Steps
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted

_MARKER = ".pvd_demo"
_TOPIC = "/velodyne_points"
_SEQUENCE = "08"
# A world that no training set of `pvd simulate` with a usual seed holds.
_SEED = 2024
_SCANS_A_SECOND = 10
_MOST_WORKERS = 4


@dataclass(frozen=True)
class Drive:
    bag: Path
    topic: str
    num_clouds: int
    odometry: str = ""
    """Topic of the sensor's poses; "" where they are not needed."""
    label_path_of_stamp: dict[int, Path] = field(default_factory=dict)
    """Stamp in the bag in ns -> .label file with the truth; empty where the truth is not known."""


def prepare_folder(out: Path) -> Path:
    """The folder for results, empty but for a marker; an earlier demo's results are removed, nothing else ever is."""
    try:
        if out.exists() and any(out.iterdir()):
            if not (out / _MARKER).is_file():
                raise UserError(f"{out} is not empty and no earlier demo's folder: name another one with --out")
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARKER).touch()
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror or error}; name another folder with --out") from None
    return out


def given_drive(bag: Path, topic: str | None, out: Path, odometry: str = "") -> Drive:
    """A bag of the user's; its topics are checked now rather than after the node has started."""
    from pvd_ros.bags.poses import check_topic
    from pvd_ros.bags.reader import cloud_topic, open_bag
    from pvd_ros.poses.source import ODOMETRY

    if bag.resolve().is_relative_to(out.resolve()):
        raise UserError(
            f"{bag} lies in {out}, which the demo empties first: move it, or name another folder with --out"
        )
    with open_bag(bag) as opened:
        topic = cloud_topic(opened, topic)
        num_clouds = opened.count(topic)
        if odometry:
            check_topic(opened, odometry, ODOMETRY, "--odometry")
        for remark in opened.remarks:
            print(f"note: {remark}", flush=True)
    if not num_clouds:
        raise UserError(f"{bag}: topic {topic} holds no clouds; name another one with --topic")
    return Drive(bag, topic, num_clouds, odometry)


def check_simulation(topic: str | None) -> None:
    """UserError where `simulated_drive` would end in one."""
    from pvd_ros.bags.topic_names import check_bag_topic
    from training.simulate.sensor.ray_caster import import_ray_caster

    check_bag_topic("--topic", topic or _TOPIC)
    try:
        import_ray_caster()
    except UserError as error:
        raise UserError(f"{error}; or label a bag with --bag") from None


def simulated_drive(out: Path, seconds: float, topic: str | None, with_odometry: bool = False) -> Drive:
    """A new drive at 10 Hz, as a bag and with its truth, below `out`."""
    from training.simulate.dataset import write_dataset
    from training.simulate.parallel import num_cores

    topic = topic or _TOPIC
    num_scans = max(1, round(seconds * _SCANS_A_SECOND))
    print(f"simulating {seconds:g} s of driving, {counted(num_scans, 'scan')} of a 64-beam LiDAR at 10 Hz", flush=True)
    with Steps("simulating", "scans") as steps:
        write_dataset(
            out / "data",
            train_sequences=(),
            valid_sequences=(_SEQUENCE,),
            num_scans=num_scans,
            seed=_SEED,
            num_workers=min(num_cores(), _MOST_WORKERS),
            progress=lambda done, total, _path: steps.show(done, total),
        )
    sequence, bag = out / "data" / "sequences" / _SEQUENCE, out / "drive"
    if with_odometry:
        from pvd_cli.demo.odometry import NOISE, ODOMETRY, write_bag_with_odometry

        print(f"odometry on {ODOMETRY}: the true poses with noise of {NOISE} (standard deviation)", flush=True)
        odometry, num_clouds = ODOMETRY, write_bag_with_odometry(sequence, bag, topic)
    else:
        odometry, num_clouds = "", write_sequence_bag(sequence, bag, topic)
    label_path_of_stamp = {stamp: labels for _, labels, stamp in sequence_frames(sequence)}
    return Drive(bag, topic, num_clouds, odometry, label_path_of_stamp)
