"""Configurations drawn at random from a space, without a study."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

from lstm_tune.config import Config
from lstm_tune.search.space import Space


def draw(space: Space, n: int, seed: int = 0) -> Iterator[Config]:
    """Draw n configurations at random, each parameter by itself; the same seed draws the same ones."""
    dice = _Dice(random.Random(seed))
    return (space.suggest(dice) for _ in range(n))


class _Dice:
    """Chooses from a space at random, as a trial does."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return round(self._log_uniform(low, high)) if log else self._rng.randrange(low, high + 1, step)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return self._log_uniform(low, high) if log else self._rng.uniform(low, high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._rng.choice(choices)

    def _log_uniform(self, low: float, high: float) -> float:
        return min(max(math.exp(self._rng.uniform(math.log(low), math.log(high))), low), high)
