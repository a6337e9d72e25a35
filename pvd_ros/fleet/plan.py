"""What is to be done for the bags that were found: a task each, or one for each file of a split bag."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.intensity import AUTO
from pvd_ros.bags import BagError, LabelOptions
from pvd_ros.bags.folder import bare_name, files_of
from pvd_ros.bags.writer import leftovers_of
from pvd_ros.fleet.finding import FoundBag, FoundBags
from pvd_ros.fleet.records import FOLDER, record_path
from pvd_ros.fleet.task import BagResult, BagTask, LabelSettings, failure


@dataclass(frozen=True)
class FleetPlan:
    """tasks: the bags to label. failed: what is known already of others. remarks: in plain words."""

    tasks: list[BagTask]
    failed: list[BagResult]
    remarks: list[str]


def plan_fleet(found: FoundBags, out: Path, settings: LabelSettings, by_file: bool = False) -> FleetPlan:
    """The plan for labelling these bags into the folder `out`. by_file: the files of a split bag are tasks of their
    own. UserError where an earlier run left results and the options do not say what becomes of them, and where files
    cannot be labelled apart."""
    if by_file:
        _check_apart(settings.options)
    bags, remarks = found.bags, list(found.remarks)
    if by_file:
        bags = [part for bag in bags for part in _parts_of(bag, settings.options.salvage)]
        if len(bags) > len(found.bags):
            remarks.append(
                f"{counted(len(bags) - len(found.bags), 'more bag')} by --by-file: each file of a split bag becomes "
                "one; messages that only its first file holds, such as /tf_static, stay there; the number of messages "
                "in metadata.yaml is not compared"
            )
    # A task that is repeated after its process died goes on with what that one left.
    ours = replace(settings, options=replace(settings.options, resume=not settings.options.overwrite))
    tasks = [BagTask(bag.name, bag.path.absolute(), out / bag.name, record_path(out, bag.name), ours) for bag in bags]
    pairs = list(zip(bags, tasks, strict=True))
    failed = [failure(task, bag.problem) for bag, task in pairs if bag.problem]
    tasks = [task for bag, task in pairs if not bag.problem]
    _check_earlier(out, tasks, settings.options)
    return FleetPlan(tasks, failed, remarks)


def _check_apart(options: LabelOptions) -> None:
    if options.intensity_scale == AUTO:
        raise UserError(
            "--by-file needs --intensity-scale NUMBER: with auto the first clouds decide for the whole bag, and the "
            "files of one bag would each decide for themselves"
        )
    if options.start_s is not None or options.end_s is not None:
        raise UserError("--by-file excludes --start and --end, which count from the first message of the whole bag")
    if options.poses.has_source:
        raise UserError(
            "--by-file excludes --odometry and --fixed-frame: past clouds of a file may lie in the one before"
        )


def _parts_of(bag: FoundBag, salvage: bool) -> list[FoundBag]:
    """The files of a split bag, or the bag itself."""
    if bag.problem or not bag.path.is_dir():
        return [bag]
    try:
        files = files_of(bag.path)
    except (BagError, OSError):
        return [bag]  # says so when it is opened
    if len(files.paths) < 2:
        return [bag]
    parts = [FoundBag(f"{bag.name}/{bare_name(path)}", path) for path in files.paths]
    if files.damage and not salvage:
        parts.append(FoundBag(f"{bag.name}/missing", bag.path, "; ".join(files.damage)))
    return parts


def _check_earlier(out: Path, tasks: list[BagTask], options: LabelOptions) -> None:
    if options.resume or options.overwrite:
        return
    places = [place for task in tasks for place in (task.out, *leftovers_of(task.out))]
    if left := next((place for place in (out / FOLDER, *places) if place.exists()), None):
        raise UserError(
            f"{out} holds results of an earlier run ({left.relative_to(out)}): go on with --resume, label all anew "
            "with --overwrite, or name another folder with --out"
        )
