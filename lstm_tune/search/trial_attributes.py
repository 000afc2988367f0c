"""How a trial is kept in the storage: the names of its user attributes, one writer and one reader for them.

The names are part of the storage format: a study that was begun before must resume.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from lstm_tune.config import Config
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.evaluation.error_sample import Floats
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
    VAL_SCORE = "val_score"
    VAL_MSE_SCALED = "val_mse_scaled"
    FOLD_MSE_SCALED = "fold_mse_scaled"
    FOLD_ERRORS = "fold_errors"
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
    val_score: float,
    fold_mse_scaled: Sequence[float],
    fold_errors: Sequence[Floats],
) -> None:
    """Record what the trial has reached.

    Args:
        trial: that is about to complete.
        result: of its training.
        val_mse: of each target on the validation rows, in original units squared.
        val_score: what the metric of the study says of the validation rows.
        fold_mse_scaled: of each fold, the validation rows first.
        fold_errors: of each fold, a sample of scaled errors, see `sampled_errors`.
    """
    trial.set_user_attr(Attr.VAL_MSE, list(val_mse))
    trial.set_user_attr(Attr.VAL_SCORE, val_score)
    trial.set_user_attr(Attr.VAL_MSE_SCALED, fold_mse_scaled[0])
    trial.set_user_attr(Attr.FOLD_MSE_SCALED, list(fold_mse_scaled))
    trial.set_user_attr(Attr.FOLD_ERRORS, [_packed(errors) for errors in fold_errors])
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


def was_cut(trial: FrozenTrial) -> bool:
    """Return whether the time limit stopped a trial: with more time it would end otherwise."""
    return trial.user_attrs.get(Attr.STOPPED) == "time"


def _packed(errors: Floats) -> str:
    """Return numbers as base64 of half floats: three digits suffice to weigh forecasts by."""
    most = float(np.finfo(np.float16).max)
    return base64.b64encode(errors.clip(-most, most).astype("<f2").tobytes()).decode()


# ---- reading


class Reader:
    """Reads the attributes of one trial, each checked: a file may have been edited by hand."""

    def __init__(self, trial: FrozenTrial) -> None:
        self._trial = trial

    def __contains__(self, name: str) -> bool:
        return name in self._trial.user_attrs

    def __call__(self, name: str, convert: Callable[[Any], T], default: T) -> T:
        """Return an attribute, or the default if the trial has none.

        Raises:
            StudyError: it is not what the package writes; says which trial, which attribute and which rule.
        """
        return self.check(name, self._trial.user_attrs[name], convert) if name in self else default

    def check(self, name: str, value: Any, convert: Callable[[Any], T]) -> T:
        """Return `convert(value)`, or refuse the value under its name."""
        try:
            return convert(value)
        except (TypeError, ValueError) as error:
            shown = repr(value)
            shown = shown if len(shown) <= 60 else shown[:57] + "…"
            raise StudyError(
                f"trial {self._trial.number} of the study is damaged, or was edited: {name} {error}, but is {shown}; "
                f"restore the study from a copy, or begin another with study_name= or out="
            ) from None


def as_config(value: Any) -> Config:
    """Return a configuration by its parameters."""
    try:
        return Config.from_params(as_mapping(value))
    except UsageError as error:
        raise ValueError(f"must be a configuration ({error})") from None


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return values by their names."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TypeError("must be values by their names")
    return value


def as_count(value: Any) -> int:
    """Return a whole number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number of at least 0")
    return value


def at_most(limit: int, what: str) -> Callable[[Any], int]:
    """Return a converter to a whole number from 0 to a limit."""

    def convert(value: Any) -> int:
        if as_count(value) > limit:
            raise ValueError(f"must be at most {limit}, {what}")
        return int(value)

    return convert


def number_before(number: int) -> Callable[[Any], int]:
    """Return a converter to the number of a trial before this one."""

    def convert(value: Any) -> int:
        if as_count(value) >= number:
            raise ValueError("must be the number of an earlier trial")
        return int(value)

    return convert


def as_number(value: Any) -> float:
    """Return a number, which may be infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("must be a number")
    return float(value)


def as_numbers(value: Any) -> tuple[float, ...]:
    """Return numbers."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError("must be a list of numbers")
    return tuple(as_number(v) for v in value)


def one_or_more(value: Any) -> tuple[float, ...]:
    """Return at least one number."""
    if not (numbers := as_numbers(value)):
        raise ValueError("must be a list of at least one number")
    return numbers


def as_errors(value: Any) -> tuple[Floats, ...]:
    """Return lists of numbers that were packed as base64 of half floats."""
    if not isinstance(value, Sequence) or not all(isinstance(text, str) for text in value):
        raise TypeError("must be a list of numbers in base64")
    return tuple(np.frombuffer(base64.b64decode(text), dtype="<f2").astype(np.float64) for text in value)
