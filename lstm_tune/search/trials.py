"""The one view of a trial: what the objective and the queue write on it, and how the rest of the package reads it.

A trial's record is kept in Optuna's user attributes, whose names stand in `Attr` and nowhere else. They are part of
the storage format: a study that was begun before must resume.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.config import Config
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.evaluation.recorded_forecasts import Floats
from lstm_tune.training.ensemble import Candidate
from lstm_tune.training.fitting import EpochStats, TrainResult

T = TypeVar("T")


class Attr:
    """Names of a trial's user attributes in the storage."""

    CONFIG = "config"
    MODEL = "model"  # the configuration in words, for people who look at the trial
    SETUP_SECONDS = "setup_seconds"
    PRECISION = "precision"
    WEIGHTS = "parameters"
    MICRO_BATCH = "micro_batch"
    HISTORY = "history"
    VAL_MSE = "val_mse"
    VAL_MSE_SCALED = "val_mse_scaled"
    FOLD_MSE_SCALED = "fold_mse_scaled"
    START = "start"
    BEST_EPOCH = "best_epoch"
    EPOCHS = "epochs"
    STOPPED = "stopped"
    FACTORS = "factors"
    SECONDS = "seconds"
    SAMPLES = "samples"
    PRUNED_BECAUSE = "pruned_because"
    TRACEBACK = "traceback"
    SAME_AS = "same_as_trial"
    RUN = "run"  # the process that has the trial; also of the study: the process that coordinates it
    REPEATS = "repeats"
    INTERRUPTED = "interrupted"
    LOST = "lost"


_NOT_COPIED = {Attr.RUN, Attr.REPEATS}  # they say whose a trial is and why it was begun, not how it ended


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
    val_mse_scaled: float
    fold_mse_scaled: tuple[float, ...]  # of each fold, the validation rows first
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
        read = _Reader(frozen)
        config = read(Attr.CONFIG, _config, None)
        return cls(
            number=frozen.number,
            state=frozen.state.name,
            value=read.value(),
            params=frozen.params,
            queued_params=frozen.system_attrs.get("fixed_params"),
            reports=frozen.intermediate_values,
            config=config,
            weights=read(Attr.WEIGHTS, _count, None),
            history=read(Attr.HISTORY, _history, ()),
            outcome=_outcome(read, config) if frozen.state is TrialState.COMPLETE else None,
            half_batches=Attr.MICRO_BATCH in frozen.user_attrs,
            same_as=read(Attr.SAME_AS, _earlier(frozen.number), None),
            pruned_because=read(Attr.PRUNED_BECAUSE, str, None),
            traceback=read(Attr.TRACEBACK, str, None),
            run=read(Attr.RUN, str, None),
            repeats=read(Attr.REPEATS, _earlier(frozen.number), None),
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
            raise StudyError(f"trial {self.number} was not completed by lstm_tune; use another --study")
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


def read_trials(study: optuna.Study) -> tuple[Trial, ...]:
    """Return all trials at this moment, in the order of their numbers: one snapshot, to be handed on.

    Raises:
        StudyError: an attribute is not what the package writes; says which.
    """
    return tuple(Trial.of(t) for t in study.get_trials(deepcopy=False))


def completed(trials: Iterable[Trial]) -> list[Trial]:
    """Return the completed trials, the best first; equal values in the order of their numbers."""
    done = [t for t in trials if t.state == "COMPLETE"]
    return sorted(done, key=lambda t: (t.value if t.value is not None else math.inf, t.number))


def distinct(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trained trials, the best first, of equal values the first one: they are one forecast."""
    ranked = completed(t for t in trials if t.trained)
    return [t for i, t in enumerate(ranked) if not i or t.value != ranked[i - 1].value]


def candidates(trials: Iterable[Trial]) -> list[Candidate]:
    """Return what an ensemble is chosen from: the completed trials, the best first."""
    done = [(t.number, t.completed()) for t in completed(trials)]
    return [
        Candidate(
            number=number,
            value=o.value,
            epochs=o.best_epoch,
            config=o.config,
            start=o.start if o.config.starts_from_simple_forecast else math.inf,
        )
        for number, o in done
    ]


# ---- writing


def write_config(trial: optuna.Trial, config: Config) -> None:
    """Record what is tried, before it is trained."""
    trial.set_user_attr(Attr.CONFIG, config.params())
    trial.set_user_attr(Attr.MODEL, config.describe())


def write_setup(trial: optuna.Trial, *, seconds: float, precision: str, weights: int) -> None:
    """Record the trainers that were made."""
    trial.set_user_attr(Attr.SETUP_SECONDS, round(seconds, 3))
    trial.set_user_attr(Attr.PRECISION, precision)
    trial.set_user_attr(Attr.WEIGHTS, weights)


def write_micro_batch(trial: optuna.Trial, size: int) -> None:
    """Record that the memory sufficed for batches of this size alone."""
    trial.set_user_attr(Attr.MICRO_BATCH, size)


def write_history(trial: optuna.Trial, history: Sequence[EpochStats]) -> None:
    """Record the epochs, as rows of numbers that JSON can hold."""
    rows = [
        [
            s.epoch,
            None if math.isnan(s.train_loss) else float(f"{s.train_loss:.6g}"),
            float(f"{s.val:.8g}"),
            float(f"{s.learning_rate:.4g}"),
            round(s.seconds, 3),
        ]
        for s in history
    ]
    trial.set_user_attr(Attr.HISTORY, rows)


def write_outcome(
    trial: optuna.Trial,
    result: TrainResult,
    *,
    val_mse: Sequence[float],
    fold_mse_scaled: Sequence[float],
) -> None:
    """Record what the trial has reached.

    Args:
        trial: that is about to complete.
        result: of its training.
        val_mse: of each target on the validation rows, in original units squared.
        fold_mse_scaled: of each fold, the validation rows first.
    """
    trial.set_user_attr(Attr.VAL_MSE, list(val_mse))
    trial.set_user_attr(Attr.VAL_MSE_SCALED, fold_mse_scaled[0])
    trial.set_user_attr(Attr.FOLD_MSE_SCALED, list(fold_mse_scaled))
    trial.set_user_attr(Attr.START, result.start)
    trial.set_user_attr(Attr.BEST_EPOCH, result.best_epoch)
    trial.set_user_attr(Attr.EPOCHS, result.epochs)
    trial.set_user_attr(Attr.STOPPED, result.stopped)
    trial.set_user_attr(Attr.FACTORS, list(result.factors))
    write_history(trial, result.history)
    trial.set_user_attr(Attr.SECONDS, round(result.history[-1].seconds, 3))
    trial.set_user_attr(Attr.SAMPLES, result.history[-1].samples)


def write_pruned(trial: optuna.Trial, reason: str) -> None:
    """Record why the trial is pruned."""
    trial.set_user_attr(Attr.PRUNED_BECAUSE, reason)


def write_failed(trial: optuna.Trial, traceback: str) -> None:
    """Record why the trial fails."""
    trial.set_user_attr(Attr.TRACEBACK, traceback)


def write_interrupted(trial: optuna.Trial) -> None:
    """Record that the user stopped the trial: a resumed study tries it again."""
    trial.set_user_attr(Attr.INTERRUPTED, True)


def write_copy(trial: optuna.Trial, twin: FrozenTrial) -> None:
    """Record the outcome of another trial of the same configuration, and that it is that trial's."""
    for name, value in twin.user_attrs.items():
        if name not in _NOT_COPIED:
            trial.set_user_attr(name, value)
    trial.set_user_attr(Attr.SAME_AS, twin.number)


def tried_params(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """Return the resolved parameters that a trial tries; None: it has not come so far."""
    return trial.user_attrs.get(Attr.CONFIG)


# ---- reading


class _Reader:
    """Reads the attributes of one trial, each checked."""

    def __init__(self, frozen: FrozenTrial) -> None:
        self.frozen = frozen

    def __call__(self, name: str, convert: Callable[[Any], T], default: T) -> T:
        """Return an attribute, or the default if the trial has none."""
        attrs = self.frozen.user_attrs
        if name not in attrs:
            return default
        try:
            return convert(attrs[name])
        except (TypeError, ValueError) as error:
            raise self._wrong(name, str(error), attrs[name]) from None

    def value(self) -> float | None:
        """Return the value of the objective."""
        values = self.frozen.values
        if not values:
            return None
        try:
            return _number(values[0])
        except (TypeError, ValueError) as error:
            raise self._wrong("value", str(error), values[0]) from None

    def _wrong(self, name: str, rule: str, value: Any) -> StudyError:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "…"
        return StudyError(
            f"trial {self.frozen.number} of the study is damaged, or was edited: {name} {rule}, but is {shown}; "
            f"restore the study from a copy, or begin another with --study or --out"
        )


def _outcome(read: _Reader, config: Config | None) -> Outcome | None:
    """Return what a completed trial has reached; None: another program has completed it."""
    value, names = read.value(), read.frozen.user_attrs
    needed = (Attr.BEST_EPOCH, Attr.EPOCHS, Attr.FACTORS, Attr.VAL_MSE, Attr.VAL_MSE_SCALED, Attr.FOLD_MSE_SCALED)
    if value is None or config is None or any(name not in names for name in needed):
        return None
    epochs = read(Attr.EPOCHS, _at_most(config.epochs, "the epochs of its configuration"), 0)
    return Outcome(
        value=value,
        config=config,
        best_epoch=read(Attr.BEST_EPOCH, _at_most(epochs, "its trained epochs"), 0),
        epochs=epochs,
        stopped=read(Attr.STOPPED, str, ""),
        factors=read(Attr.FACTORS, _numbers, ()),
        start=read(Attr.START, _number, math.inf),
        val_mse=read(Attr.VAL_MSE, _numbers, ()),
        val_mse_scaled=read(Attr.VAL_MSE_SCALED, _number, math.nan),
        fold_mse_scaled=read(Attr.FOLD_MSE_SCALED, _numbers, ()),
        samples=read(Attr.SAMPLES, _number, 0.0),
        seconds=read(Attr.SECONDS, _number, 0.0),
        setup_seconds=read(Attr.SETUP_SECONDS, _number, 0.0),
    )


def _config(value: Any) -> Config:
    if not isinstance(value, Mapping):
        raise TypeError("must be parameters by their names")
    try:
        return Config.from_params(value)
    except UsageError as error:
        raise ValueError(f"must be a configuration ({error})") from None


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number of at least 0")
    return value


def _at_most(limit: int, of: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if _count(value) > limit:
            raise ValueError(f"must be at most {limit}, {of}")
        return int(value)

    return check


def _earlier(number: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if _count(value) >= number:
            raise ValueError("must be the number of an earlier trial")
        return int(value)

    return check


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("must be a number")
    return float(value)


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError("must be a list of numbers")
    return tuple(_number(v) for v in value)


def _history(value: Any) -> tuple[EpochRecord, ...]:
    width = len(EpochRecord._fields)
    if not isinstance(value, Sequence) or any(not isinstance(r, Sequence) or len(r) != width for r in value):
        raise TypeError(f"must be rows of {width} numbers")
    return tuple(EpochRecord(_count(row[0]), *(None if v is None else _number(v) for v in row[1:])) for row in value)
