"""The training loop, on one process or on the ranks that torchrun starts. `train` is its table of contents."""

import contextlib
import json
import math
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from pvd_core.borders.files import held_alone, write_atomically
from pvd_core.segmenter import Segmenter
from pvd_core.weights import save_weights
from pvd_core.weights.expected import EXPECTED_CLOUD_KEY
from pvd_core.weights.facts import TAXONOMY_KEY, past_scans_facts
from training.data.batches import TrainingBatch
from training.data.prefetch import prefetched
from training.judge.evaluate import metrics_of, score
from training.run.config import TrainConfig, config_as_dict, settings_without_effect, with_precision
from training.run.curves import draw_curves
from training.run.distributed import agreed_reason, launched_fabric, on_first_rank
from training.run.gradient_shares import gradient_shares
from training.run.logs import SHARE, Logs, NoLogs
from training.run.optimization import learning_rate
from training.run.plain_norms import with_plain_norms
from training.run.progress import NoProgress
from training.run.run_data import check_data, open_data
from training.run.run_folder import RunFolder, source_commit
from training.run.session import Session, build_session
from training.run.state import DivergedError
from training.run.stopping import StopRequest


def train(
    config: TrainConfig, run_dir: str | Path, resume: bool = False, progress: NoProgress | None = None
) -> dict[str, Any] | None:
    """Trains a network in the new folder `run_dir` or, with `resume`, continues from the last checkpoint there.

    Returns a JSON-able summary: "stopped" (done, max_minutes or interrupted), "signal" (the one that interrupted it,
    or None), "steps", "miou", "miou_present", "iou",
    "best_miou", "best_step", "weights" (the best ones), "last_weights", "num_parameters", "minutes", "run_dir". With
    several ranks only the first one shows progress, writes files and returns the summary; the others return None.

    UserError for settings, data or folders that do not fit; DivergedError where a loss is no longer finite.
    """
    config = with_precision(config)
    run, fabric = RunFolder(run_dir), launched_fabric(config)
    progress = progress if progress is not None and fabric.is_global_zero else NoProgress()
    with contextlib.ExitStack() as held:
        on_first_rank(lambda: _take(run, config, resume, held), fabric)
        left_out = on_first_rank(lambda: check_data(config, progress), fabric)
        with contextlib.closing(open_data(config, left_out)) as data:
            return _train(build_session(config, data, run, progress, fabric), resume)


def _take(run: RunFolder, config: TrainConfig, resume: bool, held: contextlib.ExitStack) -> None:
    held.enter_context(held_alone(run.path, "training"))
    run.check(config, resume)


def _train(session: Session, resume: bool) -> dict[str, Any] | None:
    config, run, progress = session.config, session.run, session.progress
    if session.writes:
        run.open(config)
    _restore_or_start(session, resume)
    logs = Logs(run, session.state.step) if session.writes else NoLogs()
    with (
        contextlib.closing(logs),
        progress,
        StopRequest(config.max_minutes, progress.note) as stop,
        contextlib.closing(_batches(session)) as batches,
        # Closed before the threads that prepare batches, which would otherwise wait for simulated scans, and after the
        # last validation, which measures norms on training scans.
        contextlib.closing(session.data),
    ):
        _describe(session, logs)
        stopped = _run_steps(session, batches, logs, stop)
        if session.writes:
            _finish(session, logs, stopped)
        session.fabric.barrier()
    return _write_summary(session, stopped, stop.signal_name) if session.writes else None


def _restore_or_start(session: Session, resume: bool) -> None:
    if resume and on_first_rank(session.run.checkpoint.exists, session.fabric):
        session.state.restore(session.run.checkpoint)
        session.progress.note(f"resumes after step {session.state.step}")
    elif session.writes:
        # With `resume` too: a run that was killed before its first checkpoint starts again.
        session.state.save(session.run.checkpoint)


def _describe(session: Session, logs: Logs | NoLogs) -> None:
    config, progress = session.config, session.progress
    for line in settings_without_effect(config):
        progress.note(f"warning: {line}")
    if 0 < session.num_steps <= config.schedule.warmup_steps:
        progress.note(
            f"warning: schedule.warmup_steps is {config.schedule.warmup_steps}, the run has {session.num_steps} steps: "
            "its learning rate only grows and never reaches the full one"
        )
    progress.note(f"training on {session.data.training.describe()}")
    for line in session.data.training.remarks():
        progress.note(f"note: {line}")
    for remark in filter(None, (session.data.validation.remark(), session.data.validation.label_remark())):
        progress.note(f"note: {remark}")
    progress.note(f"validating on {session.data.validation.describe()}, {len(session.data.validation_indices)} used")
    trained_on = session.data.training.facts()["sequences"] if config.data == "folder" else []
    if shared := set(trained_on) & set(session.data.validation.sequences):
        progress.note(f"warning: {', '.join(sorted(shared))} are trained on and validated on: no score of unseen scans")
    if config.distillation is not None:
        progress.note(config.distillation.in_words(session.num_steps))
        if config.distillation.until_step is not None and not config.distillation.stops_within(session.num_steps):
            progress.note(f"warning: distillation.until_step has no effect: the run has {session.num_steps} steps")
    size = session.state.model.num_parameters
    progress.note(f"{size:,} parameters, {session.num_steps} steps, device {session.fabric.device}")
    if not logs.has_tensorboard:
        progress.note("TensorBoard is not installed (pip install tensorboard): losses go to losses.jsonl only")


def _batches(session: Session) -> Generator[TrainingBatch, None, None]:
    config = session.config
    numbers = range(session.state.step * config.accumulate, session.num_steps * config.accumulate)
    return prefetched(session.stream.batch, numbers, config.num_workers)


def _run_steps(session: Session, batches: Iterator[TrainingBatch], logs: Logs | NoLogs, stop: StopRequest) -> str:
    """Does steps until there is a reason to stop, which is returned; "done" after the last step."""
    state = session.state
    session.progress.start(state.step, session.num_steps)
    step_s = 0.0
    while state.step < session.num_steps:
        reason = agreed_reason(stop.reason(needed_s=step_s + session.validation_s), session.fabric.device)
        if reason is not None:
            return reason
        start = time.perf_counter()
        record = _step(session, batches)
        step_s = time.perf_counter() - start
        state.seconds += step_s
        logs.losses(state.step, **record, step_ms=round(step_s * 1e3, 1))
        session.progress.step(state.step, record, step_s)
        if session.writes:
            _validate_and_save_if_due(session, logs)
    return "done"


def _step(session: Session, batches: Iterator[TrainingBatch]) -> dict[str, float]:
    """One optimizer step. Returns its losses by term, learning rate, gradient norm, epoch and wait for data."""
    config, state, objective = session.config, session.state, session.objective
    rate = learning_rate(state.step, session.num_steps, config.optimizer.learning_rate, config.schedule)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    losses: dict[str, float] = {}
    shares: dict[str, float] = {}
    wait_s = 0.0
    for i in range(config.accumulate):
        start = time.perf_counter()
        batch = next(batches)
        wait_s += time.perf_counter() - start
        # Ranks exchange gradients once a step, with the last batch.
        with session.fabric.no_backward_sync(objective, enabled=i + 1 < config.accumulate):
            if i == 0 and _logs_gradients(config, state.step + 1):
                with gradient_shares(objective.module, state.model) as shares:
                    terms = objective(batch)
            else:
                terms = objective(batch)
            values = {name: term.item() for name, term in terms.items()}
            _check_finite(session, values, state.step * config.accumulate + i)
            session.fabric.backward(sum(terms.values()) / config.accumulate)
        losses = {name: losses.get(name, 0.0) + value / config.accumulate for name, value in values.items()}
    total_norm = session.fabric.clip_gradients(
        objective, state.optimizer, max_norm=config.optimizer.gradient_clip or math.inf, error_if_nonfinite=False
    )
    assert total_norm is not None  # only clipping by value gives None
    norm = total_norm.item()
    _check_finite(session, {"gradient norm": norm}, state.step * config.accumulate)
    state.optimizer.step()
    state.optimizer.zero_grad()
    if state.running_mean is not None:
        state.running_mean.update(state.model)
    epoch = session.stream.epoch_of(state.step * config.accumulate)
    state.step += 1
    return {
        "loss": sum(losses.values()),
        **losses,
        "epoch": round(epoch, 4),
        "learning_rate": rate,
        "gradient_norm": norm,
        **{f"{SHARE}{name}": share for name, share in shares.items()},
        "data_wait_ms": round(wait_s * 1e3, 1),
    }


def _logs_gradients(config: TrainConfig, step: int) -> bool:
    is_taught = config.distillation is not None or config.multi_to_single is not None
    return is_taught and config.log_gradients_every_steps > 0 and step % config.log_gradients_every_steps == 0


def _check_finite(session: Session, values: dict[str, float], batch_number: int) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            scans = ", ".join(session.stream.scan_names(batch_number))
            raise DivergedError(
                f"step {session.state.step + 1}: {name} is {value} on scans {scans}; the run stops and "
                f"{session.run.checkpoint} keeps its last good state. Look at these scans, or start a new run with a "
                f"smaller optimizer.learning_rate than {session.config.optimizer.learning_rate}"
            )


def _validate_and_save_if_due(session: Session, logs: Logs | NoLogs) -> None:
    config, step, is_last = session.config, session.state.step, session.state.step == session.num_steps
    if not is_last and config.validation.every_steps and step % config.validation.every_steps == 0:
        _validate(session, logs)
    if not is_last and step % config.checkpoint_every_steps == 0:
        session.state.save(session.run.checkpoint)


def _validate(session: Session, logs: Logs | NoLogs) -> None:
    """Scores the weights and writes them as the last ones and, if no earlier ones were better, as the best ones."""
    state, start = session.state, time.perf_counter()
    indices = session.data.validation_indices
    with state.weights_to_keep() as trained:
        model = with_plain_norms(trained, session)
        about = {TAXONOMY_KEY: session.config.taxonomy, **past_scans_facts(session.config.scans)}
        segmenter = Segmenter(model, about, session.fabric.device)
        metrics = metrics_of(score(segmenter, session.data.validation, indices, session.progress.validating))
        state.last_validation = {"step": state.step, **metrics}
        is_best = metrics["miou"] > state.best_miou
        if is_best:
            state.best_miou, state.best_step = metrics["miou"], state.step
        facts = _facts(session)
        save_weights(session.run.last_weights, model, facts)
        if is_best:
            save_weights(session.run.best_weights, model, facts)
    state.model.train()
    session.validation_s = time.perf_counter() - start
    state.seconds += session.validation_s
    logs.validation(state.step, metrics)
    session.progress.validated(state.step, metrics, is_best)


def _finish(session: Session, logs: Logs | NoLogs, stopped: str) -> None:
    state = session.state
    is_validated = state.last_validation is not None and state.last_validation["step"] == state.step
    if stopped != "interrupted" and not is_validated:
        _validate(session, logs)
    state.save(session.run.checkpoint)
    draw_curves(session.run)


def _facts(session: Session) -> dict[str, Any]:
    """What the header of the weights file says about how the weights were trained."""
    config, state, data = session.config, session.state, session.data
    return {
        TAXONOMY_KEY: config.taxonomy,
        **past_scans_facts(config.scans),
        "training_data": data.training.facts(),
        "ancestors": session.ancestors,
        **session.distilled,
        EXPECTED_CLOUD_KEY: {"intensity_95th": session.intensity_95th},
        "validation": {
            "sequences": list(data.validation.sequences),
            "num_scans": len(data.validation_indices),
            **(state.last_validation or {}),
        },
        "commit": source_commit(),
        "seed": config.seed,
        "step": state.step,
        "training_config": {**config_as_dict(config), "dataset": data.validation.root.resolve().name},
    }


def _write_summary(session: Session, stopped: str, signal_name: str | None) -> dict[str, Any]:
    state, run = session.state, session.run
    validation = {key: value for key, value in (state.last_validation or {}).items() if key != "step"}
    summary = {
        "stopped": stopped,
        "signal": signal_name,
        "steps": state.step,
        **validation,
        "best_miou": state.best_miou,
        "best_step": state.best_step,
        "weights": str(run.best_weights),
        "last_weights": str(run.last_weights),
        "num_parameters": state.model.num_parameters,
        "minutes": round(state.seconds / 60, 2),
        "run_dir": str(run.path),
    }
    write_atomically(run.summary, json.dumps(summary, indent=2).encode())
    return summary
