"""The finding on prediction intervals that hold too few or too many test values."""

from __future__ import annotations

import math

from lstm_tune.diagnosis.evidence import Scores
from lstm_tune.diagnosis.interval_checks import interval_coverage, judges


def scores(**coverage: tuple[float, float, float]) -> Scores:
    given = {float(level.removeprefix("of")): found for level, found in coverage.items()}
    return Scores(val=1, test=1, fit=1, val_baselines={}, test_baselines={}, fit_baselines={}, coverage=given)


def test_intervals_that_miss_their_level_by_chance_are_no_finding() -> None:
    assert interval_coverage(scores()) is None
    assert interval_coverage(scores(of80=(0.72, 0.6, 0.84), of95=(0.93, 0.88, 0.98))) is None
    assert interval_coverage(scores(of80=(0.5, math.nan, math.nan))) is None


def test_a_coverage_whose_own_interval_is_wide_is_no_finding() -> None:
    assert interval_coverage(scores(of80=(0.4, 0.01, 0.79))) is None
    assert not judges((0.07, 1.0))
    assert not judges((None, None))
    assert not judges((math.nan, math.nan))
    assert judges((0.55, 0.69))


def test_intervals_that_are_too_narrow_or_too_wide_beyond_chance_are_reported() -> None:
    found = interval_coverage(scores(of80=(0.62, 0.55, 0.69), of95=(0.91, 0.87, 0.94)))
    assert found is not None
    assert (found.severity, found.evidence["level"]) == ("warn", 80.0)
    assert "hold 62.0% of the test values, fewer than chance explains" in found.says
    assert "lstm-tune refit" in found.advice
    wide = interval_coverage(scores(of80=(0.9, 0.86, 0.94)))
    assert wide is not None
    assert wide.severity == "info"
    assert "more than chance explains" in wide.says
    slight = interval_coverage(scores(of95=(0.92, 0.91, 0.93)))
    assert slight is not None
    assert slight.severity == "info"
