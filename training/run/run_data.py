"""The scans of a run: checked, then opened."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import taxonomy_named
from training.data.checking.appearance import judge_clouds
from training.data.checking.check import SCORE, TRAIN, Part, check_dataset
from training.data.dataset import ScanFolder
from training.data.folder_stream import FolderStream
from training.data.fused_scans import FusedScans
from training.data.instances.past import PastObjects
from training.data.partner_stream import PartnerStream
from training.data.scan_list import chosen_sequences, existing_sequences
from training.data.simulated_stream import SimulatedStream
from training.run.config import TrainConfig
from training.run.progress import NoProgress


@dataclasses.dataclass(frozen=True)
class Data:
    """The scans of a run."""

    training: FolderStream | PartnerStream | SimulatedStream
    validation: ScanFolder
    validation_indices: list[int]
    """Of the scans that are used."""

    def close(self) -> None:
        """Ends the processes that simulate, if there are any."""
        self.training.close()


class LeftOut(NamedTuple):
    """Names of scans with too few points to learn from: of the run's own, and of those that are mixed in."""

    own: Sequence[str] = ()
    partners: Sequence[str] = ()


_NOTHING = LeftOut()


def check_data(config: TrainConfig, progress: NoProgress) -> LeftOut:
    """Checks all scans that a run uses, and shows what is doubtful. Returns those that are to be left out. UserError
    where a data set cannot be used."""
    _check_sequences(config)
    parts = [Part(SCORE, config.validation.sequences, config.validation.max_scans)]
    if config.data == "folder":
        parts.insert(0, Part(TRAIN, config.sequences, config.max_scans))
    taxonomy = taxonomy_named(config.taxonomy)
    report = check_dataset(config.dataset, parts, config.columns, progress.checking, taxonomy)
    judge_clouds(report)
    report.say(progress.note)
    if config.mixing.partners is None:
        return LeftOut(report.left_out)
    partners = check_dataset(config.mixing.partners, [Part(TRAIN, "train")], "4", progress.checking, taxonomy)
    judge_clouds(partners)
    partners.say(progress.note)
    return LeftOut(report.left_out, partners.left_out)


def _check_sequences(config: TrainConfig) -> None:
    """UserError with the settings to change, all at once, where the data set lacks the sequences that they name."""
    choices = {"validation.sequences": config.validation.sequences}
    if config.data == "folder":
        choices["sequences"] = config.sequences
    existing = existing_sequences(config.dataset)
    problems = {name: problem for name, choice in choices.items() if (problem := _problem(config.dataset, choice))}
    if not problems:
        return
    used = {name: chosen_sequences(config.dataset, choices[name])[0] for name in choices if name not in problems}
    proposed = _proposed(existing, used)
    settings = " ".join(f"--set '{name}=[{','.join(proposed[name])}]'" for name in problems)
    advice = f"; to use what is there: {settings}" if existing else ""
    raise UserError("; ".join(f"{name}: {problem}" for name, problem in problems.items()) + advice)


def _proposed(existing: Sequence[str], used: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """{setting: sequences that it may name}. `used`: those of a setting that stays. None is proposed both to train and
    to validate on if there are others."""
    others = [name for name in existing if name not in used.get("sequences", ())] or existing
    validated = used.get("validation.sequences", others[-1:])
    return {
        "validation.sequences": validated,
        "sequences": [name for name in existing if name not in validated] or existing,
    }


def _problem(dataset: str, choice: str | Sequence[str]) -> str:
    try:
        chosen_sequences(dataset, choice)
    except UserError as error:
        return str(error)
    return ""


def open_data(config: TrainConfig, left_out: LeftOut = _NOTHING) -> Data:
    """The scans of a run but those that are left out; to be closed. UserError where there are none."""
    taxonomy = taxonomy_named(config.taxonomy)
    validation = ScanFolder(config.dataset, config.validation.sequences, config.columns, taxonomy)
    FusedScans(validation, config.scans)  # so that poses which cannot be used are told now, not at the first validation
    return Data(_training_scans(config, left_out), validation, validation.evenly_spaced(config.validation.max_scans))


def _training_scans(config: TrainConfig, left_out: LeftOut) -> FolderStream | PartnerStream | SimulatedStream:
    if config.data == "simulated":
        return SimulatedStream(config.stream, config.seed, taxonomy_named(config.taxonomy))
    folder = ScanFolder(config.dataset, config.sequences, config.columns, taxonomy_named(config.taxonomy))
    indices = folder.evenly_spaced(config.max_scans)
    enrichment = None
    if config.multi_to_single is not None:
        past = config.multi_to_single
        hard_ids = past.loss.hard_ids(folder.taxonomy)
        enrichment = PastObjects(past.instances, folder, hard_ids, past.num_past, past.placed_by)
    seed, bank_scans, versions = config.seed, config.mixing.bank_scans, config.scan_versions
    own = FolderStream(folder, indices, seed, bank_scans, versions, left_out.own, config.scans, enrichment)
    if config.mixing.partners is None:
        return own
    others = ScanFolder(config.mixing.partners, "train", taxonomy=folder.taxonomy)
    partners = FolderStream(others, others.evenly_spaced(), seed, bank_scans, left_out=left_out.partners)
    return PartnerStream(own, partners)
