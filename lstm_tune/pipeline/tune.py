"""`tune`: the main job, put together from the other modules."""

from __future__ import annotations

import contextlib
import time as clock
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from lstm_tune.ablation.explain import explain_run
from lstm_tune.dashboard.notes import write_notes
from lstm_tune.data.load import load_series
from lstm_tune.data.split import make_split
from lstm_tune.data.windows import Windows
from lstm_tune.errors import LstmTuneError, RunError, StudyError, UsageError
from lstm_tune.models.saved_model import ForecastModel
from lstm_tune.pipeline import holdout
from lstm_tune.pipeline import steps as phases
from lstm_tune.report import result_json as record
from lstm_tune.report.page import write_report
from lstm_tune.report.repeat_command import tune_command
from lstm_tune.report.result import TRIALS, Result, write_trials
from lstm_tune.report.run_folder import (
    JOURNAL,
    check_counts,
    claim_folder,
    pick_device,
    remove_on_failure,
    run_name,
)
from lstm_tune.search.budget import Budget
from lstm_tune.search.draws import draw
from lstm_tune.search.objective import DEFAULT_SPLIT, Objective, resolve_space
from lstm_tune.search.progress import Progress, Silent
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import Space
from lstm_tune.search.study import OptunaCallback, create_study, kept_precision
from lstm_tune.search.trial_queue import n_counted, requeue_stale
from lstm_tune.storage.open import check_storage, open_storage, temporary_journal
from lstm_tune.storage.urls import mask_password
from lstm_tune.training.precision import check_precision, has_bf16, pick_precision
from lstm_tune.training.task import build_task
from lstm_tune.utils.process import available_cores
from lstm_tune.utils.signals import Stopped, held, watched
from lstm_tune.workers import processes
from lstm_tune.workers.pool import check_shareable

DEFAULT_TRIALS = 50
DEFAULT_TIMEOUT = 600.0
DEFAULT_PATIENCE = 12
_DRAWN = 64  # configurations that stand for a space where bf16 is judged


@contextlib.contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Let torch use one core for each operation inside the `with`.

    The steps of an LSTM are too short to share: a second core buys a tenth or so, and costs many times that where
    another process wants it. Cores go to folds and seeds instead, which share nothing.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@single_threaded_torch()
def tune(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    horizon: int = 1,
    time: str | None = None,
    id: str | None = None,
    past: Sequence[str] = (),
    future: Sequence[str] = (),
    calendar: bool | None = None,
    split: Sequence[float] = DEFAULT_SPLIT,
    folds: int = 3,
    space: str | Mapping[str, Any] | Space = "default",
    n_trials: int | None = None,
    timeout: float | None = None,
    workers: int | str = 1,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    sampler: str | BaseSampler = "tpe",
    pruner: str | BasePruner = "median",
    callbacks: Sequence[OptunaCallback] = (),
    study_name: str | None = None,
    storage: str | BaseStorage | None = None,
    retrain_seeds: int = 3,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    began: float | None = None,
) -> Result:
    """Find the best LSTM for the data in the time there is, and score it once on rows that no trial has seen.

    Args:
        data: DataFrame, Series, array, path of a CSV, Parquet or Feather file, or "example:NAME".
        target: column, or columns, to forecast; by default the only one there is.
        horizon: rows to forecast at once.
        time: the time column; found by itself where there is an obvious one.
        id: column that names the series, for many series in long format.
        past: covariates known up to the last row.
        future: covariates known into the future, too.
        calendar: whether features of the time stamps (hour, weekday, season) go in as known-future covariates.
        split: train, validation and test rows, or fractions that add up to 1.
        folds: validation blocks that each trial is judged on; the further ones lie within the train rows.
        space: a preset ("classic", "quick", "default", "thorough"), a TOML file, a mapping as in TOML, or a `Space`.
        n_trials: trials of the whole study, those of an earlier part (`resume`) counted in.
        timeout: seconds for everything, the retrain included. With neither, 50 trials within 10 minutes, fewer where
            the last 12 took less than 1% off the best validation score.
        workers: processes that do the trials, or "auto": as many as pay off.
        seed: the same seed gives the same result, to the bit, on the same machine, with one worker.
        device: "auto", "cpu" or "cuda".
        precision: what trials train in: "fp32", "bf16", or "auto", which takes bf16 where it is measured to pay.
        sampler: "tpe", "random", "gp", "cmaes", "grid", or an Optuna sampler.
        pruner: "median", "none", "halving", "hyperband", "wilcoxon", or an Optuna pruner.
        callbacks: Optuna callbacks, called in this process after every trial.
        study_name: by default made from the data's name.
        storage: Optuna storage, its URL, or the path of a journal file (.journal or .log); by default a journal file
            in `out`, or memory (with several workers: a temporary file).
        retrain_seeds: times that each trial of the ensemble is retrained; 1: the best trial alone.
        out: run folder to write; None: none, see `Result.save`.
        resume: whether to continue the study that `out` or `storage` holds.
        progress: told what happens.
        began: when `timeout` began to run, on the clock of `time.monotonic`; by default now.

    Returns:
        The result: model, test score, study.

    Raises:
        DataError: the data cannot be used.
        UsageError: an argument is wrong.
        StudyError: the study could not be carried out.
        KeyboardInterrupt: Ctrl-C, or SIGTERM, ended it. The trials that had ended are kept; the best so far was
            retrained if the time allowed it (a second Ctrl-C, or SIGTERM, skips that), and `out` was written. The
            exception's `result` is what would have been returned, or None where there was no model.
    """
    check_counts(n_trials, timeout, seed, retrain_seeds)
    asked_for: dict[str, Any] = {
        "target": target,
        "time": time,
        "id": id,
        "horizon": horizon,
        "past": past,
        "future": future,
    }
    asked_for |= {
        "calendar": calendar,
        "split": split,
        "folds": folds,
        "space": space,
        "trials": n_trials,
    }
    asked_for |= {"timeout": timeout, "seed": seed, "device": device, "sampler": sampler, "pruner": pruner}
    asked_for |= {"study": study_name, "storage": _shown_storage(storage), "retrain_seeds": retrain_seeds}
    patience = None
    if n_trials is None and timeout is None:
        n_trials, timeout, patience = DEFAULT_TRIALS, DEFAULT_TIMEOUT, DEFAULT_PATIENCE
    if timeout is not None and began is not None:
        timeout = max(1.0, timeout - (clock.monotonic() - began))
    budget = Budget(timeout=timeout, seeds=retrain_seeds)
    tell = progress or Silent()
    device = pick_device(device)
    check_precision(precision, device)
    check_storage(storage)
    cores = available_cores()
    threads = cores if device == "cpu" else 1
    asked, workers = workers, processes.pick_workers(workers, cores=cores, device=device, n_trials=n_trials)
    if workers > 1:
        workers = _shareable(workers, asked == "auto", storage, sampler, pruner, cores, tell)
    if n_trials is not None:
        workers = min(workers, n_trials)

    with budget.phase("data"):
        series = load_series(data, target=target, time=time, id=id, past=past, future=future, calendar=calendar)
        parts = make_split(series, split, horizon)
        chosen = resolve_space(space)
        task = build_task(series, parts, horizon, folds=folds, device=device, epoch_samples=chosen.epoch_samples)
        objective = Objective(task, chosen, seed=seed, threads=max(1, threads // workers), on_epoch=tell.epoch)
    for note in (*series.notes, *parts.notes, *task.notes, *objective.notes):
        tell.info(note)

    if pruner == "wilcoxon" and len(task.folds) == 1:
        tell.info("pruner: wilcoxon compares folds, and there is one alone: nothing will be pruned; pass --folds 3")
    settings = {
        "schema": record.SCHEMA,
        "data": series.fingerprint(),
        "target": list(series.targets),
        "horizon": horizon,
        "split": [float(p) for p in split],
        "folds": folds,
        "space": objective.space.to_dict(),
        "seed": seed,
    }
    folder = None if out is None else Path(out)
    with remove_on_failure(folder):
        if folder is not None:
            claim_folder(folder, resume)
        alone = False
        if storage is None and folder is not None:
            storage, alone = str((folder / JOURNAL).resolve()), True
        shared = temporary_journal() if storage is None and workers > 1 else storage
        opened = open_storage(shared, on_stale=requeue_stale, note=tell.info)
        name = study_name or run_name(series.path, series.targets, horizon)
        if precision == "auto":  # a study that goes on keeps the precision that it began with
            precision = kept_precision(opened, name) or pick_precision(task, draw(objective.space, _DRAWN))
            if precision == "bf16" and not has_bf16(device):
                raise StudyError(
                    f"study {name!r} trains in bf16, which this machine lacks; resume it where it was begun"
                )
        objective.precision = settings["precision"] = precision
        study = create_study(
            opened,
            name,
            settings,
            sampler=make_sampler(sampler, seed, objective.space),
            # The median pruner lets known configurations run to their end: one that begins slowly may add to the mean.
            pruner=make_pruner(pruner, objective.space.most_epochs(), max(5, len(objective.space.enqueued()))),
            resume=resume,
            alone=alone,
        )
    run = phases.Run(
        series=series,
        parts=parts,
        objective=objective,
        everything=Windows(series, horizon, device),
        study=study,
        budget=budget,
        seed=seed,
        retrain_seeds=retrain_seeds,
        tell=tell,
    )
    budget.threads = threads
    budget.growth = run.samples / max(task.folds[0].samples, sum(f.samples for f in task.folds) / objective.threads)
    result, interrupted, before = None, False, n_counted(study)
    with watched() as seen:
        try:
            with held():  # search and retrain can be interrupted, what lies between and after them cannot
                with budget.phase("study"):
                    ended = phases.search(run, shared, workers, n_trials, patience, callbacks)
                if not ended:
                    tell.info(
                        "stopped" if seen.in_haste else "stopped: the best so far is retrained; Ctrl-C skips that"
                    )
                best = phases.winner(study, needed=ended)
                with budget.phase("retrain"):
                    trained = best and phases.train_again(run, best, skip=seen.in_haste)
                if best and trained:
                    retrained, rows = trained
                    interrupted = not ended or retrained.interrupted
                    with budget.phase("test"):
                        result = holdout.score_holdout(run, retrained, best)
                    result.record["retrain"] |= {"rows": rows, "asked": retrain_seeds}
                    result.record["ensemble"] = record.ensemble_record([member for member, _ in retrained.models[0]])
                    shown = _shown_storage(storage)
                    command = tune_command(data, asked_for | {"workers": workers, "precision": precision})
                    result.record["study"] = record.study_record(study, shown, interrupted=interrupted)
                    result.record["study"]["command"] = command
                    result.record["settings"] = settings
                    result.record["env"] = record.env_record(device, threads, workers, precision, seed)
                    budget.seconds["total"] = clock.monotonic() - budget.began
                    result.record["timing"] = record.timing_record(budget.seconds, study, before)
                    if folder is not None:
                        result.write(folder, tell.info)
                    if storage is not None:
                        _annotate(result, objective.space, tell)
                elif folder is not None:
                    write_trials(study, folder / TRIALS)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            tell.end()
    if result is None or interrupted:
        raise Stopped(result, seen.exit_status)
    return result


def load(folder: str | Path) -> ForecastModel:
    """Load the model of a run folder (or of its `model` folder).

    Raises:
        RunError: the folder holds no model, or a damaged one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{str(folder)!r} is no folder; give the run folder that tune wrote")
    return ForecastModel.load(folder / "model" if (folder / "model").is_dir() else folder)


@single_threaded_torch()
def explain(
    run: str | Path,
    *,
    data: Any = None,
    seeds: int = 3,
    timeout: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train what lies between the plain LSTM and the tuned one of a run, one change at a time.

    See `explain_run`, which says what each argument means, what is returned and what is raised.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise RunError(f"{str(folder)!r} is no folder; give the run folder that tune wrote")
    waterfall = explain_run(folder, data=data, seeds=seeds, timeout=timeout, say=say)
    try:
        write_report(folder)
    except (LstmTuneError, OSError) as error:
        say(f"the report was not written again: {error}")
    return waterfall


def _shareable(
    workers: int,
    auto: bool,
    storage: str | BaseStorage | None,
    sampler: str | BaseSampler,
    pruner: str | BasePruner,
    cores: int,
    tell: Progress,
) -> int:
    """Return how many workers there will be: one, and the reason said, where several cannot share the study."""
    try:
        check_shareable(storage, sampler, pruner)
    except UsageError as error:
        if not auto:
            raise
        tell.info(f"one worker alone: {error}")
        return 1
    processes.prepare()
    if workers > cores:
        tell.info(f"workers: {workers} share {cores} core{'s' if cores > 1 else ''}; more than cores gain nothing")
    return workers


def _annotate(result: Result, space: Space, tell: Progress) -> None:
    """Tell the dashboard what was found. The result stands; a dashboard without notes is no reason to fail."""
    try:
        write_notes(result, space.enqueued())
    except Exception as error:
        tell.info(f"the notes for the dashboard could not be written: {type(error).__name__}: {error}")


def _shown_storage(storage: str | BaseStorage | None) -> str | None:
    if storage is None:
        return None
    return mask_password(storage) if isinstance(storage, str) else type(storage).__name__
