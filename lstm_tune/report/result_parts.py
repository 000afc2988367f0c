"""What a result is made from: in memory after `tune`, or read from a run folder and its data when it is asked for."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.pruners import WilcoxonPruner
from optuna.storages import BaseStorage

from lstm_tune.data.split import Split
from lstm_tune.data.windows import Windows
from lstm_tune.errors import RunError, StudyError
from lstm_tune.evaluation.score import Forecaster
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.report.page import DETAILS
from lstm_tune.report.page import SCHEMA as DETAILS_SCHEMA
from lstm_tune.report.report_json import curves, drawn_trials, importances
from lstm_tune.report.run_folder import RESULT, storage_of_run
from lstm_tune.report.run_rows import RunRows, read_rows
from lstm_tune.search.trials import Trial, read_trials
from lstm_tune.storage.open import open_read_only
from lstm_tune.training.saved_model import ForecastModel
from lstm_tune.training.task import build_task
from lstm_tune.utils.atomic_files import read_json
from lstm_tune.utils.text import counted


class Parts(Protocol):
    """What a result is made from; `Result` says what each is."""

    @property
    def study(self) -> optuna.Study:
        """The study."""

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials of it."""

    @property
    def windows(self) -> Windows:
        """The windows of all rows."""

    @property
    def split(self) -> Split:
        """The split of the rows."""

    @property
    def baselines(self) -> Mapping[str, Forecaster]:
        """The forecasts without an LSTM."""

    def drawn(self, part: str) -> Any:
        """Return a part of `report.json`: "trials", "curves" or "importances"."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MadeParts:
    """The parts of a result that was made in this session."""

    study: optuna.Study
    trials: tuple[Trial, ...]
    windows: Windows
    split: Split
    baselines: Mapping[str, Forecaster]

    def drawn(self, part: str) -> Any:
        """Return a part of `report.json`."""
        ended = [trial for trial in self.trials if trial.finished]
        match part:
            case "trials":
                return drawn_trials(ended)
            case "curves":
                return curves(ended, by_fold=isinstance(self.study.pruner, WilcoxonPruner))
        return importances(self.study)


class SavedParts:
    """The parts of a result that was made in an earlier session; each is read once, when it is first asked for."""

    def __init__(
        self,
        folder: Path,
        model: ForecastModel,
        record: Mapping[str, Any],
        data: Any,
        storage: str | Path | BaseStorage | None,
    ) -> None:
        """Remember where the parts lie.

        Args:
            folder: of the run.
            model: of the run.
            record: what `result.json` holds.
            data: of the run, if they are no longer at their path.
            storage: of the study, or a run folder that holds it; None: as the folder of the run says.
        """
        self._folder, self._model, self._record, self._data, self._storage = folder, model, record, data, storage

    @cached_property
    def study(self) -> optuna.Study:
        """The study, which cannot be changed.

        Raises:
            RunError: it is not in the folder, and its storage is not known.
            StudyError: its storage cannot be opened, no longer holds it, or holds it otherwise than it was.
        """
        stored = self._folder if self._storage is None else self._storage
        if isinstance(stored, str | Path):
            in_run = os.path.isdir(stored)  # unlike Path.is_dir it never raises
            stored = open_read_only(storage_of_run(Path(stored), "pass storage=") if in_run else stored)
        name = self._record["study"]["name"]
        try:
            study = optuna.load_study(study_name=name, storage=stored)
        except KeyError:
            raise StudyError(f"the storage no longer holds the study {name!r} of {str(self._folder)!r}") from None
        if difference := _difference(self._record, read_trials(study)):
            raise StudyError(
                f"the study {name!r} in the storage is not that of {str(self._folder)!r}: {difference}; restore it "
                f"from a copy, pass storage= of the right one, or, if it has gone on, repeat tune with resume=True"
            )
        return study

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """All trials."""
        return tuple(read_trials(self.study))

    @cached_property
    def _rows(self) -> RunRows:
        return read_rows(self._folder, self._model, self._record, self._data, "pass them as data=")

    @cached_property
    def windows(self) -> Windows:
        """The windows of all rows.

        Raises:
            UsageError: the data are no longer there, or others.
        """
        return Windows(self._rows.series, self._model.horizon)

    @property
    def split(self) -> Split:
        """The split of the rows."""
        return self._rows.split

    @cached_property
    def baselines(self) -> Mapping[str, Forecaster]:
        """The forecasts without an LSTM, fitted once more."""
        rows, split = self._rows, self.split
        task = build_task(rows.series, split, self._model.horizon, folds=rows.folds, seasons=rows.seasons)
        return fit_baselines(
            self.windows.with_period(task.period),
            split.final.fit,
            period=task.period,
            max_lookback=task.limits.max_lookback,
            scale=task.scale,
            combination=task.combination,
        )

    def drawn(self, part: str) -> Any:
        """Return a part of `report.json`.

        Raises:
            RunError: the file is missing or damaged.
        """
        if not (self._folder / DETAILS).is_file():
            raise RunError(f"{str(self._folder)!r} holds no {DETAILS}, of which this is drawn; run tune again")
        details = read_json(self._folder / DETAILS, DETAILS_SCHEMA)
        if part not in details:
            raise RunError(f"{self._folder / DETAILS} was written by an earlier version; run tune again")
        return details[part]


def _difference(record: Mapping[str, Any], trials: Sequence[Trial]) -> str:
    """Return how the trials of a study differ from what `result.json` tells of them; "": they do not.

    A trial that still ran when the file was written, as a worker's may, has ended since.
    """
    told, found = Counter(record["study"]["states"]), Counter(t.state for t in trials if t.state != "WAITING")
    if found.total() != told.total() or any(found[s] < n for s, n in told.items() if s != "RUNNING"):
        return f"it holds {_counts(found)}, and {RESULT} tells of {_counts(told)}"
    best = record["best"]
    value = next((t.value for t in trials if t.number == best["trial"]), None)
    value = None if value is None or not math.isfinite(value) else value  # as JSON holds it
    if value == best["value"]:
        return ""
    return f"the score of trial {best['trial']} there is {value}, and in {RESULT} {best['value']}"


def _counts(states: Counter[str]) -> str:
    return f"{counted(states.total(), 'trial')} ({', '.join(f'{n} {state}' for state, n in states.items() if n)})"
