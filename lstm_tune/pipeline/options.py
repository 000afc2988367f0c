"""The options of `tune`: one list for the Python function, the command line, the study and the repeated command."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_tune.data.split import Split
from lstm_tune.data.split_rule import SplitRule, read_split
from lstm_tune.errors import UsageError
from lstm_tune.evaluation.metrics import checked_metric
from lstm_tune.storage.urls import mask_password
from lstm_tune.utils import arguments
from lstm_tune.utils.escaping import quote_column, toml_value
from lstm_tune.utils.spelling import option_name
from lstm_tune.workers.count import MOST_TASKS, MOST_WORKERS, checked_workers
from lstm_tune.workers.ray_address import checked_address

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

    from lstm_tune.search.space import Space

LARGEST_SEED = 2**31 - 1
DEFAULT_TRIALS = 50
DEFAULT_TIMEOUT = 600.0  # seconds
DEFAULT_PATIENCE = 12  # trials without a gain, after which a study that was given no limit ends


@dataclass(frozen=True, slots=True, eq=False)
class InMemory:
    """A frame among the options: it equals itself alone, and no text can name it."""

    frame: Any


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
    static: str | Sequence[str] = ()
    calendar: bool | None = None
    holidays: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    split: SplitRule | Sequence[Any] | str | None = None
    season: int | Sequence[int] = ()
    folds: int = 3
    metric: str = "mse"
    space: str | Mapping[str, Any] | Space = "default"
    first: str | Path | None = None
    against: Any = None
    level: float | Sequence[float] = ()
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
    try_advice: float = 0.1
    out: str | Path | None = None
    resume: bool = False
    apply: str | None = None
    take_over: bool = False
    ray: str | None = None

    def __post_init__(self) -> None:
        """Check every option, and bring it to its one form."""
        for name, check in arguments.READING.items():
            self._set(name, check)
        for name in ("study_name", "apply"):
            self._set(name, arguments.text_or_none)
        for name in ("precision", "device"):
            self._set(name, arguments.text)
        for name in ("horizon", "folds", "retrain_seeds"):
            self._set(name, arguments.whole, 1)
        self._set("metric", checked_metric)
        self._set("n_trials", arguments.whole_or_none, 1)
        self._set("try_advice", arguments.share)
        self._set("season", arguments.wholes, 2)
        self._set("seed", arguments.whole, 0, LARGEST_SEED)
        self._set("ray", checked_address)
        self._set("workers", checked_workers, MOST_TASKS if self.ray else MOST_WORKERS)
        if self.ray and self.workers == 0:
            raise UsageError("workers is 0, but with ray they are its tasks; pass auto, or how many")
        self._set("timeout", arguments.seconds_or_none)
        self._set("split", read_split)
        self._set("resume", arguments.flag)
        self._set("take_over", arguments.flag)
        object.__setattr__(self, "resume", self.resume or self.take_over)
        self._set("out", arguments.path_or_none)
        self._set("first", arguments.path_or_none)
        self._set("against", _forecasts)
        self._set("level", arguments.levels)
        self._set("storage", arguments.storage)
        self._set("space", arguments.space)
        self._set("sampler", _sampler)
        self._set("pruner", _pruner)

    def _set(self, name: str, read: Callable[..., Any], *rule: Any) -> None:
        object.__setattr__(self, name, read(name, getattr(self, name), *rule))

    @property
    def rule(self) -> SplitRule | None:
        """How rows are cut; None: by the default."""
        return read_split("split", self.split)

    @property
    def folder(self) -> Path | None:
        """The run folder; None: no file is written."""
        return None if self.out is None else Path(self.out)

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of the prediction intervals, in percent."""
        assert isinstance(self.level, tuple)
        return self.level

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

    def to_dict(self) -> dict[str, Any]:
        """Return the options that repeat a study, as JSON takes them; objects such as a sampler are left out."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OF_ONE_RUN}
        found["split"] = None if self.split is None else str(self.split)
        plain = str | int | float | None
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
            if isinstance(value, plain) or (isinstance(value, tuple) and all(isinstance(v, plain) for v in value))
        }

    def for_workers(self) -> dict[str, Any] | None:
        """Return the options that a worker on another machine needs; None: an object cannot be sent there."""
        if not isinstance(self.sampler, str) or not isinstance(self.pruner, str):
            return None
        return {name: value for name, value in self.to_dict().items() if name not in _OF_COORDINATOR}

    def settings(
        self,
        *,
        schema: int,
        data: str,
        target: Sequence[str],
        split: Split,
        rule: SplitRule,
        space: Space,
        precision: str,
    ) -> dict[str, Any]:
        """Return what makes two studies the same, as it is kept with the study and compared on `--resume`.

        Args:
            schema: of `result.json`.
            data: fingerprint of the values.
            target: names of the columns that were found.
            split: of the rows.
            rule: that they were cut by.
            space: cut to what the data allow.
            precision: "fp32" or "bf16".
        """
        return {
            "schema": schema,
            "data": data,
            "target": list(target),
            "horizon": self.horizon,
            "split": rule.to_json(),
            # Before, fractions cut each series by its own rows.
            **({"common_times": True} if split.common and rule.kind == "shares" else {}),
            "folds": self.folds,
            "metric": self.metric,
            "space": space.to_dict(),
            "seed": self.seed,
            "precision": precision,
            "season": list(arguments.wholes("season", self.season, 2)) or None,
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
        for option, value in self._repeated(workers, precision).items():
            words_of_one = _words(option, value)
            if words_of_one is None:
                return None
            words += words_of_one
        return shlex.join(words)

    def run_file(self, data: str | None, *, workers: int, precision: str) -> str | None:
        """Return the text of a run file, with which `lstm-tune tune --config FILE` does the same elsewhere.

        Args:
            data: path, or example:NAME; None: the data live in a Python process alone.
            workers: processes that there were.
            precision: "fp32" or "bf16", as it was chosen.

        Returns:
            TOML; None: text cannot say it.
        """
        if data is None:
            return None
        options: dict[str, Any] = {"data": data}
        for option, value in self._repeated(workers, precision).items():
            words = _words(option, value)
            if words is None:
                return None
            plain = isinstance(value, bool | int | float) or option in ("target", "id", "past", "future", "static")
            if option not in _OF_ONE_PLACE:
                options[option] = value if plain else words[1]
        return "".join(f"{name} = {toml_value(value)}\n" for name, value in options.items())

    def _repeated(self, workers: int, precision: str) -> dict[str, Any]:
        """Return the options that are not at their default, by their names on the command line."""
        chosen = {"workers": workers, "precision": precision, "storage": show_storage(self.storage)}
        values = {field.name: chosen.get(field.name, getattr(self, field.name)) for field in fields(self)}
        return {
            option_name(field.name): values[field.name]
            for field in fields(self)
            if field.name not in _NOT_REPEATED
            and (values[field.name] != field.default or field.name in _ALWAYS)
            and not (field.name == "space" and self.apply is not None)  # the run that is applied has it
        }


def show_storage(storage: str | BaseStorage | None) -> str | None:
    """Return a storage for a person to read: its URL with the password masked, its path, or the name of its class."""
    if storage is None:
        return None
    if isinstance(storage, str):
        return mask_password(storage)
    return type(getattr(storage, "inside", storage)).__name__  # the one behind our buffer


_NOT_REPEATED = ("out", "resume", "take_over")
_OF_ONE_PLACE = ("storage", "study")  # a repeated run has its own
_OF_ONE_RUN = (
    "out",
    "resume",
    "take_over",
    "apply",
    "first",
    "study_name",
    "storage",
    "space",
    "device",
)  # the space is in the settings
_OF_COORDINATOR = ("against", "n_trials", "timeout", "workers", "ray", "retrain_seeds", "try_advice")
_ALWAYS = ("seed", "workers", "precision")  # their defaults on the command line are not those of Python


def _words(option: str, value: Any) -> list[str] | None:
    """Return an option as the command line takes it; None: it holds an object that text cannot name."""
    if option == "timeout":
        return ["--timeout", f"{math.ceil(value)}s"]
    if option == "level":
        return ["--level", ",".join(f"{level:.15g}" for level in value)]
    if option == "split":
        return ["--split", str(value)]
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    if isinstance(value, tuple):
        return [word for column in value for word in (f"--{option}", quote_column(str(column)))]
    if isinstance(value, str | int | float | Path):
        return [f"--{option}", str(value)]
    return None  # a sampler, a pruner, a space, a storage


def _sampler(name: str, value: Any) -> Any:
    from lstm_tune.search.samplers import SAMPLERS

    if isinstance(value, str):
        arguments.place(name, value, SAMPLERS)
    return value


def _pruner(name: str, value: Any) -> Any:
    from lstm_tune.search.pruners import PRUNERS

    if isinstance(value, str):
        arguments.place(name, value, PRUNERS)
    return value


def _forecasts(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str | InMemory):
        return value
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "columns"):
        return InMemory(value)
    raise arguments.refuse(name, "a file or a DataFrame of forecasts", value)
