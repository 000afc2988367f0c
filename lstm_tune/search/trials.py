"""The one view of a trial: `Trial`, a record that is read once from the storage and handed on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.config import Config
from lstm_tune.errors import StudyError
from lstm_tune.evaluation.recorded_forecasts import Floats
from lstm_tune.search.trial_attributes import (
    Attr,
    Reader,
    as_config,
    as_count,
    as_errors,
    as_mapping,
    as_number,
    as_numbers,
    at_most,
    number_before,
    one_or_more,
)
from lstm_tune.storage.optuna_private import id_of_trial, queued_params, storage_of
from lstm_tune.training.ensemble import Candidate


class EpochRecord(NamedTuple):
    """One epoch of a trial; epoch 0 is the model before any training."""

    epoch: int
    loss: float | None  # on training windows; None: there is none that is finite
    val: float | None  # validation score
    learning_rate: float | None
    seconds: float | None  # since training began


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curve:
    """The learning curve of a trial of E epochs.

    `val` (E+1,) begins with the untrained model; `loss` and `lr` (E,) do not. A loss may be NaN, a value not.
    """

    val: Floats
    loss: Floats
    lr: Floats
    best: int  # the epoch of the least validation value
    stopped: str  # "epochs", "patience", "time"
    steps: float  # optimizer steps in an epoch; NaN: not recorded

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return len(self.loss)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a completed trial has reached."""

    value: float  # of the objective
    config: Config
    best_epoch: int  # 0: no epoch was better than the untrained model
    epochs: int  # that were trained
    stopped: str  # "epochs", "patience" or "time"
    factors: tuple[float, ...]  # of the plateau schedule, epoch by epoch
    start: float  # value before any training; inf: studies of old versions did not record it
    val_mse: tuple[float, ...]  # of each target, in its own units squared, on the validation rows
    val_score: float  # what the metric of the study says of the validation rows
    val_mse_scaled: float
    fold_mse_scaled: tuple[float, ...]  # of each fold, the validation rows first
    fold_errors: tuple[Floats, ...]  # of each fold, a sample of scaled errors; none: studies of old versions
    samples: float  # training windows that all epochs and folds have seen
    seconds: float  # of training
    setup_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A trial as a record.

    Attributes:
        number: in its study, from 0.
        state: "COMPLETE", "PRUNED", "FAIL", "RUNNING" or "WAITING".
        value: of the objective; of a pruned trial its last report; None: there is none.
        params: that were suggested.
        queued_params: that the queue asked for; None: the sampler was free.
        reports: value by step: epoch, or fold under a pruner that compares folds.
        config: all parameters, resolved; None: the trial has not come so far.
        weights: of the network.
        history: epoch by epoch.
        outcome: of a completed trial.
        half_batches: whether the memory sufficed for half a batch alone.
        same_as: number of the trial whose result this one has taken over without training.
        pruned_because: reason, of a pruned trial.
        traceback: of a failed trial.
        run: the process that has begun it, see `this_run`.
        repeats: number of the trial that it does again.
        interrupted: whether the user stopped it.
        lost: cause for which its process was lost.
    """

    number: int
    state: str
    value: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    queued_params: Mapping[str, Any] | None = None
    reports: Mapping[int, float] = field(default_factory=dict)
    config: Config | None = None
    weights: int | None = None
    history: tuple[EpochRecord, ...] = ()
    outcome: Outcome | None = None
    half_batches: bool = False
    same_as: int | None = None
    pruned_because: str | None = None
    traceback: str | None = None
    run: str | None = None
    repeats: int | None = None
    interrupted: bool = False
    lost: str | None = None

    @classmethod
    def of(cls, frozen: FrozenTrial) -> Trial:
        """Read a trial of Optuna.

        Raises:
            StudyError: an attribute is not what the package writes; says which.
        """
        read = Reader(frozen)
        value = read.check("value", frozen.values, _value)
        config = read(Attr.CONFIG, as_config, None)
        return cls(
            number=frozen.number,
            state=frozen.state.name,
            value=value,
            params=read.check("parameters", frozen.params, as_mapping),
            queued_params=read.check("system attributes", frozen.system_attrs, _queued),
            reports=read.check("intermediate values", frozen.intermediate_values, _reports),
            config=config,
            weights=read(Attr.WEIGHTS, as_count, None),
            history=read(Attr.HISTORY, _history, ()),
            outcome=_outcome(read, value, config) if frozen.state is TrialState.COMPLETE else None,
            half_batches=Attr.MICRO_BATCH in read,
            same_as=read(Attr.SAME_AS, number_before(frozen.number), None),
            pruned_because=read(Attr.PRUNED_BECAUSE, str, None),
            traceback=read(Attr.TRACEBACK, str, None),
            run=read(Attr.RUN, str, None),
            repeats=read(Attr.REPEATS, number_before(frozen.number), None),
            interrupted=bool(read(Attr.INTERRUPTED, bool, False)),
            lost=read(Attr.LOST, str, None),
        )

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.state in ("COMPLETE", "PRUNED", "FAIL")

    @property
    def trained(self) -> bool:
        """Whether it was trained to its end, and is no copy of another trial."""
        return self.outcome is not None and math.isfinite(self.outcome.value) and self.same_as is None

    @property
    def cut_untrained(self) -> bool:
        """Whether the time limit ended it before its first epoch: it tells nothing of its configuration."""
        return self.outcome is not None and self.outcome.stopped == "time" and not self.outcome.epochs

    @property
    def settings(self) -> Mapping[str, Any]:
        """All parameters, resolved; those that were suggested, if the trial has not come so far."""
        return self.config.params() if self.config else self.params

    @property
    def failure(self) -> str:
        """The last line of the traceback; "": there is none."""
        return (self.traceback or "").strip().rpartition("\n")[2]

    def completed(self) -> Outcome:
        """Return the outcome.

        Raises:
            StudyError: the trial has none: it has not completed, or another program has.
        """
        if self.outcome is None:
            raise StudyError(f"trial {self.number} was not completed by lstm_tune; use another study_name=")
        return self.outcome

    def curve(self) -> Curve | None:
        """Return the learning curve; None: there is no history, or one with a value that is not finite."""
        rows = np.array(self.history, dtype=np.float64).reshape(-1, len(EpochRecord._fields))  # None becomes NaN
        if len(rows) < 2 or not np.isfinite(rows[:, 2]).all() or (rows[:, 2] <= 0).any():
            return None
        done, config = self.outcome, self.config
        samples, folds = (done.samples, len(done.fold_mse_scaled)) if done else (math.nan, 1)
        return Curve(
            val=rows[:, 2],
            loss=rows[1:, 1],
            lr=rows[1:, 3],
            best=int(rows[:, 2].argmin()),
            stopped=done.stopped if done else "",
            steps=(samples or math.nan) / folds / (len(rows) - 1) / (config.batch_size if config else math.nan),
        )


def read_trials(study: optuna.Study, before: int | None = None) -> tuple[Trial, ...]:
    """Return all trials at this moment, in the order of their numbers: one snapshot, to be handed on.

    Args:
        study: that is read.
        before: a trial's number; only the trials before it are returned.

    Raises:
        StudyError: an attribute is not what the package writes; says which.
    """
    known = _unchanging.setdefault(storage_of(study), {})
    return tuple(_read(frozen, known) for frozen in study.get_trials(deepcopy=False)[:before])


# Trials that have ended never change, those that wait change with their state alone, and storages return the same
# objects for them each time; to read a thousand of them anew after every trial would take longer than a short trial.
_unchanging: WeakKeyDictionary[BaseStorage, dict[int, tuple[FrozenTrial, Trial]]] = WeakKeyDictionary()


def _read(frozen: FrozenTrial, known: dict[int, tuple[FrozenTrial, Trial]]) -> Trial:
    kept = known.get(id_of_trial(frozen))
    if kept is not None and kept[0] is frozen and kept[1].state == frozen.state.name:
        return kept[1]
    trial = Trial.of(frozen)
    if frozen.state is not TrialState.RUNNING:
        known[id_of_trial(frozen)] = frozen, trial
    return trial


def completed(trials: Iterable[Trial]) -> list[Trial]:
    """Return the completed trials, the best first; equal values in the order of their numbers."""
    done = [t for t in trials if t.state == "COMPLETE"]
    return sorted(done, key=lambda t: (t.value if t.value is not None else math.inf, t.number))


def distinct(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trained trials, the best first, of equal values the first one: they are one forecast."""
    ranked = completed(t for t in trials if t.trained)
    return [t for i, t in enumerate(ranked) if not i or t.value != ranked[i - 1].value]


def candidates(trials: Iterable[Trial], degree: int = 1) -> list[Candidate]:
    """Return what an ensemble is chosen from: the completed trials, the best first.

    Args:
        trials: of the study.
        degree: power that makes a value one of squared errors: 1 of the metric "mse", 2 of all others.
    """
    done = [(t.number, t.completed()) for t in completed(trials)]
    return [
        Candidate(
            number=number,
            value=o.value**degree,
            epochs=o.best_epoch,
            config=o.config,
            start=o.start**degree if o.config.starts_from_simple_forecast else math.inf,
        )
        for number, o in done
    ]


def _outcome(read: Reader, value: float | None, config: Config | None) -> Outcome | None:
    """Return what a completed trial has reached; None: another program has completed it."""
    needed = (Attr.BEST_EPOCH, Attr.EPOCHS, Attr.FACTORS, Attr.VAL_MSE, Attr.VAL_MSE_SCALED, Attr.FOLD_MSE_SCALED)
    if value is None or config is None or any(name not in read for name in needed):
        return None
    epochs = read(Attr.EPOCHS, at_most(config.epochs, "the epochs of its configuration"), 0)
    return Outcome(
        value=read.check("value", value, _error),
        config=config,
        best_epoch=read(Attr.BEST_EPOCH, at_most(epochs, "its trained epochs"), 0),
        epochs=epochs,
        stopped=read(Attr.STOPPED, str, ""),
        factors=read(Attr.FACTORS, as_numbers, ()),
        start=read(Attr.START, as_number, math.inf),
        val_mse=read(Attr.VAL_MSE, one_or_more, ()),
        val_score=read(Attr.VAL_SCORE, as_number, read(Attr.VAL_MSE_SCALED, as_number, math.nan)),
        val_mse_scaled=read(Attr.VAL_MSE_SCALED, as_number, math.nan),
        fold_mse_scaled=read(Attr.FOLD_MSE_SCALED, one_or_more, ()),
        fold_errors=read(Attr.FOLD_ERRORS, as_errors, ()),
        samples=read(Attr.SAMPLES, as_number, 0.0),
        seconds=read(Attr.SECONDS, as_number, 0.0),
        setup_seconds=read(Attr.SETUP_SECONDS, as_number, 0.0),
    )


def _value(values: Any) -> float | None:
    return as_numbers(values)[0] if values else None


def _error(value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError("must be a finite number of at least 0")
    return value


def _queued(attributes: Any) -> Mapping[str, Any] | None:
    params = queued_params(as_mapping(attributes))
    return as_mapping(params) if params else None  # a ticket asks for nothing


def _reports(value: Mapping[Any, Any]) -> dict[int, float]:
    return {as_count(step): as_number(v) for step, v in value.items()}


def _history(value: Any) -> tuple[EpochRecord, ...]:
    width = len(EpochRecord._fields)
    if not isinstance(value, Sequence) or any(not isinstance(r, Sequence) or len(r) != width for r in value):
        raise TypeError(f"must be rows of {width} numbers")
    return tuple(
        EpochRecord(as_count(row[0]), *(None if v is None else as_number(v) for v in row[1:])) for row in value
    )
