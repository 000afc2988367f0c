"""Checks of the test forecasts against simpler ones: a baseline, the last value, the mean. Pure functions of arrays.

All errors are in scaled units (divided by the train rows' standard deviation), so that several target columns can be
taken together. Letters: n windows, H horizon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from lstm_tune.diagnosis.action import Action, each, scaled, search
from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.evidence import Scores
from lstm_tune.diagnosis.finding import Finding, Severity, Thresholds
from lstm_tune.evaluation.baseline_labels import label_of
from lstm_tune.evaluation.decomposition import forecast_and_actual, mean_of_finite
from lstm_tune.evaluation.recorded_forecasts import Floats, Forecasts
from lstm_tune.utils.text import rounded

_WORSE = Thresholds(warn=0.02, high=0.05)  # relative excess over a baseline's error
_COPY = 0.8  # correlation of the forecast with the last value
_NO_GAIN = 0.02  # of the error of persistence, or of the mean
_FLAT = 0.1  # squared range of the forecast, over that of the actual values
_INSTEAD = {
    "persistence": "Or repeat the last value.",
    "ridge": "Or use the ridge regression itself.",
    "ets": "Or use the exponential smoothing itself.",
    "combination": "Or use the mean of the simple forecasts itself.",
}
_CLEARLY = 0.05  # by which a baseline must be better before it counts


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Holdout:
    """Test forecasts, or a part of them, and the scores of the model and the baselines on all test windows."""

    forecasts: Forecasts
    scores: Scores


def worse_than_baseline(holdout: Holdout) -> Finding | None:
    """Find a forecast that needs no LSTM and has less test error: by 5% and beyond chance (high), or by 2% (warn)."""
    scores = holdout.scores
    name = scores.best_baseline
    if name is None or not scores.test > 0:
        return None
    best = scores.test_baselines[name]
    excess = scores.test / best - 1 if best > 0 else math.inf  # a forecast may make no error at all
    if not excess >= _WORSE.warn:
        return None
    low, high = scores.skill_ci95.get(name, (math.nan, math.nan))
    sure = high < 0 or not best > 0
    return Finding(
        code="worse_than_baseline",
        severity="high" if sure and excess >= _WORSE.high else "warn",
        evidence={
            "baseline": name,
            "ratio": rounded(1 + excess),
            "skill_ci95": [rounded(low), rounded(high)],
            "test_mse_scaled": rounded(scores.test),
            "baseline_mse_scaled": rounded(best),
        },
        says=f"{label_of(name).sentence.capitalize()} has a {1 - 1 / (1 + excess):.1%} lower test MSE than the model, "
        f"{'more than chance explains' if sure else 'which may be chance'}.",
        actions=_towards(name, scores, 1 - 1 / (1 + excess)),
        by_hand=_INSTEAD.get(name, ""),
    )


def _towards(name: str, scores: Scores, gain: float) -> tuple[Action, ...]:
    """Return what lets the LSTM start from the forecast that is better; of a mean of several, from the best of them."""
    if name == "combination":
        rest = {n: mse for n, mse in scores.test_baselines.items() if n != name}
        best = min(rest, key=lambda n: rest[n], default="ridge")
        return (*_towards(best, scores, gain), Action(factors={"timeout": 2}))
    found = {
        "persistence": (search(window_norm="last", skip="last", gain=gain), *each(window_norm="last", gain=gain)),
        "seasonal_naive": each(skip="seasonal", difference="seasonal", gain=gain),
        "ridge": each(skip="linear", gain=gain),
        "ets": each(skip="ets", gain=gain),
        "train_mean": scaled(epochs=2, learning_rate=3),
    }
    return found.get(name, (Action(factors={"timeout": 2}),))


def with_score(finding: Finding, scores: Scores) -> Finding:
    """Return a finding of a season as a warning if repeating the last season has less test error than the model."""
    naive = scores.test_baselines.get("seasonal_naive", math.inf)
    if finding.code != "seasonality" or "period" not in finding.evidence or not 0 < naive < scores.test:
        return finding
    ratio = scores.test / naive
    return replace(
        finding,
        severity="warn",
        evidence={**finding.evidence, "model_over_seasonal_naive": rounded(ratio)},
        says=f"{finding.says} Repeating the last season has a {1 - 1 / ratio:.0%} lower test MSE than the model.",
    )


def copies_last_value(holdout: Holdout) -> Finding | None:
    """Find a forecast that is the last value, a step late: it resembles it more than its target, and gains nothing.

    Raised if the correlation with the last value is at least 0.8 and above that with the target, and the MSE is not 2%
    below that of persistence, or not beyond chance and not 5%. High if another baseline is 5% better than both, beyond
    chance; for information if the MSE is 2% below that of persistence.
    """
    tested, scores = holdout.forecasts, holdout.scores
    persistence = scores.test_baselines.get("persistence", math.nan)
    if not persistence > 0:
        return None
    last = np.broadcast_to(tested.last[:, None], tested.actual.shape)
    to_last, to_target = (_correlation(tested, other) for other in (last, tested.actual))
    gain = 1 - scores.test / persistence
    low, _ = scores.skill_ci95.get("persistence", (math.nan, math.nan))
    if to_last < _COPY or to_last <= to_target or (gain >= _NO_GAIN and not low <= 0) or gain >= _CLEARLY:
        return None
    rivals = {n: m for n, m in scores.test_baselines.items() if n != "persistence"}
    best = min(rivals, key=lambda n: rivals[n], default=None)
    better = best is not None and rivals[best] < (1 - _CLEARLY) * min(scores.test, persistence)
    actions: tuple[Action, ...]
    says = "The forecast follows the last value, one step late"
    if better and best is not None:
        size = "as large as" if gain >= 0 else "larger than"
        says += (
            f", and its error is {size} that of repeating the last value, while {label_of(best).sentence} shows that "
            f"{1 - rivals[best] / persistence:.0%} less is possible."
        )
        actions = (search(window_norm="last", skip="linear"), *scaled(lookback=2), *each(difference="first"))
        by_hand = ""
    else:
        says += ", and nothing that was tried does clearly better; this is usual if a series moves like a random walk."
        actions = ()
        by_hand = "Add covariates that change before the series does (--past, --future), or repeat the last value."
    severity: Severity = "warn" if gain < _NO_GAIN else "info"
    return Finding(
        code="copies_last_value",
        severity="high" if better and _surely_better(best, scores) else severity,
        evidence={
            "correlation_with_last_value": rounded(to_last),
            "correlation_with_target": rounded(to_target),
            "gain_over_persistence": rounded(gain, 3),
        },
        says=says,
        actions=actions,
        by_hand=by_hand,
    )


def _correlation(tested: Forecasts, other: Floats) -> float:
    """Return the correlation of forecast and `other` (n, H), each minus the mean of its step, over observed targets."""
    there = tested.observed
    a, b = (x - mean_of_finite(np.where(there, x, np.nan)) for x in (tested.forecast, other))
    a, b = a[there], b[there]
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else 0.0


def predicts_the_mean(holdout: Holdout) -> Finding | None:
    """Find a forecast that is nearly constant: the square of its range is under a tenth of that of the actual values.

    The range is that from the 5% to the 95% quantile, so that a few outliers do not count. High if a baseline is 5%
    better, beyond chance: then there is something to forecast. Else a warning if the MSE is not 2% below that of the
    test rows' own mean, and for information if it is: far ahead, or if the memory is weak, a good forecast is close to
    the mean.
    """
    scores = holdout.scores
    ratio, variance = _range_ratio(holdout.forecasts)
    if not ratio < _FLAT:
        return None
    name = scores.best_baseline
    better = name is not None and scores.test_baselines[name] < (1 - _CLEARLY) * scores.test
    actions: tuple[Action, ...]
    says = f"The forecast is nearly constant: its range is {math.sqrt(ratio):.0%} of that of the actual values"
    if better and name is not None:
        says += f", although {label_of(name).sentence} shows that there is something to forecast."
        actions = (*each(skip="linear"), *scaled(learning_rate=3), *scaled(hidden_units=2), *each(dropout=0.0))
        by_hand = ""
    else:
        says += ", and nothing that was tried does much better than the mean."
        actions = ()
        by_hand = "Add covariates (--past, --future) or forecast sums of rows; tuning alone will not help."
    sure, learned_nothing = better and _surely_better(name, scores), scores.test >= (1 - _NO_GAIN) * variance
    return Finding(
        code="predicts_the_mean",
        severity="high" if sure else "warn" if better or learned_nothing else "info",
        evidence={
            "range_ratio": rounded(math.sqrt(ratio), 3),
            "r2": rounded(1 - scores.test / variance, 3) if variance > 0 else None,
            "skill_of_best_baseline": _skill(name, scores),
        },
        says=says,
        actions=actions,
        by_hand=by_hand,
    )


def _range_ratio(tested: Forecasts) -> tuple[float, float]:
    """Return the squared range of the forecast over that of the actual values, and the mean variance of the latter."""
    forecast, actual, variance = 0.0, 0.0, 0.0
    channels = np.unique(tested.channel)
    for channel in channels:
        f, y = forecast_and_actual(tested, channel)
        if np.isfinite(y).any():
            forecast, actual = forecast + _range(f) ** 2, actual + _range(y) ** 2
            variance += float(np.nanvar(y)) / len(channels)
    return forecast / actual if actual > 0 else math.nan, variance


def _range(x: Floats) -> float:
    low, high = np.nanquantile(x, [0.05, 0.95])
    return float(high - low)


def _surely_better(name: str | None, scores: Scores) -> bool:
    """Return whether a baseline is better than the model beyond chance."""
    return name is not None and scores.skill_ci95.get(name, (math.nan, math.nan))[1] < 0


def _skill(name: str | None, scores: Scores) -> float | None:
    """Return how far the best baseline is below the model, as a share of the model's MSE."""
    return rounded(1 - scores.test_baselines[name] / scores.test, 3) if name is not None and scores.test > 0 else None


BASELINE_CHECKS: tuple[Check[Holdout], ...] = (
    # The first sentence of the verdict gives the comparison, so it is no cause.
    Check(code="worse_than_baseline", look=worse_than_baseline, cause=None),
)
CHECKS: tuple[Check[Holdout], ...] = (
    Check(
        code="predicts_the_mean",
        look=predicts_the_mean,
        cause="the forecast is nearly constant",
        explains=("copies_last_value",),
    ),
    Check(code="copies_last_value", look=copies_last_value, cause="the forecast only follows the last value"),
)
