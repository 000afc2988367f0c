"""The main job in seven steps. Each step is one function: plain values in, one value out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from lstm_tune.pipeline.advice import apply_advice
from lstm_tune.pipeline.conclusion import conclude
from lstm_tune.pipeline.early_checks import check_before_data, open_server
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.pipeline.prepare import load_dataset, make_task, open_study
from lstm_tune.pipeline.resources import Resources, pick_resources
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.pipeline.search_step import search
from lstm_tune.report.result import Result
from lstm_tune.search.budget import Clock
from lstm_tune.search.progress import Progress, checked_progress
from lstm_tune.search.space import Space
from lstm_tune.search.study import OptunaCallback
from lstm_tune.storage.urls import or_of_environment
from lstm_tune.training.parallel import single_threaded
from lstm_tune.utils import arguments
from lstm_tune.utils.signals import Stopped, stop_on_signals
from lstm_tune.workers.ray_tasks import connected


def tune(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    horizon: int = 1,
    time: str | None = None,
    id: str | Sequence[str] | None = None,
    past: str | Sequence[str] = (),
    future: str | Sequence[str] = (),
    static: str | Sequence[str] = (),
    calendar: bool | None = None,
    holidays: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    split: Sequence[Any] | str | None = None,
    season: int | Sequence[int] = (),
    folds: int = 3,
    metric: str = "mse",
    space: str | Mapping[str, Any] | Space = "default",
    first: str | Path | None = None,
    against: Any = None,
    level: float | Sequence[float] = (),
    n_trials: int | None = None,
    timeout: float | str | None = None,
    workers: int | str = 1,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    sampler: str | BaseSampler = "tpe",
    pruner: str | BasePruner = "median",
    callbacks: OptunaCallback | Sequence[OptunaCallback] = (),
    study_name: str | None = None,
    storage: str | BaseStorage | None = None,
    retrain_seeds: int = 3,
    try_advice: float = 0.1,
    out: str | Path | None = None,
    resume: bool = False,
    apply: str | None = None,
    take_over: bool = False,
    ray: str | None = None,
    progress: Progress | bool | None = None,
) -> Result:
    """Find the best LSTM for the data in the given time, and score it once on rows that no trial has seen.

    Args:
        data: DataFrame, Series, array, path of a CSV, Parquet, Feather or Excel file, or "example:NAME".
        target: column, or columns, to forecast; by default the only one there is.
        horizon: rows to forecast at once.
        time: the time column; found if there is an obvious one.
        id: column that names the series, for many series in long format; several columns are joined.
        past: covariates known up to the last row.
        future: covariates known into the future, too.
        static: covariates that do not change within a series. Text among covariates becomes categories.
        calendar: whether features of the time stamps (hour, weekday, season) are added as known-future covariates.
        holidays: country, such as "DE" or "US-CA", whose public holidays are known-future covariates: whether a day is
            one, the day before one, the day after one.
        decimal: decimal mark of numbers in text, "." or ","; by default it is found.
        thousands: separator of thousands in text; by default it is found.
        split: train, validation and test rows: three row counts; three fractions, of the rows or of the time that
            several series share; "last:48,48", the rows at the end of each series that are validated and tested on;
            or two dates, at which validation and test begin. By default 0.7, 0.1, 0.2, or what leaves room for the
            horizon if the rows are few.
        season: rows in a season, or in each of several, such as (48, 336); by default they are found.
        folds: validation blocks that each trial is judged on; the further ones lie within the train rows.
        metric: that judges trials, weighs them and ranks the baselines: "mse", "rmse", "mae", "mase", "rmsse", "wape"
            or "smape", each series and column counting alike. What networks are trained on is `loss` of the space.
        space: a preset ("classic", "quick", "default", "thorough"), a TOML file, a mapping as in TOML, or a `Space`.
        first: run folder of another study, whose best configurations are tried early, as far as the space admits them.
        against: forecasts of other models, a path or a frame, which are scored on the test rows, too; see
            `ForecastModel.evaluate`.
        level: of prediction intervals, in percent, such as [80, 95]; they are calibrated on the validation blocks.
        n_trials: trials of the whole study; those of an earlier part (`resume`) count.
        timeout: seconds for everything, the retrain included, or a time such as "10m". With neither, 50 trials within
            10 minutes, fewer if the last 12 took less than 1% off the best validation score.
        workers: processes that do the trials, or "auto": as many as pay off.
        seed: the same seed gives the same result, to the bit, on the same machine, with one worker.
        device: "auto", "cpu" or "cuda".
        precision: what trials train in: "fp32", "bf16", or "auto": bf16 if a measurement shows that it pays.
        sampler: "tpe", "random", "gp", "cmaes", "grid", or an Optuna sampler.
        pruner: "median", "none", "halving", "hyperband", "wilcoxon", or an Optuna pruner.
        callbacks: Optuna callbacks, called in this process after every trial.
        study_name: by default made from the data's name.
        storage: Optuna storage, its URL, or the path of a journal file (.journal or .log); by default what the
            environment variable OPTUNA_STORAGE names, else a journal file in `out`, or memory (with several workers: a
            temporary file).
        retrain_seeds: times that each trial of the ensemble is retrained; 1: the best trial alone.
        try_advice: share of the time limit in which what the findings advise is tried on the validation blocks, so that
            only what helps there is advised; 0: nothing is tried. Without a time limit one change is tried for every
            four trials, from one to three.
        out: run folder to write; None: none, see `Result.save`.
        resume: whether to continue the study that `out` or `storage` holds.
        apply: run folder whose advice is followed, or FOLDER:CODE for the advice of one finding. The best configuration
            of that run and the changes are tried first. Arguments that have their default take the run's value.
        take_over: whether to continue it although another machine has it: that machine is gone. Trials that it left
            running are done again.
        ray: Ray cluster whose tasks are the workers: "local", "auto" or "ray://HOST:PORT". Its nodes need this package
            and a database as `storage`; "local" does with a file.
        progress: told what happens; True: one line that is rewritten; None: that line in a notebook, else nothing.

    Returns:
        The result: model, test score, study.

    Raises:
        DataError: the data cannot be used.
        UsageError: an argument is wrong.
        StudyError: the study could not be carried out.
        KeyboardInterrupt: Ctrl-C, or SIGTERM, ended it. The trials that had ended are kept; the best so far was
            retrained if the time allowed it (a second Ctrl-C, or SIGTERM, skips that), and `out` was written. The
            exception's `result` is what would have been returned, or None if there was no model.
    """
    options = TuneOptions(
        target=target,
        horizon=horizon,
        time=time,
        id=id,
        past=past,
        future=future,
        static=static,
        calendar=calendar,
        holidays=holidays,
        decimal=decimal,
        thousands=thousands,
        split=split,
        season=season,
        folds=folds,
        metric=metric,
        space=space,
        first=first,
        against=against,
        level=level,
        n_trials=n_trials,
        timeout=timeout,
        workers=workers,
        seed=seed,
        device=device,
        precision=precision,
        sampler=sampler,
        pruner=pruner,
        study_name=study_name,
        storage=or_of_environment(storage),
        retrain_seeds=retrain_seeds,
        try_advice=try_advice,
        out=out,
        resume=resume,
        apply=apply,
        take_over=take_over,
        ray=ray,
    )
    return start(data, apply_advice(options), callbacks, progress)


def start(
    data: Any,
    options: TuneOptions,
    callbacks: OptunaCallback | Sequence[OptunaCallback] = (),
    progress: Progress | bool | None = None,
) -> Result:
    """Do what `tune` promises, with options that are checked; see `tune`."""
    callbacks, told = arguments.callables("callbacks", callbacks), checked_progress(progress)
    with stop_on_signals() as stop:
        clock = Clock(options.seconds, advice=options.try_advice)
        return run(data, RunContext(options=options, clock=clock, stop=stop, progress=told), callbacks)


@single_threaded()
def run(data: Any, context: RunContext, callbacks: Sequence[OptunaCallback] = ()) -> Result:
    """Do what `tune` promises, with options that are checked and a clock that already runs; see `tune`."""
    check_before_data(data, context.options)
    with connected(context.options.ray, context.options.storage) as cluster:
        resources = pick_resources(context.options, cluster, context.progress)
        context.clock.seconds["start"] = context.clock.elapsed
        return _run(data, context, resources, callbacks)


def _run(data: Any, context: RunContext, resources: Resources, callbacks: Sequence[OptunaCallback]) -> Result:
    options, clock, stop, progress = context.options, context.clock, context.stop, context.progress
    server = open_server(context)
    with clock.step("data"):
        dataset = load_dataset(data, options, resources.device)
        task, space = make_task(dataset, options, resources.device, progress)
    with clock.step("setup"):
        opened = open_study(context, dataset, task, space, resources, server)
    stop.cooperate()  # from here on nothing is left half done
    try:
        with clock.step("study"):
            outcome = search(opened, task, context, callbacks)
        if outcome.interrupted:
            progress.info("stopped" if stop.urgent else "stopped: the best so far is retrained; Ctrl-C skips that")
        result = conclude(outcome, dataset, task, opened, context)
    except KeyboardInterrupt as error:  # already a `Stopped`, or somebody insists, or the storage does not answer
        raise error if isinstance(error, Stopped) else Stopped(None, stop.exit_status) from None
    finally:
        opened.coordinator.release()
        progress.end()
    if stop.requested:
        raise Stopped(result, stop.exit_status)
    return result
