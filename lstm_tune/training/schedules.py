"""Schedules of the learning rate: pure functions of the work done, and of the validation values.

A schedule is one entry of `SCHEDULES` and one word of the parameter `schedule` in `config`; a test compares both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

_PLATEAU_PATIENCE = 2  # epochs without a better value before the learning rate is halved


def _constant(done: float) -> float:
    return 1.0


def _cosine(done: float) -> float:
    """Fall from 1 to 0 by half a cosine (Loshchilov and Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def _one_cycle(done: float) -> float:
    """Rise from 1/25 to 1 over the first 30%, then fall to 0 by half a cosine (Smith and Topin 2018)."""
    if done < 0.3:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * done / 0.3))
    return 0.5 * (1 + math.cos(math.pi * (done - 0.3) / 0.7))


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "plateau": _constant,  # follows the validation values instead, see `plateau_factor`
}


def schedule_factor(schedule: str, done: float) -> float:
    """Return what the learning rate is multiplied by when `done` (0 to 1) of all planned steps are over.

    Raises:
        KeyError: `SCHEDULES` has no such entry.
    """
    return SCHEDULES[schedule](done)


def plateau_factor(values: Sequence[float]) -> float:
    """Return the factor after these validation values: halved each time two epochs in a row bring nothing better."""
    best, waited, factor = math.inf, 0, 1.0
    for value in values:
        if value < best:
            best, waited = value, 0
        else:
            waited += 1
            if waited >= _PLATEAU_PATIENCE:
                factor, waited = factor / 2, 0
    return factor
