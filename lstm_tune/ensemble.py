"""Which trials to average, and how much each counts: chosen on the validation forecasts, never on test rows.

Forward selection with replacement (Caruana et al. 2004): from the best trial on, the trial is added whose forecast
betters the average most; how often each was added is its weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

ROUNDS = 8
MEMBERS = 4  # distinct trials at most: each is retrained once for every seed
_WORTH = 0.998  # an addition must lower the value by this factor


def select(
    forecasts: Mapping[int, Sequence[Tensor]],
    value_of: Callable[[Sequence[Tensor]], float],
    *,
    rounds: int = ROUNDS,
    members: int = MEMBERS,
) -> dict[int, float]:
    """Return {trial number: weight}, the weights adding up to 1, the first being the best single trial.

    Args:
        forecasts: of each candidate trial, one tensor (n, H) for each fold, the best trial first.
        value_of: maps one forecast for each fold to the objective's value.
        rounds: additions at most.
        members: distinct trials at most.
    """
    best = next(iter(forecasts))
    counts = Counter([best])
    total = list(forecasts[best])
    value = value_of(total)
    for size in range(2, rounds + 1):
        tried: dict[int, float] = {}
        for number, candidate in forecasts.items():
            if number in counts or len(counts) < members:
                mean = [(t + c) / size for t, c in zip(total, candidate, strict=True)]
                tried[number] = value_of(mean)
        number = min(tried, key=lambda n: (tried[n], n))
        if tried[number] > _WORTH * value:
            break
        value = tried[number]
        counts[number] += 1
        total = [t + c for t, c in zip(total, forecasts[number], strict=True)]
    size = counts.total()
    return {number: count / size for number, count in counts.items()}
