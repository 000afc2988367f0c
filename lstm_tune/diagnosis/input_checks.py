"""The check of what a model is given: which covariates does it forecast as well without?"""

from __future__ import annotations

from collections.abc import Sequence

from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.evaluation.input_importance import CALENDAR, Importance
from lstm_tune.utils.text import listed, rounded

_CODE = "useless_covariates"
_WORTH = 0.01  # share of the MSE: what is surely worth less is useless
_FEWEST = 3  # blocks of time that tell
_NAMED = 5
_OF_STAMPS = {"calendar": "pass --no-calendar", "holidays": "leave out --holidays"}


def useless_covariates(found: Sequence[Importance]) -> Finding | None:
    """Find covariates, the calendar among them, without which the MSE is surely not 1% higher."""
    given = [f for f in found if f.input.kind != "lookback" and f.n >= _FEWEST]
    useless = sorted((f for f in given if f.p99_high < _WORTH), key=lambda f: f.importance)
    if not useless:
        return None
    harmful = [f for f in useless if f.p99_high < 0]
    names = ["the calendar" if f.input.kind == f.input.name == CALENDAR else f.input.name for f in useless]
    columns = [f.input.name for f in useless if f.input.kind != CALENDAR]
    ways = [f"leave {listed(columns, _NAMED)} out of --past and --future"] if columns else []
    ways += [_OF_STAMPS[f.input.name] for f in useless if f.input.kind == CALENDAR]
    one = len(useless) == 1
    worse = f" {'It' if one else 'Some'} even {'makes' if one else 'make'} the forecast worse." if harmful else ""
    return Finding(
        code=_CODE,
        severity="warn" if harmful else "info",
        rank=len(useless),
        evidence={
            "covariates": {f.input.name: rounded(f.importance, 4) for f in useless},
            "p99_high": {f.input.name: rounded(f.p99_high, 4) for f in useless},
            "blocks": useless[0].n,
        },
        says=f"The model forecasts as well without {listed(names, _NAMED)}: with values of other times in place, the "
        f"MSE on the validation blocks is less than {_WORTH:.0%} higher.{worse}",
        by_hand=f"To tune without {'it' if one else 'them'}, {' and '.join(ways)}: fewer inputs train faster and "
        "overfit less.",
    )


CHECKS: tuple[Check[Sequence[Importance]], ...] = (
    Check(code=_CODE, look=useless_covariates, cause=None, may_be_chance=True),
)
