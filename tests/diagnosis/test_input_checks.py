"""The finding on covariates that a model forecasts as well without."""

from __future__ import annotations

from lstm_tune.diagnosis.input_checks import useless_covariates
from lstm_tune.evaluation.input_importance import Importance, Input


def worth(name: str, share: float, low: float, high: float, *, kind: str = "past", n: int = 12) -> Importance:
    one = Input(name=name, kind=kind, first=0, end=1)
    return Importance(input=one, importance=share, stdev=0.1, p_value=0.5, n=n, p99_low=low, p99_high=high)


def test_covariates_that_are_worth_something_or_may_be_are_no_finding() -> None:
    assert useless_covariates([]) is None
    assert useless_covariates([worth("x", 0.3, 0.2, 0.4), worth("z", 0.004, -0.01, 0.02)]) is None
    assert useless_covariates([worth("x", 0.0, 0.0, 0.0, n=2)]) is None  # too few blocks to tell
    assert useless_covariates([worth("older rows", 0.0, 0.0, 0.0, kind="lookback")]) is None


def test_covariates_that_are_surely_worth_less_than_one_percent_are_named_with_what_to_do() -> None:
    rows = [
        worth("x", 0.3, 0.2, 0.4),
        worth("u", 0.001, -0.002, 0.004),
        worth("calendar", 0.0, 0.0, 0.0, kind="calendar"),
    ]
    found = useless_covariates(rows)
    assert found is not None
    assert (found.severity, found.evidence["covariates"]) == ("info", {"calendar": 0.0, "u": 0.001})
    assert "as well without the calendar, u:" in found.says
    assert "leave u out of --past and --future and pass --no-calendar" in found.advice
    holidays = useless_covariates([worth("holidays", 0.0, 0.0, 0.0, kind="calendar")])
    assert holidays is not None
    assert "To tune without it, leave out --holidays:" in holidays.advice
    harmful = useless_covariates([worth("u", -0.05, -0.08, -0.02)])
    assert harmful is not None
    assert harmful.severity == "warn"
    assert "makes the forecast worse" in harmful.says
