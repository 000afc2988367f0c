"""Which trials to average: chosen on the validation forecasts, never on test rows.

The mean of several good forecasts that err differently is better than each (Bates and Granger 1969), and equal weights
are hard to better (Smith and Wallis 2009). So trials are taken in the order of their value, each one that does not
worsen the mean on the validation targets, all with the same weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

MEMBERS = 5  # trials at most: each is retrained once for every seed
_TOLERANCE = 1.01  # the mean's value may rise by so much: what is lost on these targets, variety gains on others


def select(
    forecasts: Mapping[int, Sequence[Tensor]],
    value_of: Callable[[Sequence[Tensor]], float],
    *,
    members: int = MEMBERS,
) -> dict[int, float]:
    """Return {trial number: weight}, the weights equal and adding up to 1, the best single trial first.

    Args:
        forecasts: of each candidate trial, one tensor (n, H) for each fold; the best trial first.
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
