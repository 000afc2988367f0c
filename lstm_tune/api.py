"""`tune`: the main job, put together from the other modules."""

from __future__ import annotations

import contextlib
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from lstm_tune import processes, record
from lstm_tune.baselines import fit_baselines
from lstm_tune.budget import Budget
from lstm_tune.config import Config
from lstm_tune.ensemble import MEMBERS, weigh
from lstm_tune.errors import RunError, StudyError, UsageError
from lstm_tune.evaluate import bootstrap_interval, score
from lstm_tune.forecaster import DataSpec, ForecastModel
from lstm_tune.loader import load_series
from lstm_tune.objective import ARTICLE_SPLIT, Objective, resolve_space
from lstm_tune.options import (
    JOURNAL,
    check_counts,
    claim_folder,
    pick_device,
    run_name,
)
from lstm_tune.precision import check_precision, has_bf16, pick_precision
from lstm_tune.progress import Progress, Silent
from lstm_tune.result import Result, test_score
from lstm_tune.retrain import Member, Retrained, retrain
from lstm_tune.series import SeriesSet
from lstm_tune.space import Space
from lstm_tune.split import Split, make_split
from lstm_tune.study import (
    OptunaCallback,
    candidates,
    completed,
    create_study,
    enqueue_known,
    gained_nothing,
    kept_precision,
    make_pruner,
    make_sampler,
    mask_password,
    open_storage,
    spent,
    stop_after_failures,
    temporary_journal,
)
from lstm_tune.task import Task, build_task
from lstm_tune.train import side_by_side
from lstm_tune.windows import Windows
from lstm_tune.workers import Job, check_shareable, optimize

DEFAULT_TRIALS = 50
DEFAULT_TIMEOUT = 600.0
DEFAULT_PATIENCE = 12


@contextlib.contextmanager
def _one_core_each() -> Iterator[None]:
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


@_one_core_each()
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
    split: Sequence[float] = ARTICLE_SPLIT,
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
        storage: Optuna storage or its URL; by default a journal file in `out`, or memory (with several workers: a
            temporary file).
        retrain_seeds: times that each trial of the ensemble is retrained; 1: the best trial alone.
        out: run folder to write; None: none, see `Result.save`.
        resume: whether to continue the study that `out` or `storage` holds.
        progress: told what happens.

    Returns:
        The result: model, test score, study.

    Raises:
        DataError: the data cannot be used.
        UsageError: an argument is wrong.
        StudyError: the study could not be carried out.
    """
    check_counts(n_trials, timeout, seed, retrain_seeds)
    patience = None
    if n_trials is None and timeout is None:
        n_trials, timeout, patience = DEFAULT_TRIALS, DEFAULT_TIMEOUT, DEFAULT_PATIENCE
    budget = Budget(timeout=timeout, seeds=retrain_seeds)
    tell = progress or Silent()
    device = pick_device(device)
    check_precision(precision, device)
    cores = processes.available_cores()
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
        trial_threads = max(1, threads // workers)
        objective = Objective(task, chosen, seed=seed, threads=trial_threads, on_epoch=tell.epoch)
    for note in (*series.notes, *parts.notes, *task.notes, *objective.notes):
        tell.note(note)

    folder = None if out is None else claim_folder(Path(out), resume)
    if pruner == "wilcoxon" and len(task.folds) == 1:
        tell.note("pruner: wilcoxon compares folds, and there is one alone: nothing will be pruned; pass --folds 3")
    alone = False
    if storage is None and folder is not None:
        storage, alone = str((folder / JOURNAL).resolve()), True
    shared = temporary_journal() if storage is None and workers > 1 else storage
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
    opened, name = open_storage(shared), study_name or run_name(series.path, series.targets, horizon)
    if precision == "auto":  # a study that goes on keeps the precision that it began with
        precision = kept_precision(opened, name) or pick_precision(precision, task, objective.space)
        if precision == "bf16" and not has_bf16(device):
            raise StudyError(f"study {name!r} trains in bf16, which this machine lacks; resume it where it was begun")
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
    run = _Run(
        series=series,
        parts=parts,
        objective=objective,
        everything=Windows(series, horizon, device),
        study=study,
        budget=budget,
        seed=seed,
        retrain_seeds=retrain_seeds,
        threads=threads,
        tell=tell,
    )
    budget.threads = threads
    budget.growth = run.samples / max(task.folds[0].samples, sum(f.samples for f in task.folds) / trial_threads)
    try:
        with budget.phase("study"):
            job = Job(
                storage=study._storage if shared is None else shared,
                study=study.study_name,
                sampler=study.sampler,
                pruner=study.pruner,
                task=task,
                space=objective.space,
                seed=seed,
                precision=precision,
                threads=trial_threads,
                verbosity=optuna.logging.get_verbosity(),
            )
            _search(run, job, workers, n_trials, patience, callbacks)
        best = _winner(study)
        with budget.phase("retrain"):
            retrained, rows = _retrain(run, best)
        with budget.phase("test"):
            result = _test(run, retrained, best)
            result.record["retrain"] |= {"rows": rows, "asked": retrain_seeds}
            result.record["ensemble"] = record.ensemble_record([member for member, _ in retrained.models[0]])
    finally:
        tell.end()
    result.record["study"] = record.study_record(study, _shown_storage(storage))
    result.record["env"] = record.env_record(device, threads, workers, precision, seed)
    budget.seconds["total"] = clock.monotonic() - budget.began
    result.record["timing"] = record.timing_record(budget.seconds, study)
    if folder is not None:
        result.write(folder)
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Run:
    """What the phases of `tune` share."""

    series: SeriesSet
    parts: Split
    objective: Objective
    everything: Windows  # of all rows; only the retrain and the test are given rows that no trial may see
    study: optuna.Study
    budget: Budget
    seed: int
    retrain_seeds: int
    threads: int
    tell: Progress

    @property
    def task(self) -> Task:
        """What the trials share."""
        return self.objective.task

    @property
    def samples(self) -> int:
        """Training windows in an epoch of the retrain: the trials' times the growth of the rows."""
        rows = (self.parts.train, self.parts.final.fit)
        before, after = (len(self.everything.positions(r, 0, reach_back=False)) for r in rows)
        return round(self.task.folds[0].samples * after / before)

    def chosen(self) -> list[tuple[FrozenTrial, float]]:
        """Choose the completed trials whose weighted mean forecast is the model, or the best one alone."""
        trials = {t.number: t for t in completed(self.study)}
        if not trials:
            return []
        members = 1 if self.retrain_seeds == 1 else MEMBERS
        weights = weigh(candidates(self.study), independent=self.task.independent_windows, members=members)
        return [(trials[number], weight) for number, weight in weights.items()]


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
        tell.note(f"one worker alone: {error}")
        return 1
    processes.prepare()
    if workers > cores:
        tell.note(f"workers: {workers} share {cores} core{'s' if cores > 1 else ''}; more than cores gain nothing")
    return workers


def _search(
    run: _Run,
    job: Job,
    workers: int,
    n_trials: int | None,
    patience: int | None,
    callbacks: Sequence[OptunaCallback],
) -> None:
    """Run what is left of the study's budget, in this process or in several workers."""
    study, objective, budget, tell = run.study, run.objective, run.budget, run.tell
    stopped = False

    def to_retrain() -> list[FrozenTrial]:
        return [trial for trial, _ in run.chosen()]

    def after_trial(study: optuna.Study, trial: FrozenTrial) -> None:
        nonlocal stopped
        tell.trial(trial)
        if not stopped and (clock.monotonic() >= budget.study_end(to_retrain()) or no_longer_helps()):
            stopped = True  # other workers' trials may still end; the reason is said once
            study.stop()

    def no_longer_helps() -> bool:
        if patience is None or not gained_nothing(study, patience):
            return False
        tell.note(
            f"stopped after {spent(study)} trials: the last {patience} took less than 1% off the best validation "
            f"score; for more pass --trials or --timeout, and --resume to go on"
        )
        return True

    done = spent(study)
    if not study.get_trials(deepcopy=False):
        enqueue_known(study, objective.space)
    objective.deadline = lambda: budget.trial_end(to_retrain())
    remaining = None if n_trials is None else max(0, n_trials - done)
    tell.begin(n_trials, done, budget.left())
    if remaining == 0 or no_longer_helps():
        return
    every = [after_trial, stop_after_failures, *callbacks]
    if workers > 1:
        optimize(study, job, workers, n_trials=remaining, deadline=objective.deadline, callbacks=every, tell=tell)
    else:
        study.optimize(objective, n_trials=remaining, callbacks=every, catch=(Exception,))


def _winner(study: optuna.Study) -> FrozenTrial:
    ranked = completed(study)
    if not ranked:
        reasons = [t.user_attrs.get("pruned_because") for t in study.get_trials(deepcopy=False)]
        reason = next((r for r in reversed(reasons) if r), "none was begun")
        raise StudyError(f"no trial was completed (last reason: {reason}); allow more trials or time, or another space")
    return ranked[0]


def _member(trial: FrozenTrial, weight: float) -> Member:
    attrs = trial.user_attrs
    return Member(
        trial=trial.number,
        config=Config.from_params(attrs["config"]),
        epochs=attrs["best_epoch"],
        factors=tuple(attrs["factors"]),
        weight=weight,
    )


def _retrain(run: _Run, best: FrozenTrial) -> tuple[Retrained, str]:
    """Train the chosen trials on train and validation rows; where time allows none, keep the best trial's own weights.

    Returns:
        The models, and the rows that they were trained on: "train+val" or "train".
    """
    objective, seed = run.objective, run.seed
    own = objective.best if objective.best is not None and objective.best.number == best.number else None
    retrained = retrain(
        run.everything,
        run.parts.final.fit,
        run.task.shape,
        [_member(trial, weight) for trial, weight in run.chosen()],
        samples=run.samples,
        seeds=range(seed, seed + run.retrain_seeds),
        precision=objective.precision,
        deadline=run.budget.retrain_end,
        at_least_one=own is None,
        threads=run.threads,
        on_model=run.tell.retrain,
    )
    if retrained.seeds:
        return retrained, "train+val"
    if own is None:
        raise StudyError(f"retraining trial {best.number} diverged with every seed; pass another --seed or --space")
    run.tell.note("no time for the retrain: the model is the best trial's own, trained on the train rows alone")
    return Retrained(seeds=(seed,), models=(((_member(best, 1.0), own.models[0]),),)), "train"


def _test(run: _Run, retrained: Retrained, best: FrozenTrial) -> Result:
    """Read the test rows, once: score the model, each of its seeds, and the baselines on the same windows."""
    series, parts, task, study = run.series, run.parts, run.task, run.study
    model = ForecastModel(retrained.network().cpu(), task.shape, DataSpec.of(series), task.scale)
    windows = Windows(series, task.shape.horizon)
    positions = windows.positions(parts.test, 0, reach_back=True)
    fitted = fit_baselines(
        windows, parts.final.fit, period=task.period, max_lookback=task.limits.max_lookback, sd=task.scale.sd
    )
    baselines = {name: score(f, windows, positions, task.scale, each=False) for name, f in fitted.items()}
    # In evaluation mode already, so that threads can share the models.
    networks = [model.network]
    if len(retrained.seeds) > 1:
        networks += [retrained.network(i) for i in range(len(retrained.seeds))]
    scores = side_by_side(
        lambda i: score(networks[i], windows, positions, task.scale, each=not i), len(networks), run.threads
    )
    total, alone = scores[0], scores[1:] or scores
    block = max(task.shape.horizon, task.shape.period)
    tested = test_score(total, series.targets, task.scale.sd, bootstrap_interval(total, block, run.seed))
    return Result(
        model=model,
        study=study,
        test=tested,
        best_params=best.user_attrs["config"],
        record={
            "schema": record.SCHEMA,
            "data": record.data_record(series, parts, task.shape.horizon),
            "study": {},
            "best": record.best_record(best, series.targets),
            "test": record.test_record(tested),
            "retrain": record.retrain_record(retrained, alone, best, series.targets),
            "baselines": record.baselines_record(task, baselines, series.targets),
            "skill": record.skill_record(tested, baselines),
            "findings": [],
        },
        windows=windows,
        test_positions=positions,
    )


def _shown_storage(storage: str | BaseStorage | None) -> str | None:
    if storage is None:
        return None
    return mask_password(storage) if isinstance(storage, str) else type(storage).__name__
