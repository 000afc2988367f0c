"""Checks of the errors on the test rows: outliers, bias, a season that is left in them. Pure functions of arrays.

Neighbouring windows share targets, so their errors depend on each other over H rows: what is beyond chance is judged on
blocks of at least 2H windows. Letters: n windows, H horizon.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from lstm_tune.diagnosis.action import at_least, each, options
from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.finding import Finding, Thresholds
from lstm_tune.diagnosis.skill_checks import Holdout
from lstm_tune.evaluation.decomposition import mean_of_finite
from lstm_tune.evaluation.recorded_forecasts import Floats, Forecasts
from lstm_tune.evaluation.significance import block_means
from lstm_tune.utils.text import counted, rounded

_SEASON = Thresholds(warn=0.3, high=0.6)  # autocorrelation of the errors at the season
_PEAK = 0.15  # by which it is above that half a season more and less
_FEW_ROWS = 0.01  # share of the rows: the worst ones …
_CARRY = Thresholds(warn=0.3, high=0.5)  # … and the share of the squared error that they make
_LEAST_ROWS = 30
_BIAS = Thresholds(warn=0.1, high=0.25)  # share of the MSE
_LEAST_BIAS = 0.05  # train standard deviations
_P_BIAS = 0.01  # that chance explains it, over all columns
_FEWEST_BLOCKS = 4


def outliers_dominate(holdout: Holdout) -> Finding | None:
    """Find that the worst 1% of the target rows make 30% of the squared error or more (50%: high)."""
    tested = holdout.forecasts
    row, error = _row_errors(tested)
    total = float(error.sum())
    if len(error) < _LEAST_ROWS or not total > 0:
        return None
    few = max(1, math.ceil(_FEW_ROWS * len(error)))
    worst = np.argsort(-error)[:few]
    share = float(error[worst].sum()) / total
    severity = _CARRY.severity(share)
    if severity is None:
        return None
    named = [tested.label(int(row[i])) for i in worst[:3]]
    return Finding(
        code="outliers_dominate",
        severity=severity,
        evidence={"rows": few, "of_rows": len(error), "share": rounded(share, 3), "worst": named},
        says=f"{share:.0%} of the squared error comes from {'one' if few == 1 else few} of {len(error):,} test rows "
        f"({'' if few == len(named) else 'among them '}{', '.join(named)}).",
        actions=each(loss="huber", outlier_clip=5.0),
        by_hand="Look at the worst rows: if a value is an error in the data, leave it empty; if the cause was known "
        "beforehand (such as holidays), pass it as --future.",
    )


def _row_errors(tested: Forecasts) -> tuple[NDArray[np.int64], Floats]:
    """Return the rows that were forecast, and the mean squared error of each over all forecasts of it."""
    span = int(tested.row.max(initial=0)) + tested.horizon + 1
    place = (tested.channel * span + tested.row)[:, None] + np.arange(tested.horizon)
    squared = np.square(tested.error)
    there = tested.observed & np.isfinite(squared)
    unique, which = np.unique(place[there], return_inverse=True)
    mean: Floats = np.bincount(which, weights=squared[there]) / np.maximum(np.bincount(which), 1)
    return unique % span, mean


def biased(holdout: Holdout) -> Finding | None:
    """Find that the squared mean error is a tenth of the MSE or more (a quarter: high), beyond chance.

    It must be 5% of the train rows' standard deviation, too. Beyond chance: by Student's t over blocks of at least two
    horizons, and √n windows; at 1% over all columns.
    """
    tested = holdout.forecasts
    worst, squares = _worst_bias(tested)
    if worst is None:
        return None
    mean, chance, share = worst
    if len(np.unique(tested.channel)) > 1:
        share = mean**2 / squares  # of the error of all columns
    severity = _BIAS.severity(share)
    if severity is None:
        return None
    return Finding(
        code="biased",
        severity=severity,
        evidence={"mean_error_scaled": rounded(mean), "share_of_mse": rounded(share, 3), "p": rounded(chance, 2)},
        says=f"On average the forecasts are too {'high' if mean > 0 else 'low'}: this alone makes {share:.0%} of the "
        f"test MSE.",
        actions=each(window_norm="last", difference="first", loss="mse"),
        by_hand="Newer rows to train on (--split) help if the level has moved since training.",
    )


def _worst_bias(tested: Forecasts) -> tuple[tuple[float, float, float] | None, float]:
    """Return the largest mean error beyond chance as (mean, p, share of its column's MSE); and the MSE, summed."""
    window = mean_of_finite(tested.error.T)
    worst: tuple[float, float, float] | None = None
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
        if len(blocks) < _FEWEST_BLOCKS or not blocks.std() > 0:
            continue
        mean = float(error.mean())
        t = float(blocks.mean() / blocks.std(ddof=1) * math.sqrt(len(blocks)))
        chance = 2 * float(stdtr(len(blocks) - 1, -abs(t))) * len(channels)
        if chance < _P_BIAS and abs(mean) >= _LEAST_BIAS and (worst is None or mean**2 > worst[0] ** 2):
            worst = mean, chance, mean**2 / mse
    return worst, squares


def missed_seasonality(holdout: Holdout) -> Finding | None:
    """Find that the errors repeat after a season: their autocorrelation peaks there.

    The first step and the last one are examined at the first multiple of the season that is not below the step, since
    the errors of optimal forecasts of h rows are correlated over h - 1 rows only. Raised if the autocorrelation is at
    least 0.3, above Bartlett's (1946) 3.3 standard errors, and 0.15 above that at half a season more and less. A season
    can take off about the squared autocorrelation of that step's error: a warning if that is 9% (36%: high) of the mean
    over all steps, else for information.
    """
    tested = holdout.forecasts
    error = tested.error
    found = [
        (strength, period, step + 1, lag)
        for step in sorted({0, tested.horizon - 1})
        for period in tested.periods
        for strength, lag in [_peak([error[stretch, step] for stretch in tested.stretches()], period, step)]
        if strength > 0
    ]
    if not found:
        return None
    strength, period, step, lag = max(found, key=lambda f: f[0])
    mses = mean_of_finite(np.square(error))
    felt = strength * math.sqrt(min(1.0, float(mses[step - 1] / np.nanmean(mses))))
    return Finding(
        code="missed_seasonality",
        severity=_SEASON.severity(felt) or "info",
        evidence={"period": period, "lag": lag, "step": step, "autocorrelation": rounded(strength, 3)},
        says=f"The errors repeat after {counted(lag, 'row')} (autocorrelation {strength:.2f} at step {step}): the "
        f"forecasts miss a season of {period} rows.",
        actions=(
            *at_least(lookback=3 * period, gain=rounded(felt**2, 2)),
            *each(skip="seasonal", difference="seasonal", gain=rounded(felt**2, 2)),
            options(calendar=True),
        ),
    )


def _peak(runs: list[Floats], period: int, step: int) -> tuple[float, int]:
    """Return the autocorrelation of the errors of a step at its season, 0 if it is no clear peak; and the lag."""
    lag = period * -(-(step + 1) // period)
    half = max(1, period // 2)
    found = _autocorrelation(runs, lag + half)
    if found is None:
        return 0.0, lag
    values, pairs = found
    memory = values[1 : max(2, min(lag, step + 1))]
    standard_error = math.sqrt((1 + 2 * float(np.sum(memory**2))) / max(pairs[lag], 1))
    beside = max(values[lag - half], values[lag + half]) if lag > half else values[lag + half]
    strength = float(values[lag])
    clear = strength >= max(_SEASON.warn, 3.3 * standard_error) and strength - beside >= _PEAK
    return (strength if clear and pairs[lag] >= max(2 * period, 20) else 0.0), lag


def _autocorrelation(runs: list[Floats], most: int) -> tuple[Floats, Floats] | None:
    """Return the autocorrelation at lags 0 to `most` over pairs within runs, NaNs aside, and the pairs behind each.

    statsmodels' `acf` takes one run alone, and shrinks long lags towards 0.
    """
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


CHECKS: tuple[Check[Holdout], ...] = (
    Check(code="outliers_dominate", look=outliers_dominate, cause="a few rows make most of the error"),
    Check(code="biased", look=biased, cause="the forecasts are too high or too low on average"),
    Check(code="missed_seasonality", look=missed_seasonality, cause="the errors still have a season"),
)
