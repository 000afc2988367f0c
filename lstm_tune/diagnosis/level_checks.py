"""What a series shows of its level: that it moves, leaves the trained range, or differs between the parts.

A function takes a `Track` and returns the gravest `Symptom` that it finds, or None. Thresholds are set so that
stationary series raise no alarm, see tests/test_diagnosis.py; two of them compare the test rows with the others, so all
of this is for after a study or without one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstm_tune.diagnosis import autocorrelated_tests as dependence
from lstm_tune.diagnosis.channel import Floats, Track, without_outliers
from lstm_tune.diagnosis.symptom import Symptom, gravest, short

_P_SHIFT = 1e-3  # of chance, divided by the number of series
_CYCLES = 5  # seasons in a part, from which its own mean can be taken


def non_stationary_level(track: Track) -> Symptom | None:
    """Find a level that does not return: a trend, a random walk, a step."""
    level = track.level
    if level is None or not track.may_move:
        return None
    evidence = {
        "adf_p": short(level.adf_p),
        "kpss_p": short(level.kpss_p),
        "slow_share": short(level.slow_share),
        "trend_share": short(level.trend_share),
    }
    advice = "difference = first or window_norm = last: forecast changes, not the level"
    if track.period:
        advice = "window_norm = last, difference = first or seasonal: forecast changes, not the level"
    if level.trends:
        line = f"A straight trend explains {level.trend_share:.0%} of the variance over train and validation rows"
        says = f"{line}, so what a model learned of levels is out of date when it forecasts."
        evidence["slope_per_row"] = short(level.slope)
    elif level.plain:
        says = (
            "The level wanders and does not return to a mean (ADF and KPSS agree), so what a model learned of levels "
            "is out of date when it forecasts."
        )
    else:
        says = (
            f"The level cannot be told from a random walk: slow movements hold {level.slow_share:.0%} of the variance, "
            f"and the rows span too few of them to tell whether they return to a mean (ADF p = {level.adf_p:.2g})."
        )
        advice = f"let the search try with and without {advice}"
    return Symptom(
        severity="high" if level.plain else "warn",
        weight=level.trend_share if level.trends else level.slow_share,
        evidence=evidence,
        says=says,
        advice=advice,
    )


def trend_beyond_training_range(track: Track) -> Symptom | None:
    """Find validation or test values beyond all train values, on one side, where the level moved that way."""
    train = track.seen(track.values, "train")
    if len(train) < 2:
        return None
    low, high = float(train.min()), float(train.max())
    found: list[Symptom] = []
    for name in ("test", "validation"):
        rows = track.seen(track.values, name)
        if len(rows) < 3:
            continue
        for side, beyond in (("above", rows > high), ("below", rows < low)):
            share = float(beyond.mean())
            if share < 0.1:
                continue
            up = 1 if side == "above" else -1
            shift = dependence.compare_means(track.seen(track.seasonless, "train"), track.seen(track.seasonless, name))
            certain = shift.p < 0.01 / track.tracks and shift.effect * up > 0 and track.varies
            if not (certain or track.moves or (share >= 0.5 and beyond.sum() >= 10)):
                continue
            far = float(np.max((rows - high) * up if up > 0 else (low - rows)))
            evidence = {
                "part": name,
                "share_beyond": short(share),
                "side": side,
                "train_min": short(low),
                "train_max": short(high),
                "farthest_in_sd": short(far / (float(np.std(train)) or 1.0)),
            }
            edge = "largest" if up > 0 else "smallest"
            found.append(
                Symptom(
                    severity="high" if share >= 0.25 else "warn",
                    weight=share,
                    evidence=evidence,
                    says=f"{share:.0%} of the {name} values lie {side} the {edge} train value, where a network that "
                    f"saw levels has learned nothing.",
                    advice="difference = first or window_norm = last, with skip = linear; "
                    "a longer train part (--split)",
                )
            )
    return gravest(found)


def train_test_shift(track: Track) -> Symptom | None:
    """Find test or validation rows that differ from the train rows by more than a stationary series' rows would."""
    found: list[Symptom] = []
    if not track.varies:
        return None
    train = without_outliers(track.seen(track.seasonless, "train"))
    season = track.period or 0
    # The season does not make two parts differ, but it is part of what the MSE is scaled by.
    relative = float(np.std(train)) / float(np.std(track.seen(track.values, "train")))
    for name in ("test", "validation"):
        rows = without_outliers(track.seen(track.seasonless, name))
        if min(len(train), len(rows)) < 8:
            continue
        mean = _compare_means(track, name, train, rows)
        variance = dependence.compare_variances(train, rows, season)
        evidence = {
            "part": name,
            "mean_shift_in_sd": short(mean.effect * relative),
            "mean_p": short(mean.p),
            "variance_ratio": short(variance.effect),
            "variance_p": short(variance.p),
        }
        if track.may_move:  # the tests presume a level that returns
            evidence = {k: v for k, v in evidence.items() if not k.endswith("_p")}
        limit = _P_SHIFT / track.tracks
        size = abs(mean.effect) * relative
        way = "higher" if mean.effect > 0 else "lower"
        if size >= (1 if track.may_move else 0.5) and (mean.p < limit or track.may_move):
            doubtful = track.may_move and not track.moves and size < 2  # a level that returns slowly does that, too
            found.append(
                Symptom(
                    severity="high" if size >= 1 and not doubtful else "warn",
                    weight=10 + size,
                    evidence=evidence,
                    says=f"The {name} rows lie {size:.2g} standard deviations {way} than the train rows on average, "
                    f"so a forecast near the train mean is off by {size**2:.2g} in scaled MSE alone.",
                    advice="window_norm = last or difference = first; a longer train part (--split)",
                )
            )
        ratio = max(variance.effect, 1 / max(variance.effect, 1e-9))
        constant = float(np.ptp(rows)) == 0  # which is a finding of its own
        if not constant and ratio >= 1.6 and variance.p < limit and not (track.may_move and ratio < 3):
            wider = variance.effect > 1
            found.append(
                Symptom(
                    severity="high" if wider and ratio >= 3 else "warn",
                    weight=ratio,
                    evidence=evidence,
                    says=f"The {name} rows vary {ratio:.2g} times as {'much' if wider else 'little'} (variance) as the "
                    f"train rows, so equal skill gives {'a higher' if wider else 'a lower'} MSE there.",
                    advice="window_norm = standard"
                    + (", or transform = log where the spread follows the level" if track.values.min() > 0 else ""),
                )
            )
        if not found and not constant and not track.may_move:
            shape = dependence.compare_distributions(train, rows, season)
            if shape.effect >= 0.25 and shape.p < limit:
                distance = f"(Kolmogorov-Smirnov distance {shape.effect:.2f})"
                says = f"The {name} values are distributed otherwise than the train values {distance}."
                advice = "another --split, or covariates (--past, --future) that explain the change"
                if size >= 1:
                    says = f"The {name} rows lie {size:.2g} standard deviations {way} than the train rows on average "
                    says += (
                        f"{distance}, so a forecast near the train mean is off by {size**2:.2g} in scaled MSE alone."
                    )
                    advice = "window_norm = last or difference = first; a longer train part (--split)"
                found.append(
                    Symptom(
                        severity="warn",
                        weight=shape.effect,
                        evidence=evidence | {"ks_distance": short(shape.effect), "ks_p": short(shape.p)},
                        says=says,
                        advice=advice,
                    )
                )
    return gravest(found)


def _compare_means(track: Track, name: str, train: Floats, rows: Floats) -> dependence.Comparison:
    """Compare the means of two parts without their season and, over whole cycles, with it.

    Of a cycle whose length varies, a fixed season leaves, and adds, slow movements that hide a shift.
    """
    mean = dependence.compare_means(train, rows, track.period or 0)
    if not track.period or len(rows) < _CYCLES * track.period:
        return mean
    before, after = (
        without_outliers(_whole_cycles(track.seen(track.values, n), track.period)) for n in ("train", name)
    )
    whole = dependence.compare_means(before, after, track.period)
    return replace(mean, p=min(mean.p, whole.p)) if whole.effect * mean.effect > 0 else mean


def _whole_cycles(x: Floats, period: int) -> Floats:
    return x[: len(x) // period * period]
