"""Which trials to average, and with what weights: from their validation values, never from test rows.

The mean of several good forecasts that err differently is better than each, with weights that fall with the error of
each (Bates and Granger 1969). Forecasts err differently above all where the series was prepared differently. So the
best trial of each kind of preparation comes first, and each member weighs as the inverse square of its value.

Where the validation rows hold few windows that do not overlap, their values say little, and what is known beforehand
counts for more: a network that corrects a linear forecast of differences or of normalised windows cannot go far wrong
when the level of the series moves on; one that has learned the level itself can.

Where they hold many and still show hardly any gain over a forecast that nobody trained, there is little to be learned,
and what was learned is noise (a random walk, white noise). There the untrained forecast takes a part of the mean.

`benchmarks/LOG.md` has what else was tried, with figures.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from lstm_tune.config import Config

MEMBERS = 10  # trials at most: each is retrained once for every seed
_PER_KIND = 2  # trials of one kind: a sampler comes back to what did best, with the same errors each time
_WORST = 2.0  # times the best value: beyond that a member costs more time than it is worth
_PRIOR = 8  # independent validation windows that weigh as much as what is known beforehand
_SMOOTHING_SHARE = 0.35  # of the mean, if exponential smoothing errs no more than the best trial
_TELLING = 150  # independent windows of all blocks at which a missing gain is half believed


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A completed trial."""

    number: int
    value: float  # of the objective; 0 or more
    epochs: int  # the best one; 0: the untrained forecast
    config: Config
    start: float = math.inf  # value of the untrained forecast that the network corrects; inf: there is none

    @property
    def kind(self) -> Hashable:
        """What makes two trials err alike: how the series was prepared for the network."""
        c = self.config
        return c.transform, c.difference, c.window_norm, c.skip

    @property
    def sees_level(self) -> bool:
        """Whether the network is shown the level of the series, which may move out of what it was trained on."""
        return self.config.window_norm == "none" and self.config.difference == "none"

    @property
    def naive(self) -> bool:
        """Whether it is a forecast without anything fitted: a repeated value or season that no epoch made better."""
        return self.epochs == 0 and self.config.skip not in ("linear", "ets")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A member of the mean forecast."""

    number: int  # of the trial
    epochs: int  # that it is trained for; 0: its forecast before any training
    weight: float


def weigh(
    candidates: Sequence[Candidate], *, independent: float, blocks: int = 1, members: int = MEMBERS
) -> list[Part]:
    """Return the parts of the mean forecast, the heaviest first, their weights adding up to 1.

    Args:
        candidates: completed trials, at least one. Of those with the same value to the last digit the first one counts:
            they made the same forecast, an untrained skip most often. A naive one counts only as the best of all.
        independent: validation windows that do not overlap: rows over horizon.
        blocks: validation blocks of that size, of which the values are means.
        members: trials at most, beside an untrained forecast; 1: the trial with the best value, alone.
    """
    ranked = sorted({c.value: c for c in sorted(candidates, key=lambda c: -c.number)}.values(), key=lambda c: c.value)
    best = ranked[0]
    near = [best, *(c for c in ranked[1:] if c.value <= _WORST * best.value and not c.naive)]
    place = {c.number: sum(other.kind == c.kind for other in near[:i]) for i, c in enumerate(near)}
    in_turn = sorted(near, key=lambda c: (place[c.number] > 0, c.value))
    chosen = [c for c in in_turn if place[c.number] < _PER_KIND][:members]
    trust = 1 + _PRIOR / independent
    weights: dict[tuple[int, int], float] = {}
    for c in chosen:
        prior = 1 / trust if c.sees_level else trust if c.config.skip in ("linear", "ets") else 1.0
        weights[c.number, c.epochs] = prior * ((best.value / c.value) ** 2 if c.value else 1.0)
    total = math.fsum(weights.values())
    anchor = min(candidates, key=lambda c: (c.start, c.number))
    share = _untrained_share(best.value, anchor.start, independent * blocks) if members > 1 else 0.0
    parts = {key: (1 - share) * weight / total for key, weight in weights.items()}
    if share:
        # Another trial that training made no better may be a member with the same forecast already.
        twins = [c.number for c in chosen if c.epochs == 0 and c.value == anchor.start]
        key = (*twins, anchor.number)[0], 0
        parts[key] = parts.get(key, 0.0) + share
    return _parts(parts)


def add_smoothing(parts: Sequence[Part], candidates: Sequence[Candidate]) -> list[Part]:
    """Give exponential smoothing, untrained, a share of the mean: on short series little is better.

    The share falls with the square of its validation error over the least one. It is the forecast that one of the
    candidates began from; without one the parts stay as they are.
    """
    begun = [c for c in candidates if c.config.skip == "ets" and 0 < c.start < math.inf]
    if not begun:
        return list(parts)
    smoothing = min(begun, key=lambda c: (c.start, c.number))
    least = min(c.value for c in candidates)
    share = _SMOOTHING_SHARE * min(1.0, least / smoothing.start) ** 2
    weights = {(p.number, p.epochs): (1 - share) * p.weight for p in parts}
    key = smoothing.number, 0
    weights[key] = weights.get(key, 0.0) + share
    return _parts(weights)


def mean_parts(some: Sequence[Part], others: Sequence[Part]) -> list[Part]:
    """Return the parts of the mean of two mean forecasts."""
    weights: dict[tuple[int, int], float] = {}
    for p in (*some, *others):
        weights[p.number, p.epochs] = weights.get((p.number, p.epochs), 0.0) + p.weight / 2
    return _parts(weights)


def _parts(weights: Mapping[tuple[int, int], float]) -> list[Part]:
    """Return parts, the heaviest first, from weights by (trial, epochs)."""
    return [
        Part(number=number, epochs=epochs, weight=weight)
        for (number, epochs), weight in sorted(weights.items(), key=lambda item: -item[1])
    ]


def _untrained_share(best: float, start: float, windows: float) -> float:
    """Return the part of the mean that an untrained forecast of value `start` takes.

    Without any gain over it n² / (n² + 150²), for n independent windows in all blocks: few tell nothing. With a gain of
    the share g that over 1 + n g²: the gain's standard error falls as 1 / √n.
    """
    if not 0 < start < math.inf:
        return 0.0
    gain = max(0.0, 1 - best / start)
    return windows**2 / (windows**2 + _TELLING**2) / (1 + windows * gain**2)
