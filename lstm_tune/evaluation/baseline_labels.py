"""What the baselines are called. The forecasts are in `models`.

A baseline is one entry here and one in `models.baselines`. This module imports no torch, so that tables start fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineLabel:
    """The names of one baseline."""

    table: str  # in tables and figures
    sentence: str  # as the subject of a sentence


LABELS: Mapping[str, BaselineLabel] = {
    "persistence": BaselineLabel(
        table="persistence (last value)",
        sentence="repeating the last value",
    ),
    "seasonal_naive": BaselineLabel(
        table="seasonal naive (last season)",
        sentence="repeating the last season",
    ),
    "ridge": BaselineLabel(
        table="ridge regression",
        sentence="ridge regression",
    ),
    "ets": BaselineLabel(
        table="exponential smoothing",
        sentence="exponential smoothing",
    ),
    "combination": BaselineLabel(
        table="mean of simple forecasts",
        sentence="the mean of the simple forecasts",
    ),
    "train_mean": BaselineLabel(
        table="mean of the train rows",
        sentence="the mean of the train rows",
    ),
}
LONGEST_SMOOTHED = 400  # rows in a season that exponential smoothing knows, at most: a longer one has too many states


def label_of(name: str) -> BaselineLabel:
    """Return the label of a baseline; a name that is not known here labels itself."""
    if name in LABELS:
        return LABELS[name]
    words = name.replace("_", " ")
    return BaselineLabel(table=words, sentence=words)


def table_label(name: str, period: float | None) -> str:
    """Return what tables and figures call a baseline.

    Args:
        name: of the baseline.
        period: rows in a season; None or 1: there is none. NaN: it is not known. Exponential smoothing leaves out one
            that is too long for it.
    """
    if name == "seasonal_naive" and period in (None, 1):
        return "seasonal naive (no season)"
    seasonless = name == "ets" and period is not None and period > LONGEST_SMOOTHED
    return f"{label_of(name).table}{' (no season)' if seasonless else ''}"


def given_label(name: str, score: Mapping[str, Any]) -> str:
    """Return what tables call another model's forecasts; if these cover a part of the test windows, with how many.

    Args:
        name: of the model.
        score: its entry under `against` in `result.json`.
    """
    many = score["windows"]
    return name if score["complete"] else f"{name} ({many:,} {'window' if many == 1 else 'windows'})"
