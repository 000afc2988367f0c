"""What the baselines are called, and what to search if one of them beats the model. The forecasts are in `models`.

A baseline is one entry here and one in `models.baselines`. This module imports no torch, so that tables start fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineLabel:
    """The names of one baseline."""

    table: str  # in tables and figures
    sentence: str  # as the subject of a sentence
    advice: str  # what to do if its test error is below the model's


LABELS: Mapping[str, BaselineLabel] = {
    "persistence": BaselineLabel(
        table="persistence (last value)",
        sentence="repeating the last value",
        advice="Search window_norm = last and skip = last, which begin at this forecast (--space default).",
    ),
    "seasonal_naive": BaselineLabel(
        table="seasonal naive (last season)",
        sentence="repeating the last season",
        advice="Search skip = seasonal and difference = seasonal (--space default), with a lookback of a season or "
        "more.",
    ),
    "ridge": BaselineLabel(
        table="ridge regression",
        sentence="ridge regression",
        advice="Search skip = linear, which begins at this forecast (--space default), or use the ridge itself.",
    ),
    "ets": BaselineLabel(
        table="exponential smoothing",
        sentence="exponential smoothing",
        advice="Search skip = ets, which begins at this forecast (--space default), or use the smoothing itself.",
    ),
    "combination": BaselineLabel(
        table="mean of these forecasts",
        sentence="a weighted mean of the simple forecasts",
        advice="Give the search more time (--timeout), or use the mean of the simple forecasts instead.",
    ),
    "train_mean": BaselineLabel(
        table="mean of the train rows",
        sentence="the mean of the train rows",
        advice="Search more epochs and a higher learning_rate (--space default): the model has learned nothing.",
    ),
}
_NO_SEASON = "seasonal naive (no season)"


def label_of(name: str) -> BaselineLabel:
    """Return the label of a baseline; a name that is not known here labels itself."""
    if name in LABELS:
        return LABELS[name]
    words = name.replace("_", " ")
    return BaselineLabel(table=words, sentence=words, advice="Use this forecast instead, or give the search more time.")


def table_label(name: str, period: float | None) -> str:
    """Return what tables and figures call a baseline.

    Args:
        name: of the baseline.
        period: rows in a season; None or 1: there is none. NaN: it is not known.
    """
    return _NO_SEASON if name == "seasonal_naive" and period in (None, 1) else label_of(name).table
