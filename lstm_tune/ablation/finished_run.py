"""The finished run that is explained, read back from its folder: data, task, and the saved model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lstm_tune.config import PLAIN, Config
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.diagnosis.action import Action
from lstm_tune.diagnosis.next_step import promise
from lstm_tune.errors import RunError, UsageError
from lstm_tune.report.environment import versions
from lstm_tune.report.run_folder import RESULT, SCHEMA
from lstm_tune.report.run_rows import read_rows
from lstm_tune.training.device import pick_device
from lstm_tune.training.limits import Limits
from lstm_tune.training.retrain import Member
from lstm_tune.training.saved_model import ForecastModel
from lstm_tune.training.task import Task, build_task
from lstm_tune.utils.atomic_files import read_json, refuse_damage


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FinishedRun:
    """A run as `explain` needs it.

    Attributes:
        series: all rows.
        parts: of the rows.
        task: that the trials shared.
        start: the plain LSTM, as far as the data allow it.
        end: the configuration of the best trial.
        members: of the saved model.
        seeds: of the trainings of each step.
        precision: of all trainings.
        test: the test score of the saved model, from `result.json`.
        advised: changes of the space that the findings advise, each once, the most promising first.
        basis: a short name of all that trainings depend on; only those of the same basis can be compared.
    """

    series: SeriesSet
    parts: Split
    task: Task
    start: Config
    end: Config
    members: tuple[Member, ...]
    seeds: tuple[int, ...]
    precision: str
    test: Mapping[str, Any]
    advised: tuple[Action, ...]
    basis: str


def read_run(folder: Path, data: Any, seeds: int) -> FinishedRun:
    """Read the run in a folder.

    Args:
        folder: that `tune` wrote.
        data: of the run, if they are no longer at the path that it was given.
        seeds: number of trainings of each step; the seeds count up from the run's seed.

    Raises:
        UsageError: other data than those of the run, or none.
        RunError: the folder holds no run, or a file in it is damaged.
    """
    path = folder / RESULT
    result = read_json(path, SCHEMA)
    if "settings" not in result:
        raise RunError(f"{path} was written by an earlier version and lacks the settings of the study; run tune again")
    with refuse_damage(path, UsageError):
        settings = result["settings"]
        horizon, seed = int(settings["horizon"]), int(settings["seed"])
        most, precision = settings["space"].get("epoch_samples"), str(settings["precision"])
        end = Config.from_params(result["best"]["params"])
        members = tuple(map(_member, result["ensemble"]))
        test = {key: result["test"][key] for key in ("mse", "mse_scaled", "windows")}
        actions = [Action.from_dict(a) for f in result["findings"] for a in f.get("actions", ())]
    model = ForecastModel.load(folder / "model")
    rows = read_rows(folder, model, result, data, "name their new path with data=")
    series, parts, folds, seasons = rows.series, rows.split, rows.folds, rows.seasons
    device = pick_device("auto")
    task = build_task(series, parts, horizon, folds=folds, device=device, epoch_samples=most, seasons=seasons)
    about = [*seasons, str(settings["data"]), horizon, settings["split"], folds, most, precision, device, versions()]
    return FinishedRun(
        series=series,
        parts=parts,
        task=task,
        start=plain_within(task.limits),
        end=end,
        members=members,
        seeds=tuple(range(seed, seed + seeds)),
        precision=precision,
        test=test,
        advised=_changes(actions),
        basis=digest(about),
    )


def _changes(actions: Iterable[Action]) -> tuple[Action, ...]:
    found: dict[str, Action] = {}
    for action in sorted(actions, key=promise, reverse=True):
        if action.space and not action.options:
            found.setdefault(action.describe(), action)
    return tuple(found.values())


def _member(entry: Mapping[str, Any]) -> Member:
    trial, epochs, weight = int(entry["trial"]), int(entry["epochs"]), float(entry["weight"])
    config = Config.from_params(entry["params"])
    return Member(trial=trial, config=config, epochs=epochs, factors=(), weight=weight)


def plain_within(limits: Limits) -> Config:
    """Return the plain LSTM, its lookback and batch no larger than the data allow."""
    return replace(
        PLAIN,
        lookback=min(PLAIN.lookback, limits.max_lookback),
        batch_size=min(PLAIN.batch_size, limits.max_batch_size),
    )


def digest(value: Any) -> str:
    """Return a short name of a JSON value; equal values have equal names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
