"""Which trials to average, and with what weights: from their validation values, never from test rows.

The mean of several good forecasts that err differently is better than each, with weights that fall with the error of
each (Bates and Granger 1969). What varies most are the known configurations of the search space: nobody has chosen
them by these validation rows. So all of them are members, and the linear forecasts and exponential smoothing that they
begin from are members once more, untrained. What the search found adds a few, of different kinds of preparation.

Where the validation rows hold few windows that do not overlap, their values say little, and what is known beforehand
counts for more: a network that corrects a linear forecast of differences or of normalised windows cannot go far wrong
when the level of the series moves on; one that has learned the level itself can.

For the same reason a value that the search found below all of those is believed in part: the best of many trials on
few windows is best by chance, and the more trials, the more so.

Where they hold many and still show hardly any gain over a forecast that nobody trained, there is little to be learned,
and what was learned is noise (a random walk, white noise). There the untrained forecast takes a part of the mean.

`benchmarks/LOG.md` has what else was tried, with figures.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from lstm_tune.config import Config

_MEMBERS = 10  # trials at least, if so many are good enough
_SEARCHED = 3  # of them at least, beside the known configurations
_PER_KIND = 2  # searched trials of one kind: a sampler comes back to what did best, with the same errors each time
_WORST = 2.0  # times the best value: beyond that a member costs more time than it is worth
_PRIOR = 2  # independent validation windows that weigh as much as what is known beforehand
_BELIEVED = 10  # independent windows of all blocks at which half of a gain of the search counts, in logarithms
_TELLING = 150  # independent windows of all blocks at which a missing gain is half believed
FITTED_SKIPS = ("linear", "ets")
_PRETRAINED_SHARE = 0.35  # of the mean, if the LSTM trained beforehand errs no more than the best member

BEFOREHAND = Config(lookback=1, hidden_units=1, dropout=0.0, window_norm="last", skip="pretrained")
"""Of the LSTM trained beforehand: it needs no scale, and no network that corrects it."""


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
        return self.epochs == 0 and not self.corrects_fitted

    @property
    def corrects_fitted(self) -> bool:
        """Whether it begins from a forecast that was fitted: a linear one, or exponential smoothing."""
        return self.config.skip in FITTED_SKIPS


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A member of the mean forecast."""

    number: int  # of the trial
    epochs: int  # that it is trained for; 0: its forecast before any training
    weight: float
    beforehand: bool = False  # the LSTM trained beforehand: no trial's


def add_pretrained(parts: Sequence[Part], ratio: float) -> list[Part]:
    """Give the LSTM that was trained beforehand a share of the mean, which falls with the square of its error.

    Args:
        parts: of the mean, the heaviest first.
        ratio: the least squared error of the parts over its own.
    """
    share = _PRETRAINED_SHARE * min(1.0, ratio) ** 2
    own = Part(number=parts[0].number, epochs=0, weight=share, beforehand=True)
    return [*(replace(part, weight=(1 - share) * part.weight) for part in parts), own]


def weigh(candidates: Sequence[Candidate], *, known: int, independent: float, blocks: int = 1) -> list[Part]:
    """Return the parts of the mean forecast, the heaviest first, their weights adding up to 1.

    Args:
        candidates: completed trials, at least one. A naive one counts only as the best of all.
        known: configurations that were tried first, that is the trials below this number.
        independent: validation windows that do not overlap: rows over horizon.
        blocks: validation blocks of that size, of which the values are means.
    """
    candidates = _believed(candidates, known, independent * blocks)
    best = min(candidates, key=lambda c: (c.value, c.number))
    near = [c for c in candidates if c is best or (c.value <= _WORST * best.value and not c.naive)]
    tried = [c for c in near if c.number < known]
    found = _searched(near, known)[: max(_SEARCHED, _MEMBERS - known)]
    trust = 1 + _PRIOR / independent

    def weight(c: Candidate, value: float) -> float:
        prior = 1 / trust if c.sees_level else trust if c.corrects_fitted else 1.0
        return prior * ((best.value / value) ** 2 if value else 1.0)

    members = [*tried, *found]
    parts = [(c, c.epochs, weight(c, c.value)) for c in members]
    begun = [c for c in tried if c.corrects_fitted] or [c for c in found if c.corrects_fitted]
    parts += [(c, 0, weight(c, c.start)) for c in begun if 0 < c.start <= _WORST * best.value]
    total = math.fsum(w for _, _, w in parts)
    anchor = min(candidates, key=lambda c: (c.start, c.number))
    share = _untrained_share(best.value, anchor.start, independent * blocks)
    parts = [*((c, epochs, (1 - share) * w / total) for c, epochs, w in parts), (anchor, 0, share)]
    weights: dict[tuple[int, int], float] = {}
    for c, epochs, w in parts:
        if w:  # several trials may begin from the same forecast: it is one part
            same = c if epochs else next((m for m in members if m.start == c.start < math.inf), c)
            weights[same.number, epochs] = weights.get((same.number, epochs), 0.0) + w
    return [
        Part(number=number, epochs=epochs, weight=w)
        for (number, epochs), w in sorted(weights.items(), key=lambda item: -item[1])
    ]


def _believed(candidates: Sequence[Candidate], known: int, windows: float) -> list[Candidate]:
    """Return the candidates; searched ones that are better than all known ones get a value nearer to the best of these.

    In logarithms the share n / (n + 10) of the gain is left, for n independent windows in all blocks.
    """
    least = min((c.value for c in candidates if c.number < known), default=0.0)
    share = windows / (windows + _BELIEVED)
    return [
        c if c.number < known or c.value >= least else replace(c, value=least ** (1 - share) * c.value**share)
        for c in candidates
    ]


def _searched(candidates: Sequence[Candidate], known: int) -> list[Candidate]:
    """Return what the search found, without repeated forecasts: the best of each kind, then the second best of each.

    Trials with the same value to the last digit made the same forecast, an untrained one most often.
    """
    first = {c.value: c for c in sorted(candidates, key=lambda c: -c.number)}
    ranked = [c for _, c in sorted(first.items()) if c.number >= known]
    place = {c.number: sum(other.kind == c.kind for other in ranked[:i]) for i, c in enumerate(ranked)}
    return [c for turn in range(_PER_KIND) for c in ranked if place[c.number] == turn]


def _untrained_share(best: float, start: float, windows: float) -> float:
    """Return the part of the mean that an untrained forecast of value `start` takes.

    Without any gain over it n² / (n² + 150²), for n independent windows in all blocks: few tell nothing. With a gain of
    the share g that over 1 + n g²: the gain's standard error falls as 1 / √n.
    """
    if not 0 < start < math.inf:
        return 0.0
    gain = max(0.0, 1 - best / start)
    return windows**2 / (windows**2 + _TELLING**2) / (1 + windows * gain**2)
