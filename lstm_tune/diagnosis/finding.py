"""Findings: what makes an MSE high, each with its evidence and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["info", "warn", "high"]
SEVERITIES: tuple[Severity, ...] = ("high", "warn", "info")  # the gravest first
SHOWN = 7  # findings at most, where people read them

DATA_CODES = (
    "non_stationary_level",
    "trend_beyond_training_range",
    "train_test_shift",
    "scale_unfit",
    "outliers",
    "missing_values",
    "irregular_time",
    "constant_series",
    "too_little_data",
    "seasonality",
    "low_signal",
)
TRAINING_CODES = (
    "underfit",
    "overfit",
    "learning_rate_too_high",
    "learning_rate_too_low",
    "too_few_epochs",
    "too_many_epochs",
    "batch_size",
    "diverged_trials",
)
FORECAST_CODES = (
    "copies_last_value",
    "predicts_the_mean",
    "missed_seasonality",
    "outliers_dominate",
    "biased",
    "worse_than_baseline",
)
SEARCH_CODES = ("winner_within_seed_noise", "validation_overfit", "space_edge", "stop_now", "more_trials")
CODES = (*DATA_CODES, *TRAINING_CODES, *FORECAST_CODES, *SEARCH_CODES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One cause of a high MSE (or the word that there is none).

    Attributes:
        code: one of `CODES`.
        severity: "high": it decides the MSE; "warn": it costs something; "info": good to know.
        evidence: numbers (and names) that show it; plain JSON.
        says: one sentence in plain words.
        advice: what to do: an option or a parameter of ours, by its name.
    """

    code: str
    severity: Severity
    evidence: Mapping[str, Any]
    says: str
    advice: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"code must be one of CODES, but is {self.code!r}")
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity must be one of {', '.join(SEVERITIES)}, but is {self.severity!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return what `result.json` holds."""
        return asdict(self)


def ranked(findings: Iterable[Finding], most: int | None = None) -> list[Finding]:
    """Return the findings, the gravest first, within a severity in the order given; at most so many."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))[:most]
