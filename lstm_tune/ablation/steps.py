"""The steps of the waterfall: which changes lead from the plain LSTM to the tuned one, and which of them count.

These are pure functions of configurations and validation values; `path` does the training. The order follows the data
through the model: what is done to the series, what is done to each window, the network and its training, the skip
forecast, and last the mean of several trials. The skip comes after what concerns the LSTM itself, because a linear
forecast beside a badly fed network would be credited with all that it can do alone. For the same reason a log or a
difference comes before the normalisation of windows.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lstm_tune.config import Config, parameters_of_step
from lstm_tune.utils.text import counted

LEVEL = 0.95  # of the confidence interval of a change
LEAST = 1e-3  # share of the MSE before; a smaller change is noise whatever the seeds show
UNIT = "validation score (scaled MSE)"
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
        values: of each seed in order, fewer if more seeds could not have made the change count; None: it diverged.
        before: the values of the step before; None: this is the first step.
        config: after the change; None: the step is no single configuration.
    """

    name: str
    changes: Mapping[str, tuple[Any, Any]]
    values: tuple[float | None, ...]
    before: tuple[float | None, ...] | None
    config: Config | None = None

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
        pairs = zip(self.before or (), self.values, strict=False)
        return [after - before for before, after in pairs if before is not None and after is not None]

    @property
    def delta(self) -> float | None:
        """Mean change over the seeds; None for the first step."""
        return statistics.fmean(self.differences) if self.differences else None

    @property
    def noise(self) -> bool:
        """Whether the change does not count."""
        return self.before is not None and (within_noise(self.differences) or self._negligible)

    @property
    def _negligible(self) -> bool:
        known = [v for v in self.before or () if v is not None]
        return self.delta is not None and abs(self.delta) < LEAST * statistics.fmean(known)

    def to_dict(self) -> dict[str, Any]:
        """Return what `explain.json` holds."""
        margin = margin_of_error(self.differences)
        return {
            "name": self.name,
            "changes": {name: list(pair) for name, pair in self.changes.items()},
            "values": list(self.values),
            "val_mse_scaled": self.mean,
            "sd": self.sd,
            "delta": self.delta,
            "delta_ci95": None if self.delta is None or margin is None else [self.delta - margin, self.delta + margin],
            "within_noise": self.noise,
            "says": self._says(),
        }

    def _says(self) -> str:
        if self.before is None:
            return "The error of the plain LSTM on these data."
        if self.mean is None:
            return "Training diverged with every seed."
        if self.delta is None:
            return "The step before diverged, so there is nothing to compare with."
        before = statistics.fmean([v for v in self.before if v is not None])
        part = f"{abs(self.delta) / before:.1%} of the score before" if before > 0 else f"{abs(self.delta):.4g}"
        if not any(self.differences):
            return "Changes nothing: the forecast is as good as before with every seed."
        if self._negligible:
            return "Within noise: the change is too small to count."
        if self.noise:
            return f"Within noise: not distinguishable from zero over {counted(len(self.differences), 'seed')}."
        return f"Takes off {part}." if self.delta < 0 else f"Adds {part}."


def differing(start: Config, end: Config) -> list[list[Group]]:
    """Return the groups in which two configurations differ, stage by stage; empty stages are left out."""
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


def ordered(groups: Sequence[Group], values: Mapping[str, float | None]) -> list[Group]:
    """Return groups in the order of the validation MSE that each leaves if it is changed alone, the least first.

    Args:
        groups: in the order that counts between equals.
        values: by the group's name; what was not tried or diverged comes last.
    """

    def value(group: Group) -> float:
        found = values.get(group.name)
        return math.inf if found is None else found

    return sorted(groups, key=value)


def margin_of_error(differences: Sequence[float]) -> float | None:
    """Return half the width of the 95% interval of the mean difference (paired t); None of fewer than two."""
    if len(differences) < 2:
        return None
    return _critical(len(differences)) * statistics.stdev(differences) / math.sqrt(len(differences))


def within_noise(differences: Sequence[float]) -> bool:
    """Return whether the 95% interval of the mean difference over the seeds (paired t) contains 0.

    Args:
        differences: after minus before, for each seed; fewer than two cannot show a change.
    """
    margin = margin_of_error(differences)
    return margin is None or abs(statistics.fmean(differences)) <= margin


def stays_noise(differences: Sequence[float], seeds: int) -> bool:
    """Return whether a change is within noise over `seeds` seeds, whatever the differences that are not known yet.

    With A the sum and Q the sum of squares of the known differences, r unknown ones can raise (sum)² / (sum of squares)
    to A²/Q + r at most, by being Q/A each (the derivative is 0 there). That bounds Student's t.
    """
    left = seeds - len(differences)
    squares = math.fsum(d * d for d in differences)
    if left <= 0 or not squares:
        return within_noise(differences)
    most = math.fsum(differences) ** 2 / squares + left
    return most < seeds and (seeds - 1) * most / (seeds - most) <= _critical(seeds) ** 2


@functools.cache
def _critical(count: int) -> float:
    """Return the quantile of Student's t that bounds the interval of `count` differences."""
    from scipy.special import stdtrit  # importing it takes a fifth of a second, which only `explain` should spend

    return float(stdtrit(count - 1, (1 + LEVEL) / 2))


def rule(seeds: Sequence[int], folds: int, listed_from: str | None) -> str:
    """Return how the order was chosen and what a value is, in words.

    Args:
        seeds: of the trainings.
        folds: validation blocks.
        listed_from: the first step for whose stage there was no time to try the changes; None: there was for all.
    """
    every = ", ".join(map(str, seeds))
    text = (
        "Order: the way of the data through the model (what is done to the series, what is done to each window, the "
        "network and its training, the skip forecast), last the mean of several trials; within each of these the "
        f"changes come in the order of what each takes off the validation score alone (tried with seed {seeds[0]}), "
        "and those that change less than the seeds do are one step. "
    )
    if listed_from is not None:
        text += f"There was no time to try every change: from {listed_from!r} on, the order is a fixed one. "
    blocks = "the validation rows" if folds == 1 else f"the mean over {folds} validation blocks"
    text += (
        f"Every step was trained with seeds {every}, or with the first two if a further one could not have made its "
        f"change count, and judged as the trials of the study are: {blocks}. "
        f"Within noise: the {LEVEL:.0%} interval of the change over the seeds (paired t) contains 0, "
        f"or the change is below {LEAST:.1%}."
    )
    return text
