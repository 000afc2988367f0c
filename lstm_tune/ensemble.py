"""Which trials to average: chosen on the validation forecasts, never on test rows.

The mean of several good forecasts that err differently is better than each (Bates and Granger 1969), and equal weights
are hard to better (Smith and Wallis 2009). Forecasts err differently above all where the series was prepared
differently. So trials are taken in turn, the best of each kind of preparation first, each one that hardly worsens the
mean on the validation targets, all with the same weight. `benchmarks/LOG.md` has what else was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")

MEMBERS = 5  # trials at most: each is retrained once for every seed
_TOLERANCE = 1.05  # the mean's value may rise by so much: what is lost on these targets, variety gains on others


def variety_first(ranked: Sequence[T], kind: Callable[[T], Hashable]) -> list[T]:
    """Return ranked items, the best of each kind before all others; otherwise in the order of their ranks."""
    best_of: dict[Hashable, T] = {}
    for item in ranked:
        best_of.setdefault(kind(item), item)
    firsts = list(best_of.values())
    return firsts + [item for item in ranked if not any(item is first for first in firsts)]


def select(
    forecasts: Mapping[int, Sequence[Tensor]],
    value_of: Callable[[Sequence[Tensor]], float],
    *,
    members: int = MEMBERS,
) -> dict[int, float]:
    """Return {trial number: weight}, the weights equal and adding up to 1, the best single trial first.

    Args:
        forecasts: of each candidate trial, one tensor (n, H) for each fold; the best trial first, the others in the
            order in which they are to be tried.
        value_of: maps one forecast for each fold to the objective's value.
        members: trials at most.
    """
    best, *others = forecasts
    chosen = [best]
    total = list(forecasts[best])
    value = value_of(total)
    for number in others:
        if len(chosen) == members:
            break
        more = [t + f for t, f in zip(total, forecasts[number], strict=True)]
        joined = value_of([t / (len(chosen) + 1) for t in more])
        if joined <= _TOLERANCE * value:
            chosen.append(number)
            total, value = more, min(value, joined)
    return {number: 1 / len(chosen) for number in chosen}
