"""The options of `tune`: one list for the Python function, the command line, the study and the repeated command."""

from __future__ import annotations

import math
import operator
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_tune.errors import UsageError
from lstm_tune.storage.urls import mask_password
from lstm_tune.utils.duration import parse_duration
from lstm_tune.utils.escaping import quote_column
from lstm_tune.workers.count import MOST_WORKERS

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

    from lstm_tune.search.space import Space

DEFAULT_TRIALS = 50
DEFAULT_TIMEOUT = 600.0  # seconds
DEFAULT_PATIENCE = 12  # trials without a gain, after which a study that was given no limit ends


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneOptions:
    """What `tune` is asked for; `tune` explains each option.

    Values are checked and brought to one form when the record is made: a column is a tuple of names, a whole number is
    an `int`, a timeout is seconds.

    Raises:
        UsageError: an option has a wrong type or value; one line names it.
    """

    target: str | Sequence[str] | None = None
    time: str | None = None
    id: str | Sequence[str] | None = None
    horizon: int = 1
    past: str | Sequence[str] = ()
    future: str | Sequence[str] = ()
    calendar: bool | None = None
    decimal: str | None = None
    thousands: str | None = None
    split: Sequence[float] | None = None
    folds: int = 3
    space: str | Mapping[str, Any] | Space = "default"
    n_trials: int | None = None
    timeout: float | str | None = None
    workers: int | str = 1
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"
    sampler: str | BaseSampler = "tpe"
    pruner: str | BasePruner = "median"
    study_name: str | None = None
    storage: str | BaseStorage | None = None
    retrain_seeds: int = 3
    out: str | Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        """Check every option, and bring it to its one form."""
        for name in ("target", "id", "past", "future"):
            self._set(name, _columns)
        for name in ("time", "decimal", "thousands", "study_name"):
            self._set(name, _text_or_none)
        for name in ("precision", "device"):
            self._set(name, _text)
        for name, least in (("horizon", 1), ("folds", 1), ("retrain_seeds", 1), ("n_trials", 1)):
            self._set(name, _whole, least)
        self._set("seed", _whole, 0, 2**31 - 1)
        self._set("workers", _workers)
        self._set("timeout", _seconds)
        self._set("split", _split)
        self._set("calendar", _flag, True)
        self._set("resume", _flag, False)
        self._set("out", _path)
        self._set("storage", lambda name, value: str(value) if isinstance(value, Path) else value)
        self._set("space", _space)

    def _set(self, name: str, read: Callable[..., Any], *rule: Any) -> None:
        object.__setattr__(self, name, read(name, getattr(self, name), *rule))

    @property
    def folder(self) -> Path | None:
        """The run folder; None: no file is written."""
        return None if self.out is None else Path(self.out)

    @property
    def trials(self) -> int | None:
        """Trials of the whole study; None: until time is up."""
        return DEFAULT_TRIALS if self.is_unlimited else self.n_trials

    @property
    def seconds(self) -> float | None:
        """Seconds for everything; None: no limit."""
        assert not isinstance(self.timeout, str)
        return DEFAULT_TIMEOUT if self.is_unlimited else self.timeout

    @property
    def patience(self) -> int | None:
        """Trials without a gain after which the study ends; None: it goes on."""
        return DEFAULT_PATIENCE if self.is_unlimited else None

    @property
    def is_unlimited(self) -> bool:
        """Whether neither trials nor a time were asked for, so that the defaults hold."""
        return self.n_trials is None and self.timeout is None

    def settings(
        self,
        *,
        schema: int,
        data: str,
        target: Sequence[str],
        split: Sequence[float],
        space: Space,
        precision: str,
    ) -> dict[str, Any]:
        """Return what makes two studies the same, as it is kept with the study and compared on `--resume`.

        Args:
            schema: of `result.json`.
            data: fingerprint of the values.
            target: names of the columns that were found.
            split: that the rows were cut by.
            space: cut to what the data allow.
            precision: "fp32" or "bf16".
        """
        return {
            "schema": schema,
            "data": data,
            "target": list(target),
            "horizon": self.horizon,
            "split": [float(p) for p in split],
            "folds": self.folds,
            "space": space.to_dict(),
            "seed": self.seed,
            "precision": precision,
        }

    def command(self, data: str | None, *, workers: int, precision: str) -> str | None:
        """Return the `lstm-tune tune` that does the same; None: a command line cannot say it.

        What is the default is left out; a storage URL comes with its password masked.

        Args:
            data: path, or example:NAME; None: the data live in a Python process alone.
            workers: processes that there were.
            precision: "fp32" or "bf16", as it was chosen.
        """
        if data is None:
            return None
        words = ["lstm-tune", "tune", data]
        chosen = {"workers": workers, "precision": precision, "storage": show_storage(self.storage)}
        for field in fields(self):
            value = chosen.get(field.name, getattr(self, field.name))
            if field.name in _NOT_REPEATED or (value == field.default and field.name not in _ALWAYS):
                continue
            words_of_one = _words(_OPTIONS.get(field.name, field.name.replace("_", "-")), value)
            if words_of_one is None:
                return None
            words += words_of_one
        return shlex.join(words)


def show_storage(storage: str | BaseStorage | None) -> str | None:
    """Return a storage for a person to read: its URL with the password masked, its path, or the name of its class."""
    if storage is None:
        return None
    return mask_password(storage) if isinstance(storage, str) else type(storage).__name__


_NOT_REPEATED = ("out", "resume")
_ALWAYS = ("seed", "workers", "precision")  # their defaults on the command line are not those of Python
_OPTIONS = {"n_trials": "trials", "study_name": "study"}  # options that the command line calls otherwise


def _words(option: str, value: Any) -> list[str] | None:
    """Return an option as the command line takes it; None: it holds an object that text cannot name."""
    if option == "timeout":
        return ["--timeout", f"{math.ceil(value)}s"]
    if option == "split":
        return ["--split", ",".join(f"{p:.10g}" for p in value)]
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    if isinstance(value, tuple):
        return [word for column in value for word in (f"--{option}", quote_column(column))]
    if isinstance(value, str | int | Path):
        return [f"--{option}", str(value)]
    return None  # a sampler, a pruner, a space, a storage


# ---- checks: each takes an option's name and value, and returns the value in its one form


def _refuse(name: str, rule: str, value: Any) -> UsageError:
    shown = repr(value)
    return UsageError(f"{_shown(name)} must be {rule}, but is {shown if len(shown) <= 60 else shown[:59] + '…'}")


def _shown(name: str) -> str:
    return _OPTIONS.get(name, name).replace("_", "-")


def _columns(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None if name in ("target", "id") else ()
    columns = (value,) if isinstance(value, str) or hasattr(value, "__index__") else value
    rule = "a column's name, or a list of names"
    if isinstance(columns, bytes | Mapping) or not hasattr(columns, "__iter__"):
        raise _refuse(name, rule, value)
    names = tuple(_column(name, column, rule, value) for column in columns)
    return names or (None if name in ("target", "id") else ())


def _column(name: str, column: Any, rule: str, value: Any) -> str:
    """Return a column's name as text; frames made of arrays number their columns."""
    if isinstance(column, str):
        return column
    try:
        return str(operator.index(column))
    except TypeError:
        raise _refuse(name, rule, value) from None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refuse(name, "text", value)
    return value


def _text_or_none(name: str, value: Any) -> str | None:
    return None if value is None else _text(name, value)


def _whole(name: str, value: Any, least: int, most: float = math.inf) -> int | None:
    if value is None and name == "n_trials":
        return None
    try:
        number = operator.index(value)  # numpy's integers, too
    except TypeError:
        raise _refuse(name, "a whole number", value) from None
    if isinstance(value, bool):
        raise _refuse(name, "a whole number", value)
    if not least <= number <= most:
        rule = f"at least {least}" if math.isinf(most) else f"from {least} to {most}"
        raise UsageError(f"{_shown(name)} must be {rule}, but is {number}")
    return number


def _workers(name: str, value: Any) -> int | str:
    if value == "auto":
        return "auto"
    if hasattr(value, "__index__") and not isinstance(value, bool) and 1 <= operator.index(value) <= MOST_WORKERS:
        return operator.index(value)
    raise _refuse(name, f"auto or from 1 to {MOST_WORKERS}", value)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = parse_duration(value)
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise _refuse(name, "seconds, or a time such as 90s, 10m or 1h30m", value) from None
    if isinstance(value, bool) or not (seconds > 0 and math.isfinite(seconds)):
        raise UsageError(f"timeout must be above 0 seconds, but is {value:g}")
    return seconds


def _split(name: str, value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    rule = "three row counts or three fractions, such as (0.7, 0.1, 0.2)"
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise _refuse(name, rule, value)
    try:
        return tuple(part if isinstance(part, int) else float(part) for part in value)
    except (TypeError, ValueError):
        raise _refuse(name, rule, value) from None


def _flag(name: str, value: Any, may_be_none: bool) -> bool | None:
    if value is None and may_be_none:
        return None
    if not isinstance(value, bool):
        raise _refuse(name, "True or False", value)
    return value


def _path(name: str, value: Any) -> Path | None:
    if value is None:
        return None
    try:
        return Path(value)
    except TypeError:
        raise _refuse(name, "a folder", value) from None


def _space(name: str, value: Any) -> Any:
    if isinstance(value, str | Path | Mapping) or hasattr(value, "parameters"):
        return value
    raise _refuse(name, "a preset's name, a TOML file, a mapping or a Space", value)
