"""The search space: which configurations a study may try, cut to what the data allow.

A space is a function from a trial to a `Config` (`Space.suggest`). It comes from a preset, a TOML file or a mapping.
Optuna stays outside: the `Suggests` protocol stands for its trial.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from lstm_tune.config import RULES, Config
from lstm_tune.errors import SpaceError
from lstm_tune.search.parameter import (
    Choice,
    Fixed,
    Parameter,
    Range,
    Suggests,
    Value,
    is_active,
    largest,
    settle,
)
from lstm_tune.search.space_cut import cut_parameters
from lstm_tune.search.space_file import check_space, read_toml
from lstm_tune.training.limits import Limits
from lstm_tune.utils.notebook import card, lines, table
from lstm_tune.utils.text import did_you_mean

__all__ = [
    "Choice",
    "Fixed",
    "Parameter",
    "Range",
    "Space",
    "Suggests",
    "Value",
    "load_space",
    "presets",
    "space_from_mapping",
]


_REPR_LINES = 13  # parameters that a prompt shows


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Space:
    """The configurations that a study may try."""

    name: str
    source: str  # the file, for errors
    description: str = ""
    parameters: Mapping[str, Parameter]  # in an order in which every `when` refers to earlier ones
    max_steps: int | None = None  # of the LSTM; a longer window is taken in larger patches
    epoch_samples: int | None = None  # most training windows in an epoch; None: the trainer's own bound
    first: tuple[Mapping[str, Value], ...] = ()  # best-known configurations, tried right after the plain LSTM
    borrowed: int = 0  # how many of these, the last ones, were found by another study

    def __repr__(self) -> str:
        """Return the searched parameters with their bounds, and how many are fixed."""
        return lines(f"Space {self.name!r}", self._facts())

    def _repr_html_(self) -> str:
        return card(
            f"Space {self.name!r}", table(["parameter", "searched"], [[*fact] for fact in self._facts().items()])
        )

    def _facts(self) -> dict[str, str]:
        facts = {name: parameter.describe() for name, parameter in self._searched().items()}
        shown = dict(list(facts.items())[:_REPR_LINES])
        rest = f"{len(facts) - len(shown)} more searched, " if len(facts) > len(shown) else ""
        return shown | {"and": f"{rest}{len(self.parameters) - len(facts)} fixed"}

    def suggest(self, trial: Suggests) -> Config:
        """Return the configuration that the trial chooses; what is inactive or not named takes the plain LSTM's value.

        A patch longer than the lookback is the lookback; one so short that the LSTM would take more than `max_steps`
        steps is lengthened to what that many steps need.
        """
        values: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if is_active(parameter, values):
                values[name] = parameter.suggest(name, trial)
        return self._resolved(values)

    def _resolved(self, values: Mapping[str, Value]) -> Config:
        config = Config.from_params(values)
        least = 1 if self.max_steps is None else -(-config.lookback // self.max_steps)
        return replace(config, patch=min(max(config.patch, least), config.lookback))

    def enqueued(self) -> tuple[dict[str, Value], ...]:
        """Return what to try first, for `study.enqueue_trial`: the plain LSTM, then those of `first`.

        Each names the active searched parameters alone. Values outside the space are replaced by the nearest inside. A
        best-known configuration that is the plain LSTM itself is tried in its own place.
        """
        every = [self._first_trial(wanted) for wanted in ({}, *self.first)]
        if every[0] in every[1 : 1 + len(self.first) - self.borrowed]:
            del every[0]
        params_by_config: dict[Config, dict[str, Value]] = {}
        for config, searched in every:
            params_by_config.setdefault(config, searched)
        return tuple(params_by_config.values())

    @property
    def plain(self) -> dict[str, Value]:
        """The plain LSTM, as far as the space admits it, as `enqueued` has it."""
        return self._first_trial({})[1]

    def _first_trial(self, wanted: Mapping[str, Value]) -> tuple[Config, dict[str, Value]]:
        values = settle(self.parameters, wanted)
        return self._resolved(values), {name: value for name, value in values.items() if name in self._searched()}

    @property
    def n_known(self) -> int:
        """How many of the enqueued configurations no study has chosen."""
        return len(replace(self, first=self.first[: len(self.first) - self.borrowed]).enqueued())

    def with_first(self, found: Sequence[Mapping[str, Value]]) -> Space:
        """Return the space with configurations that another study has found, tried after the best-known ones."""
        return replace(self, first=(*self.first, *found), borrowed=self.borrowed + len(found))

    def most_epochs(self) -> int:
        """Return the most epochs that a configuration of this space may train."""
        return int(largest(self.parameters, "epochs"))

    def grid(self, points: int = 3) -> dict[str, list[Value]]:
        """Return the values of each searched parameter for a grid sampler: all choices, `points` of each range."""
        return {name: parameter.grid(points) for name, parameter in self._searched().items()}

    def edges(self, config: Config) -> tuple[tuple[str, str, float], ...]:
        """Return (name, "low" or "high", bound) for each active number of `config` on a bound of its search.

        A bound that no file could widen, such as a dropout of 0, is not reported, nor is a choice between two numbers.
        """
        active = settle(self.parameters, config.params())
        found = []
        for name, parameter in self._searched().items():
            if name not in active or RULES[name].words:
                continue
            edge = parameter.edge(active[name])
            if edge is not None and edge[1] not in (RULES[name].low, RULES[name].high):
                found.append((name, *edge))
        return tuple(found)

    def cut(self, limits: Limits) -> tuple[Space, tuple[str, ...]]:
        """Return the part of this space that the data allow, and one sentence for each cut.

        Raises:
            SpaceError: nothing is left of a parameter.
        """
        quiet = self.source == f"preset {self.name}"
        parameters, notes = cut_parameters(self.parameters, limits, self.source, quiet=quiet)
        first = tuple(_adapted(wanted, parameters) for wanted in self.first)
        return replace(self, parameters=parameters, first=first), notes

    def to_dict(self) -> dict[str, Any]:
        """Return the space as JSON takes it; `from_dict` is the way back."""
        return {
            "name": self.name,
            "source": self.source,
            "description": self.description,
            "max_steps": self.max_steps,
            **({} if self.epoch_samples is None else {"epoch_samples": self.epoch_samples}),
            "parameters": {name: parameter.plain() for name, parameter in self.parameters.items()},
            "first": [dict(wanted) for wanted in self.first],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the space that `to_dict` wrote.

        Raises:
            SpaceError: the content is not that of a space.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("parameters"), Mapping):
            raise SpaceError("saved space: has no table of parameters; restore the file, or name another")
        rest: dict[str, Any] = {"description": "", "max_steps": None, "epoch_samples": None, "first": []}
        mapping = {**data["parameters"], **{key: data.get(key, default) for key, default in rest.items()}}
        return cls._checked(mapping, str(data.get("name", "custom")), str(data.get("source", "saved space")))

    @classmethod
    def _checked(cls, mapping: Mapping[str, Any], name: str, source: str) -> Self:
        content = check_space(mapping, source)
        return cls(
            name=name,
            source=source,
            description=content.description,
            max_steps=content.max_steps,
            epoch_samples=content.epoch_samples,
            parameters=content.parameters,
            first=content.first,
        )

    def _searched(self) -> dict[str, Choice | Range]:
        return {name: found for name, found in self.parameters.items() if not isinstance(found, Fixed)}


def load_space(name_or_path: str | os.PathLike[str]) -> Space:
    """Return the space of a preset or of a TOML file.

    A word that names a preset is the preset, even if a file of that name exists; `./default` is the file.

    Raises:
        SpaceError: there is no such preset or file, or the file is wrong.
    """
    known = presets()
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and text in known:
        return Space._checked(read_toml(known[text]), text, f"preset {text}")
    path = Path(text)
    if isinstance(name_or_path, str) and path.name == text and path.suffix != ".toml" and not path.exists():
        raise SpaceError(
            f"{text!r}: no such preset{did_you_mean(text, known)}; known: {', '.join(known)}, or a .toml file"
        )
    return Space._checked(read_toml(path), path.stem, text)


def space_from_mapping(mapping: Mapping[str, Any], name: str = "custom") -> Space:
    """Return the space that a mapping with the keys of a search-space file describes.

    Raises:
        SpaceError: something in it is wrong.
    """
    return Space._checked(_plain(mapping), name, f"space {name}")


def _plain(value: Any) -> Any:
    """Return a mapping with Python's numbers in place of numpy's."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def presets() -> dict[str, Path]:
    """Return the file of each preset by name, in alphabetical order."""
    return {path.stem: path for path in sorted(_preset_folder(Path(__file__).parents[1]).glob("*.toml"))}


def _preset_folder(package: Path) -> Path:
    inside = package / "search_spaces"  # a wheel; a checkout and an editable install have them beside the package
    return inside if inside.is_dir() else package.parent / "search_spaces"


def _adapted(wanted: Mapping[str, Value], parameters: Mapping[str, Parameter]) -> dict[str, Value]:
    values = settle(parameters, wanted)
    return {name: values[name] for name in wanted if name in values}
