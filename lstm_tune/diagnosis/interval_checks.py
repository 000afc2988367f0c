"""The check of prediction intervals: do they hold as many test values as their level says?"""

from __future__ import annotations

from collections.abc import Sequence

from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.evidence import Scores
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.utils.text import rounded

_CODE = "interval_coverage"
_TELLING = 0.05  # share of the test values by which intervals miss their level, so that it matters
_WIDEST = 0.5  # of the interval of a coverage: one that is wider judges nothing


def judges(coverage_ci95: Sequence[float | None]) -> bool:
    """Return whether the interval of a coverage is narrow enough to judge by; without one (None, NaN) nothing is."""
    low, high = coverage_ci95
    return low is not None and high is not None and high - low <= _WIDEST


def interval_coverage(scores: Scores) -> Finding | None:
    """Find intervals whose coverage of the test rows differs from their level by more than chance."""
    missed = {
        level: found
        for level, found in scores.coverage.items()
        if not found[1] <= level / 100 <= found[2] and judges(found[1:])
    }
    if not missed:
        return None
    level, (coverage, *ends) = max(missed.items(), key=lambda item: abs(item[1][0] - item[0] / 100))
    narrow = coverage < level / 100
    return Finding(
        code=_CODE,
        severity="warn" if narrow and level / 100 - coverage >= _TELLING else "info",
        rank=abs(level / 100 - coverage),
        evidence={"level": level, "coverage": rounded(coverage, 4), "coverage_ci95": [rounded(e, 4) for e in ends]},
        says=f"The {level:.15g}% intervals hold {coverage:.1%} of the test values, {'fewer' if narrow else 'more'} "
        f"than chance explains: the errors on the test rows are {'larger' if narrow else 'smaller'} than on the "
        f"validation blocks.",
        by_hand="Trust them less than they say, and refit the model on the newest rows (lstm-tune refit), which "
        "calibrates them anew."
        if narrow
        else "They are wider than they need be; lstm-tune refit on the newest rows calibrates them anew.",
    )


CHECKS: tuple[Check[Scores], ...] = (Check(code=_CODE, look=interval_coverage, cause=None, may_be_chance=True),)
