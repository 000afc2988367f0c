"""All findings on a study that has ended: on its training, its test forecasts and its search."""

from __future__ import annotations

from typing import Any

from lstm_tune.diagnosis import (
    epoch_checks,
    error_checks,
    fit_checks,
    interval_checks,
    learning_rate_checks,
    search_checks,
    skill_checks,
)
from lstm_tune.diagnosis.check import Check, run_checks
from lstm_tune.diagnosis.evidence import Search
from lstm_tune.diagnosis.finding import Finding, by_severity
from lstm_tune.diagnosis.learning_curves import Training
from lstm_tune.diagnosis.skill_checks import Holdout
from lstm_tune.evaluation.recorded_forecasts import Forecasts

TRAINING_CHECKS: tuple[Check[Training], ...] = (
    *learning_rate_checks.CHECKS,
    *epoch_checks.CHECKS,
    *fit_checks.CHECKS,
)
FORECAST_CHECKS: tuple[Check[Holdout], ...] = (*error_checks.CHECKS, *skill_checks.CHECKS)
STUDY_CHECKS: tuple[Check[Any], ...] = (
    *skill_checks.BASELINE_CHECKS,
    *TRAINING_CHECKS,
    *FORECAST_CHECKS,
    *interval_checks.CHECKS,
    *search_checks.CHECKS,
)


def study_findings(search: Search, tested: Forecasts) -> list[Finding]:
    """Return the findings on training, test forecasts and search, most severe first.

    Args:
        search: the study and its scores.
        tested: the test forecasts, or a part of them.
    """
    holdout = Holdout(forecasts=tested, scores=search.scores)
    return by_severity(
        [
            *run_checks(skill_checks.BASELINE_CHECKS, holdout),
            *run_checks(TRAINING_CHECKS, Training(trials=search.trials, scores=search.scores)),
            *run_checks(FORECAST_CHECKS, holdout),
            *run_checks(interval_checks.CHECKS, search.scores),
            *run_checks(search_checks.CHECKS, search),
        ]
    )
