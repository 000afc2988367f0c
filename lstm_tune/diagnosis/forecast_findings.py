"""Findings on the test forecasts. Pure functions of arrays.

Letters: n windows, H horizon. All errors are in scaled units (over the train rows' standard deviation), so that several
target columns can be taken together. Neighbouring windows share targets, so errors depend on each other over H rows:
every judgement of significance is made between blocks of at least 2H windows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.evidence import Scores
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.evaluation.baseline_labels import label_of
from lstm_tune.evaluation.decomposition import forecast_and_actual, mean_of_finite
from lstm_tune.evaluation.recorded_forecasts import Floats, Forecasts
from lstm_tune.evaluation.significance import block_means
from lstm_tune.utils.text import rounded

_BLOCKS = 4  # fewer blocks can tell nothing
_COPY = 0.8  # correlation of the forecast with the last value
_NO_GAIN = 0.02  # of the error of persistence, or of the mean
_FLAT = 0.1  # variance of the forecast, over that of the actual values
_CLEARLY = 0.05  # by which a baseline must be better before it counts
_SEASON = 0.3, 0.6  # residual autocorrelation at the season: warn, high
_FEW_ROWS = 0.01  # of the rows: the worst ones …
_CARRY = 0.3, 0.5  # … and the share of the MSE that they carry: warn, high
_LEAST_ROWS = 30
_BIAS = 0.1, 0.25  # share of the MSE: warn, high
_LEAST_BIAS = 0.05  # train standard deviations
_WORSE = 0.02, 0.05  # than a baseline: warn, high


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Holdout:
    """Test forecasts, or a part of them, and the scores of the model and the baselines on all test windows."""

    forecasts: Forecasts
    scores: Scores


def worse_than_baseline(scores: Scores) -> Finding | None:
    """A forecast that needs no LSTM has less test error: by 5% and beyond chance (high), or by 2% (warn)."""
    name = scores.best_baseline
    if name is None or not scores.test > 0:
        return None
    best = scores.test_baselines[name]
    excess = scores.test / best - 1 if best > 0 else math.inf  # a forecast may make no error at all
    if not excess >= _WORSE[0]:
        return None
    low, high = scores.skill_ci95.get(name, (math.nan, math.nan))
    sure = high < 0 or not best > 0
    said = "more than chance explains" if sure else "which may be chance"
    return Finding(
        code="worse_than_baseline",
        severity="high" if sure and excess >= _WORSE[1] else "warn",
        evidence={
            "baseline": name,
            "ratio": rounded(1 + excess),
            "skill_ci95": [rounded(low), rounded(high)],
            "test_mse_scaled": rounded(scores.test),
            "baseline_mse_scaled": rounded(best),
        },
        says=f"{label_of(name).sentence.capitalize()} has {1 - 1 / (1 + excess):.1%} less test error, {said}.",
        advice=label_of(name).advice,
    )


def copies_last_value(tested: Forecasts, scores: Scores) -> Finding | None:
    """The forecast is the last value, a step late: it correlates more with it than with its target, and gains nothing.

    Raised where the correlation with the last value is 0.8 at least and above that with the target, and the MSE is not
    2% below that of persistence, or not beyond chance and not 5%. High where another baseline is 5% better than both,
    beyond chance; for information where the MSE is 2% below that of persistence.
    """
    persistence = scores.test_baselines.get("persistence", math.nan)
    if not persistence > 0:
        return None
    there = tested.observed
    last = np.broadcast_to(tested.last[:, None], there.shape)
    centre = mean_of_finite(np.where(there, tested.forecast, np.nan))
    to_last = _correlation(tested.forecast - centre, last - mean_of_finite(np.where(there, last, np.nan)), there)
    to_target = _correlation(
        tested.forecast - centre, tested.actual - mean_of_finite(np.where(there, tested.actual, np.nan)), there
    )
    gain = 1 - scores.test / persistence
    low, _ = scores.skill_ci95.get("persistence", (math.nan, math.nan))
    if not (to_last >= _COPY and to_last > to_target) or (gain >= _NO_GAIN and not low <= 0) or gain >= _CLEARLY:
        return None
    rivals = {n: m for n, m in scores.test_baselines.items() if n != "persistence"}
    best = min(rivals, key=lambda n: rivals[n], default=None)
    better = best is not None and rivals[best] < (1 - _CLEARLY) * min(scores.test, persistence)
    evidence = {
        "correlation_with_last_value": rounded(to_last),
        "correlation_with_target": rounded(to_target),
        "gain_over_persistence": rounded(gain, 3),
    }
    says = "The forecast follows the last value, a step late"
    if better and best is not None:
        says += f", and errs {'as much as' if gain >= 0 else 'more than'} just repeating it, while "
        says += f"{label_of(best).sentence} shows that {1 - rivals[best] / persistence:.0%} less is possible."
        advice = "Search difference, window_norm and skip (--space default) with a longer lookback."
    else:
        says += (
            ", and nothing that was tried does clearly better: so it is with a series that moves like a random walk."
        )
        advice = "Look for covariates that lead the series (--past, --future, --calendar), or repeat the last value."
    return Finding(
        code="copies_last_value",
        severity="high" if better and _surely_better(best, scores) else "warn" if gain < _NO_GAIN else "info",
        evidence=evidence,
        says=says,
        advice=advice,
    )


def _correlation(a: Floats, b: Floats, there: np.ndarray) -> float:
    """Return the correlation of centred values over the elements that are there; 0 where one of them is constant."""
    a, b = a[there], b[there]
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else 0.0


def predicts_the_mean(tested: Forecasts, scores: Scores) -> Finding | None:
    """The forecast is nearly constant: the square of its range is under a tenth of that of the actual values.

    The range is that from the 5% to the 95% quantile, so that a few outliers do not count. High where a baseline is 5%
    better, beyond chance: then there is something to forecast. Else a warning where the MSE is not 2% below that of
    the test rows' own mean, and for information where it is: far ahead, or of weak memory, a good forecast is close to
    the mean.
    """
    forecast, actual, variance = 0.0, 0.0, 0.0
    for channel in np.unique(tested.channel):
        f, y = forecast_and_actual(tested, channel)
        if np.isfinite(y).any():
            forecast, actual = forecast + _range(f) ** 2, actual + _range(y) ** 2
            variance += float(np.nanvar(y)) / len(np.unique(tested.channel))
    if not actual > 0 or forecast >= _FLAT * actual:
        return None
    name = scores.best_baseline
    better = name is not None and scores.test_baselines[name] < (1 - _CLEARLY) * scores.test
    says = (
        f"The forecast is nearly constant: its range is {math.sqrt(forecast / actual):.0%} of that of the actual values"
    )
    if better and name is not None:
        says += f", although {label_of(name).sentence} shows that there is something to forecast."
        advice = "Raise learning_rate, epochs and hidden_units, lower dropout and weight_decay, or use skip = linear."
    else:
        says += ", and nothing that was tried finds much more in the past values than their mean."
        advice = "Look for covariates (--past, --future, --calendar) or forecast sums of rows; tuning will not help."
    sure, learned_nothing = better and _surely_better(name, scores), scores.test >= (1 - _NO_GAIN) * variance
    return Finding(
        code="predicts_the_mean",
        severity="high" if sure else "warn" if better or learned_nothing else "info",
        evidence={
            "range_ratio": rounded(math.sqrt(forecast / actual), 3),
            "r2": rounded(1 - scores.test / variance, 3) if variance > 0 else None,
            "skill_of_best_baseline": _skill(name, scores),
        },
        says=says,
        advice=advice,
    )


def _range(x: Floats) -> float:
    low, high = np.nanquantile(x, [0.05, 0.95])
    return float(high - low)


def _surely_better(name: str | None, scores: Scores) -> bool:
    """Return whether a baseline is better than the model beyond chance."""
    return name is not None and scores.skill_ci95.get(name, (math.nan, math.nan))[1] < 0


def _skill(name: str | None, scores: Scores) -> float | None:
    """Return how far the best baseline lies below the model."""
    return rounded(1 - scores.test_baselines[name] / scores.test, 3) if name is not None and scores.test > 0 else None


def missed_seasonality(tested: Forecasts) -> Finding | None:
    """The errors come back after a season: their autocorrelation peaks there.

    Looked at for the first step and for the last one, at the first multiple of the season that is not below the step,
    since the errors of optimal forecasts of h rows are correlated over h - 1 rows only. Raised where it is 0.3 at
    least, above Bartlett's (1946) 3.3 standard errors, and 0.15 above that at half a season more and less. A season
    can take off about the squared autocorrelation of that step's error: a warning where that is 9% (36%: high) of the
    mean over all steps, else for information.
    """
    error = tested.error
    best: tuple[float, int, int, int] | None = None
    for step in sorted({0, tested.horizon - 1}):
        runs = [error[stretch, step] for stretch in tested.stretches()]
        for period in tested.periods:
            lag = period * -(-(step + 1) // period)
            half = max(1, period // 2)
            r = _autocorrelation(runs, lag + half)
            if r is None:
                continue
            values, pairs = r
            memory = values[1 : max(2, min(lag, step + 1))]
            error_of = math.sqrt((1 + 2 * float(np.sum(memory**2))) / max(pairs[lag], 1))
            beside = max(values[lag - half], values[lag + half]) if lag - half > 0 else values[lag + half]
            if pairs[lag] < max(2 * period, 20):
                continue
            strength = float(values[lag])
            clear = strength >= max(_SEASON[0], 3.3 * error_of) and strength - beside >= 0.15
            if clear and (best is None or strength > best[0]):
                best = strength, period, step + 1, lag
    if best is None:
        return None
    strength, period, step, lag = best
    mses = mean_of_finite(np.square(error))
    felt = strength * math.sqrt(min(1.0, float(mses[step - 1] / np.nanmean(mses))))
    return Finding(
        code="missed_seasonality",
        severity="high" if felt >= _SEASON[1] else "warn" if felt >= _SEASON[0] else "info",
        evidence={"period": period, "lag": lag, "step": step, "autocorrelation": rounded(strength, 3)},
        says=f"The errors repeat themselves after {lag} rows (autocorrelation {strength:.2f} at step {step}): a season "
        f"of {period} rows is left in them.",
        advice=f"Let the model see it: lookback of several seasons (such as {3 * period} rows), difference = seasonal, "
        f"skip = seasonal, or --calendar.",
    )


def _autocorrelation(runs: list[Floats], most: int) -> tuple[Floats, Floats] | None:
    """Return the autocorrelation at lags 0 to `most` over pairs within runs, NaNs aside, and the pairs behind each."""
    every = np.concatenate(runs) if runs else np.empty(0)
    finite = every[np.isfinite(every)]
    if len(finite) <= most or not finite.std() > 0:
        return None
    centre, variance = finite.mean(), finite.var()
    values, pairs = np.zeros(most + 1), np.zeros(most + 1)
    size = 1 << int(2 * max(len(run) for run in runs) - 1).bit_length()
    for run in runs:
        there = np.isfinite(run)
        x = np.where(there, run - centre, 0.0)
        here = min(most + 1, len(run))
        values[:here] += np.fft.irfft(np.abs(np.fft.rfft(x, size)) ** 2, size)[:here]
        pairs[:here] += np.rint(np.fft.irfft(np.abs(np.fft.rfft(there.astype(float), size)) ** 2, size)[:here])
    return values / np.maximum(pairs, 1) / variance, pairs


def outliers_dominate(tested: Forecasts) -> Finding | None:
    """The worst 1% of the target rows carry 30% of the squared error or more (50%: high)."""
    row, error = _row_errors(tested)
    total = float(error.sum())
    if len(error) < _LEAST_ROWS or not total > 0:
        return None
    few = max(1, math.ceil(_FEW_ROWS * len(error)))
    worst = np.argsort(-error)[:few]
    share = float(error[worst].sum()) / total
    if share < _CARRY[0]:
        return None
    named = [tested.label(int(row[i])) for i in worst[:3]]
    return Finding(
        code="outliers_dominate",
        severity="high" if share >= _CARRY[1] else "warn",
        evidence={"rows": few, "of_rows": len(error), "share": rounded(share, 3), "worst": named},
        says=f"{share:.0%} of the squared error comes from {'one' if few == 1 else few} of {len(error):,} test rows "
        f"({'' if few == len(named) else 'among them '}{', '.join(named)}).",
        advice="Look at the worst rows: leave empty what is an error in the data, give what was known beforehand (such "
        "as holidays) as --future, and search loss = huber and outlier_clip = 5.",
    )


def _row_errors(tested: Forecasts) -> tuple[np.ndarray, Floats]:
    """Return the rows that were forecast, and the mean squared error of each over all forecasts of it."""
    span = int(tested.row.max(initial=0)) + tested.horizon + 1
    place = (tested.channel * span + tested.row)[:, None] + np.arange(tested.horizon)
    squared = np.square(tested.error)
    there = tested.observed & np.isfinite(squared)
    unique, which = np.unique(place[there], return_inverse=True)
    mean: Floats = np.bincount(which, weights=squared[there]) / np.maximum(np.bincount(which), 1)
    return unique % span, mean


def biased(tested: Forecasts) -> Finding | None:
    """The mean error, squared, is a tenth of the MSE or more (a quarter: high), 5% of the spread, and not by chance.

    By chance: Student's t over blocks of two horizons, and √n windows, at least; at 1% over all columns.
    """
    window = mean_of_finite(tested.error.T)
    found: tuple[float, float, float] | None = None
    channels = np.unique(tested.channel)
    squares = 0.0
    for channel in channels:
        here = tested.channel == channel
        error = window[here]
        error = error[np.isfinite(error)]
        if not len(error):
            continue
        mse = float(np.nanmean(np.square(tested.error[here])))
        squares += mse
        blocks = block_means(error, max(2 * tested.horizon, math.isqrt(len(error))))
        if len(blocks) < _BLOCKS or not blocks.std() > 0:
            continue
        mean = float(error.mean())
        t = float(blocks.mean() / blocks.std(ddof=1) * math.sqrt(len(blocks)))
        chance = 2 * float(stdtr(len(blocks) - 1, -abs(t))) * len(channels)
        if chance < 0.01 and abs(mean) >= _LEAST_BIAS and (found is None or mean**2 > found[0] ** 2):
            found = mean, chance, mean**2 / mse
    if found is None:
        return None
    mean, chance, share = found
    if len(channels) > 1:
        share = mean**2 / squares  # of the error of all columns
    if share < _BIAS[0]:
        return None
    way = "high" if mean > 0 else "low"
    return Finding(
        code="biased",
        severity="high" if share >= _BIAS[1] else "warn",
        evidence={"mean_error_scaled": rounded(mean), "share_of_mse": rounded(share, 3), "p": rounded(chance, 2)},
        says=f"The forecasts are too {way} throughout: that alone is {share:.0%} of the test MSE.",
        advice="Where the level has moved since training: window_norm = last, difference = first or skip (--space "
        "default), and newer rows to train on (--split). Where values are skewed: loss = mse; mae aims at the median.",
    )


BASELINE_CHECKS: tuple[Check[Holdout], ...] = (
    # The first sentence of the verdict says this already.
    Check(code="worse_than_baseline", look=lambda t: worse_than_baseline(t.scores), cause=None),
)
CHECKS: tuple[Check[Holdout], ...] = (
    Check(
        code="outliers_dominate",
        look=lambda t: outliers_dominate(t.forecasts),
        cause="a few rows make most of the error",
    ),
    Check(code="biased", look=lambda t: biased(t.forecasts), cause="the forecasts are too high or too low on average"),
    Check(
        code="missed_seasonality",
        look=lambda t: missed_seasonality(t.forecasts),
        cause="the errors still have a season",
    ),
    Check(
        code="predicts_the_mean",
        look=lambda t: predicts_the_mean(t.forecasts, t.scores),
        cause="the forecast is nearly constant",
        explains=("copies_last_value",),
    ),
    Check(
        code="copies_last_value",
        look=lambda t: copies_last_value(t.forecasts, t.scores),
        cause="the forecast only follows the last value",
    ),
)
