"""Checks of a channel's level: does it move, and does it leave the range of the train rows?

Thresholds are set so that stationary series raise no alarm, see tests/diagnosis. `trend_beyond_training_range` looks at
the test rows, so it runs after a study or without one.
"""

from __future__ import annotations

import numpy as np

from lstm_tune.diagnosis import autocorrelated_tests
from lstm_tune.diagnosis.action import each, search
from lstm_tune.diagnosis.channel import Channel
from lstm_tune.diagnosis.check import Check, Evidence, Params, first_setting
from lstm_tune.diagnosis.finding import Finding, Severity, Thresholds, most_severe
from lstm_tune.utils.text import rounded

_BEYOND = Thresholds(warn=0.1, high=0.25)  # share of a part's values beyond all train values
_P_BEYOND = 0.01  # that chance explains the different mean, divided by the number of channels


def non_stationary_level(channel: Channel) -> Finding | None:
    """Find a level that does not return to a mean: a trend, a random walk, a step."""
    level = channel.level
    if level is None or not channel.may_move:
        return None
    evidence = {
        "adf_p": rounded(level.adf_p),
        "kpss_p": rounded(level.kpss_p),
        "slow_share": rounded(level.slow_share),
        "trend_share": rounded(level.trend_share),
    }
    changes = ("first", "seasonal") if channel.period else ("first",)
    if level.trends:
        evidence["slope_per_row"] = rounded(level.slope)
        says = (
            f"The level follows a trend: a straight line explains {level.trend_share:.0%} of the variance of the train "
            f"and validation rows, so the levels that a model learns are out of date when it forecasts."
        )
    elif level.clear:
        says = (
            "The level wanders and does not return to a mean (the ADF and KPSS tests agree), so the levels that a "
            "model learns are out of date when it forecasts."
        )
    else:
        says = (
            f"The level may be a random walk: slow movements make up {level.slow_share:.0%} of the variance, and these "
            f"rows are too few to show whether the level returns to a mean (ADF test, p = {level.adf_p:.2g})."
        )
    return Finding(
        code="non_stationary_level",
        severity="high" if level.clear else "warn",
        rank=level.trend_share if level.trends else level.slow_share,
        evidence=evidence,
        says=says,
        actions=each(window_norm="last", difference=changes),
    )


def trend_beyond_training_range(channel: Channel) -> Finding | None:
    """Find validation or test values beyond all train values, on one side, if the level moved that way."""
    if len(channel.seen(channel.values, "train")) < 2:
        return None
    return most_severe(
        finding
        for part in ("test", "validation")
        for side in ("above", "below")
        if (finding := _beyond(channel, part, side)) is not None
    )


def _beyond(channel: Channel, part: str, side: str) -> Finding | None:
    train, rows = channel.seen(channel.values, "train"), channel.seen(channel.values, part)
    if len(rows) < 3:
        return None
    low, high = float(train.min()), float(train.max())
    up = side == "above"
    excess = rows - high if up else low - rows
    share = float((excess > 0).mean())
    severity: Severity | None = _BEYOND.severity(share)
    if severity is None:
        return None
    shift = autocorrelated_tests.compare_means(
        channel.seen(channel.seasonless, "train"), channel.seen(channel.seasonless, part)
    )
    same_way = shift.effect > 0 if up else shift.effect < 0
    certain = shift.p < _P_BEYOND / channel.channels and same_way and channel.varies
    if not (certain or channel.moves or (share >= 0.5 and (excess > 0).sum() >= 10)):
        return None
    return Finding(
        code="trend_beyond_training_range",
        severity=severity,
        rank=share,
        evidence={
            "part": part,
            "share_beyond": rounded(share),
            "side": side,
            "train_min": rounded(low),
            "train_max": rounded(high),
            "farthest_in_sd": rounded(float(np.max(excess)) / (float(np.std(train)) or 1.0)),
        },
        says=f"{share:.0%} of the {part} values lie {side} the {'largest' if up else 'smallest'} train value; a "
        f"network that learns levels has never seen such values.",
        actions=(search(window_norm="last", skip="linear"), search(difference="first", skip="linear")),
        by_hand="A longer train part (--split) helps, too.",
    )


def _cause(evidence: Evidence) -> str:
    return "the level follows a trend" if "slope_per_row" in evidence else "the level wanders"


def level_setting(evidence: Evidence, params: Params) -> str:
    """Return the setting of the best trial that handles a level that moves; "" if none does."""
    return first_setting(params, {"window_norm": ("last", "standard"), "difference": ("first", "seasonal")})


CHECKS: tuple[Check[Channel], ...] = (
    Check(
        code="non_stationary_level",
        look=non_stationary_level,
        cause=_cause,
        handled_by=level_setting,
        may_be_chance=True,
    ),
    Check(
        code="trend_beyond_training_range",
        look=trend_beyond_training_range,
        cause="the trend leaves the range of the train rows",
        handled_by=level_setting,
        may_be_chance=True,
    ),
)
