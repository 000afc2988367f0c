"""The waterfall: which changes lead from the plain LSTM to the tuned one, in what order, and which of them count.

Pure functions of configurations and validation values; `explain` does the training. The order goes by stages, which are
the way of the data through the model: what is done to the series, what is done to each window, the network and its
training, the forecast beside it, last the mean of several trials. The skip comes after what concerns the LSTM itself
since a linear forecast beside a badly fed network stands in for the network, and would be credited with all that it
can do alone; a normalised window in the same way stands in for a log or a difference.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lstm_tune.config import Config, parameters_of_step

LEVEL = 0.95  # of the interval that a step within noise does not leave
LEAST = 1e-3  # of the MSE before: a smaller change is noise whatever the seeds say
UNIT = "validation MSE, scaled"
START = "the plain LSTM"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Parameters that change together: one step."""

    name: str
    parameters: tuple[str, ...]


# The way of the data through the model. `config.PARAMETERS` says which parameters change in which step.
STAGES: tuple[tuple[Group, ...], ...] = tuple(
    tuple(Group(name=step, parameters=parameters_of_step(step)) for step in stage)
    for stage in (
        ("log", "differencing"),
        ("window normalisation", "outlier clipping"),
        (
            "lookback",
            "capacity",
            "regularisation",
            "optimiser and learning rate",
            "batch size",
            "epochs and patience",
        ),
        ("skip forecast",),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One bar: what was changed since the step before, and the validation MSE with each seed.

    Attributes:
        name: of the change.
        changes: {parameter: (before, after)}.
        values: one for each seed; None where training diverged.
        before: the values of the step before; None: this is the first one.
    """

    name: str
    changes: Mapping[str, tuple[Any, Any]]
    values: tuple[float | None, ...]
    before: tuple[float | None, ...] | None

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None: training diverged with each."""
        known = [v for v in self.values if v is not None]
        return statistics.fmean(known) if known else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds."""
        known = [v for v in self.values if v is not None]
        return statistics.stdev(known) if len(known) > 1 else None

    @property
    def differences(self) -> list[float]:
        """After minus before, for each seed that both were trained with."""
        pairs = zip(self.before or (), self.values, strict=self.before is not None)
        return [after - before for before, after in pairs if before is not None and after is not None]

    @property
    def delta(self) -> float | None:
        """Mean change over the seeds; None for the first step."""
        return statistics.fmean(self.differences) if self.differences else None

    @property
    def _negligible(self) -> bool:
        known = [v for v in self.before or () if v is not None]
        return self.delta is not None and abs(self.delta) < LEAST * statistics.fmean(known)

    def to_dict(self) -> dict[str, Any]:
        """Return what `explain.json` holds."""
        noise = self.before is not None and (within_noise(self.differences) or self._negligible)
        return {
            "name": self.name,
            "changes": {name: list(pair) for name, pair in self.changes.items()},
            "values": list(self.values),
            "val_mse_scaled": self.mean,
            "sd": self.sd,
            "delta": self.delta,
            "within_noise": noise,
            "says": self._says(noise),
        }

    def _says(self, noise: bool) -> str:
        if self.before is None:
            return "The error of the plain LSTM on these data."
        if self.mean is None:
            return "Training diverged with every seed."
        if self.delta is None:
            return "The step before diverged, so there is nothing to compare with."
        before = statistics.fmean([v for v in self.before if v is not None])
        part = f"{abs(self.delta) / before:.1%} of the MSE before" if before > 0 else f"{abs(self.delta):.4g}"
        if not any(self.differences):
            return "Changes nothing: with every seed the forecast is as good as before."
        if noise:
            why = (
                "too small to count" if self._negligible else f"{len(self.differences)} seeds do not tell it from none"
            )
            return f"Within noise: {why}."
        return f"Takes off {part}." if self.delta < 0 else f"Adds {part}."


def differing(start: Config, end: Config) -> list[list[Group]]:
    """Return the groups, stage by stage, in which two configurations differ; stages without any are left out."""
    stages = [[group for group in stage if changes(start, end, group)] for stage in STAGES]
    return [stage for stage in stages if stage]


def applied(config: Config, end: Config, *groups: Group) -> Config:
    """Return `config` with the parameters of some groups as `end` has them."""
    return replace(config, **{name: getattr(end, name) for group in groups for name in group.parameters})


def changes(before: Config, after: Config, *groups: Group) -> dict[str, tuple[Any, Any]]:
    """Return {parameter: (before, after)} for what differs in some groups."""
    names = [name for group in groups for name in group.parameters]
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def joined(groups: Sequence[Group]) -> str:
    """Return the names of groups as one: 'log + lookback'."""
    return " + ".join(group.name for group in groups)


def next_group(groups: Sequence[Group], values: Mapping[str, float | None]) -> Group:
    """Return the group to change next: the one whose change, tried alone, leaves the least validation MSE.

    Args:
        groups: to choose from, at least one; of equals the first counts.
        values: by the group's name; not tried or diverged: last.
    """

    def value(group: Group) -> float:
        found = values.get(group.name)
        return math.inf if found is None else found

    return min(groups, key=value)


def within_noise(differences: Sequence[float]) -> bool:
    """Return whether the interval of the mean difference over the seeds (paired t, 95%) holds 0.

    Args:
        differences: after minus before, for each seed; fewer than two tell nothing.
    """
    if len(differences) < 2:
        return True
    from scipy.special import stdtrit  # a fifth of a second that nothing else should wait for

    mean, error = statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))
    return abs(mean) <= float(stdtrit(len(differences) - 1, (1 + LEVEL) / 2)) * error


def rule(seeds: Sequence[int], folds: int, listed_from: str | None) -> str:
    """Return how the order came about and what a value is, in words.

    Args:
        seeds: of the trainings.
        folds: validation blocks.
        listed_from: the step from which on there was no time to try every change; None: there was for all.
    """
    every = ", ".join(map(str, seeds))
    text = (
        "Order: the way of the data through the model (what is done to the series, what is done to each window, the "
        "network and its training, the skip forecast), last the mean of several trials; within each of these the "
        f"change that takes most off the validation MSE comes next (tried with seed {seeds[0]}). "
    )
    if listed_from is not None:
        text += (
            f"Time was too short to try every change: from {listed_from!r} on, the order is that of what they took "
            f"off when last tried, and where they were not tried a fixed one. "
        )
    text += (
        f"Every step was trained with seeds {every} and judged as the trials of the study are: "
        f"{'the validation rows' if folds == 1 else f'the mean over {folds} validation blocks'}. "
        f"Within noise: the {LEVEL:.0%} interval of the change over the seeds (paired t) holds 0, "
        f"or the change is below {LEAST:.1%}."
    )
    return text
