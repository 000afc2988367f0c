"""Which trials to average, and with what weights: from their validation values, never from test rows.

The mean of several good forecasts that err differently is better than each, with weights that fall with the error of
each (Bates and Granger 1969). Forecasts err differently above all where the series was prepared differently. So the
best trial of each kind of preparation comes first, and each member weighs as the inverse square of its value. What else
was tried, with figures, stands in `benchmarks/LOG.md`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from lstm_tune.config import Config

MEMBERS = 12  # trials at most: each is retrained once for every seed
_WORST = 1.5  # times the best value: beyond that a member costs more time than it is worth


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A completed trial."""

    number: int
    value: float  # of the objective; 0 or more
    config: Config

    @property
    def kind(self) -> Hashable:
        """What makes two trials err alike: how the series was prepared for the network."""
        c = self.config
        return c.transform, c.difference, c.window_norm, c.skip


def weigh(candidates: Iterable[Candidate], *, members: int = MEMBERS) -> dict[int, float]:
    """Return {trial number: weight}, the weights adding up to 1, the best single trial first.

    Args:
        candidates: completed trials, at least one. Of those with the same value to the last digit the first one counts:
            they made the same forecast, an untrained skip most often.
        members: trials at most.
    """
    ranked = sorted({c.value: c for c in sorted(candidates, key=lambda c: -c.number)}.values(), key=lambda c: c.value)
    best = ranked[0].value
    near = [c for c in ranked if c.value <= _WORST * best]
    best_of_kind = {c.kind: c for c in reversed(near)}
    firsts = sorted(best_of_kind.values(), key=lambda c: c.value)
    chosen = [*firsts, *(c for c in near if best_of_kind[c.kind] is not c)][:members]
    weights = {c.number: (best / c.value) ** 2 if c.value else 1.0 for c in chosen}
    total = sum(weights.values())
    return {number: weight / total for number, weight in weights.items()}
