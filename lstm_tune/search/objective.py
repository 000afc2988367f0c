"""The objective for a study of one's own: data and a search space become a callable for `study.optimize`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import optuna

from lstm_tune.data.adapted_split import load_and_split
from lstm_tune.data.load import load_series
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split_rule import SplitRule, read_split
from lstm_tune.evaluation.metrics import checked_metric
from lstm_tune.search.space import Space, load_space, space_from_mapping
from lstm_tune.search.task_objective import TaskObjective, Trained
from lstm_tune.training.fitting import EpochStats
from lstm_tune.training.task import build_task
from lstm_tune.utils import arguments
from lstm_tune.utils.notes import warn


class Objective:
    """A callable for `study.optimize`: trains the configuration that the trial suggests, returns its validation error.

    The value is the MSE of the forecast in original units over the variance of the train rows, or another metric; with
    several targets the mean over them, with several folds the mean over them in units of a baseline
    (`Task.normalised`). It is the best value that was reported; a trial reports after every epoch, and the pruner is
    asked each time.

    `lstm_tune.finish(study, objective)` makes a model of what the study found.

    Args:
        data: what `lstm_tune.tune` takes, or a `SeriesSet`.
        space: a preset's name, a TOML file, a mapping as in TOML, or a `Space`.
        target: column, or columns, to forecast.
        time: the time column; found if there is an obvious one.
        id: column, or columns, that name the series, for many series in long format.
        horizon: rows to forecast at once.
        past: covariates known up to the last row.
        future: covariates known into the future, too.
        static: covariates that do not change within a series. Text among covariates becomes categories.
        calendar: whether features of the time stamps are added as known-future covariates.
        holidays: country, such as "DE" or "US-CA", whose public holidays are known-future covariates.
        decimal: the decimal mark of numbers in text, "." or ","; found if the text shows it.
        thousands: the mark between groups of three digits.
        split: train, validation and test rows, as `lstm_tune.tune` takes them. Trials never read test rows.
        season: rows in a season, or in each of several; found if none is given.
        folds: validation blocks.
        metric: that trials are judged by, as `lstm_tune.tune` takes it.
        seed: of weights, shuffling and dropout; a trial's value is a function of data, configuration and seed.
        device: "cpu" or "cuda".
        precision: "fp32" or "bf16": what trials train in.
        threads: that share the folds of a trial; the result does not depend on them.
        on_epoch: called with (trial number, statistics) after each epoch.
        on_trained: called with what each completed trial has trained.
        deadline: called before a trial; returns the time (`time.monotonic`) at which it must stop with what it has.

    Attributes:
        series: the data, test rows included.
        split: of their rows.
        rule: that the split was made by.
        trials: the objective itself, which knows no test row.

    Raises:
        DataError: the data cannot be used.
        UsageError: an argument is wrong.
    """

    def __init__(
        self,
        data: Any,
        space: str | Mapping[str, Any] | Space = "default",
        *,
        target: str | Sequence[str] | None = None,
        time: str | None = None,
        id: str | Sequence[str] | None = None,
        horizon: int = 1,
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
        seed: int = 0,
        device: str = "cpu",
        precision: str = "fp32",
        threads: int = 1,
        on_epoch: Callable[[int, EpochStats], None] = lambda number, stats: None,
        on_trained: Callable[[Trained], None] = lambda trained: None,
        deadline: Callable[[], float] = lambda: math.inf,
    ) -> None:
        horizon, folds = arguments.whole("horizon", horizon, 1), arguments.whole("folds", folds, 1)
        seed, threads = arguments.whole("seed", seed, 0, 2**31 - 1), arguments.whole("threads", threads, 1)
        rule = read_split("split", split)
        reading = arguments.reading(target=target, time=time, id=id, past=past, future=future, static=static)
        reading |= arguments.reading(calendar=calendar, holidays=holidays, decimal=decimal, thousands=thousands)
        seasons, metric = arguments.wholes("season", season, 2), checked_metric("metric", metric)
        rest = {"horizon": horizon, "split": rule, "season": seasons, "folds": folds, "metric": metric}
        self.arguments = reading | rest
        cut = load_and_split(partial(_load, data, reading), rule, horizon)
        self.series, self.split, self.rule = cut.series, cut.split, cut.rule
        full = resolve_space(space)
        task = build_task(
            self.series,
            self.split,
            horizon,
            folds=folds,
            device=device,
            epoch_samples=full.epoch_samples,
            seasons=seasons,
            metric=metric,
        )
        warn((*self.series.notes, *self.split.notes, *task.notes))
        self.trials = TaskObjective(
            task,
            full,
            seed=seed,
            precision=precision,
            threads=threads,
            on_epoch=on_epoch,
            on_trained=on_trained,
            deadline=deadline,
        )

    def __call__(self, trial: optuna.Trial) -> float:
        """Train what the trial suggests and return its value; see `TaskObjective`."""
        return self.trials(trial)

    @property
    def space(self) -> Space:
        """The space, cut to what the data allow."""
        return self.trials.space

    @property
    def best(self) -> Trained | None:
        """The models of the best trial that this process has trained; None: there was none."""
        return self.trials.best


def _load(data: Any, reading: Mapping[str, Any], rule: SplitRule) -> SeriesSet:
    return data if isinstance(data, SeriesSet) else load_series(data, **reading, split=rule)


def resolve_space(space: str | Mapping[str, Any] | Space) -> Space:
    """Return the space that a name, a file, a mapping or a `Space` stands for."""
    if isinstance(space, Space):
        return space
    return space_from_mapping(space) if isinstance(space, Mapping) else load_space(space)
