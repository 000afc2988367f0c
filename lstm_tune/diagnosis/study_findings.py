"""All findings of a study that has ended: on its training, its test forecasts and its search."""

from __future__ import annotations

from typing import Any

from lstm_tune.diagnosis import epoch_checks, fit_checks, forecast_findings, learning_rate_checks, search_checks
from lstm_tune.diagnosis.check import Check, run_checks
from lstm_tune.diagnosis.evidence import Search
from lstm_tune.diagnosis.finding import Finding, by_severity
from lstm_tune.diagnosis.forecast_findings import Holdout
from lstm_tune.diagnosis.learning_curves import Training
from lstm_tune.evaluation.recorded_forecasts import Forecasts

TRAINING_CHECKS: tuple[Check[Training], ...] = (*learning_rate_checks.CHECKS, *epoch_checks.CHECKS, *fit_checks.CHECKS)
STUDY_CHECKS: tuple[Check[Any], ...] = (
    *forecast_findings.BASELINE_CHECKS,
    *TRAINING_CHECKS,
    *forecast_findings.CHECKS,
    *search_checks.CHECKS,
)


def study_findings(search: Search, tested: Forecasts) -> list[Finding]:
    """Return the findings on training, test forecasts and search, most severe first."""
    forecasts = Holdout(forecasts=tested, scores=search.scores)
    return by_severity(
        [
            *run_checks(forecast_findings.BASELINE_CHECKS, forecasts),
            *run_checks(TRAINING_CHECKS, Training(trials=search.trials, scores=search.scores)),
            *run_checks(forecast_findings.CHECKS, forecasts),
            *run_checks(search_checks.CHECKS, search),
        ]
    )
