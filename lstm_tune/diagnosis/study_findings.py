"""All findings of a study that has ended: on its training, its test forecasts and its search."""

from __future__ import annotations

from typing import Any

from lstm_tune.diagnosis import forecast_findings, search_findings, training_findings
from lstm_tune.diagnosis.check import Check, run_checks
from lstm_tune.diagnosis.finding import Finding, by_severity
from lstm_tune.diagnosis.forecast_findings import Holdout
from lstm_tune.diagnosis.search_findings import Search
from lstm_tune.diagnosis.training_findings import Training
from lstm_tune.evaluation.recorded_forecasts import Forecasts

STUDY_CHECKS: tuple[Check[Any], ...] = (
    *forecast_findings.BASELINE_CHECKS,
    *training_findings.CHECKS,
    *forecast_findings.CHECKS,
    *search_findings.CHECKS,
)


def study_findings(search: Search, tested: Forecasts) -> list[Finding]:
    """Return the findings on training, test forecasts and search, most severe first."""
    forecasts = Holdout(forecasts=tested, scores=search.scores)
    return by_severity(
        [
            *run_checks(forecast_findings.BASELINE_CHECKS, forecasts),
            *run_checks(training_findings.CHECKS, Training(trials=search.trials, scores=search.scores)),
            *run_checks(forecast_findings.CHECKS, forecasts),
            *run_checks(search_findings.CHECKS, search),
        ]
    )
