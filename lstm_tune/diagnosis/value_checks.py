"""What a series shows of its values: their size, spikes, gaps and repeats, their season, and what their past tells.

A function takes a `Track` and returns the gravest `Symptom` that it finds, or None. Thresholds are set so that
stationary series raise no alarm, see tests/test_diagnosis.py.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from lstm_tune.diagnosis import stationarity
from lstm_tune.diagnosis.channel import NEWEST, Bools, Floats, Track
from lstm_tune.diagnosis.finding import Severity
from lstm_tune.diagnosis.symptom import Symptom, gravest, percent, short

ARTICLE_LOOKBACK = 20
_CHEAP = 200_000  # rows that cheap tests look at
_SPIKE = 6.0  # robust standard deviations from its neighbours that make a value an outlier
_NEIGHBOURS = 7  # rows of the running median
# Severity, least share of one value, least share of repeated values, what follows, what to do.
_MONOTONY: tuple[tuple[Severity, float, float, str, str], ...] = (
    (
        "high",
        0.9,
        0.95,
        "there is hardly anything to learn, and the last value is hard to beat",
        "a coarser time step or another target; a model of when it changes is another task",
    ),
    (
        "warn",
        0.6,
        0.75,
        "the few others decide the MSE and the best forecast looks flat",
        "sums over a coarser time step; covariates (--past, --future) that tell when it changes",
    ),
)


def scale_unfit(track: Track) -> Symptom | None:
    """Find values that a network or single precision cannot take as they are, or whose spread follows their level."""
    train = track.seen(track.values, "train")
    if len(train) < 8:
        return None
    mean, sd = float(train.mean()), float(np.std(train))
    if sd == 0:
        return None
    found: list[Symptom] = []
    offset = abs(mean) / sd
    if offset > 1e4:
        found.append(
            Symptom(
                severity="warn",
                weight=math.log10(offset),
                evidence={"mean": short(mean), "sd": short(sd), "mean_over_sd": short(offset)},
                says=f"The values lie {offset:.2g} of their standard deviations from 0, so single precision keeps "
                f"little or nothing of what varies.",
                advice="lstm-tune subtracts the offset by itself; elsewhere subtract the mean in double precision",
            )
        )
    elif not 1e-3 <= sd <= 1e4 or offset > 100:
        found.append(
            Symptom(
                severity="info",
                weight=abs(math.log10(sd)),
                evidence={"mean": short(mean), "sd": short(sd)},
                says=f"The values are far from the size that a network takes (mean {mean:.3g}, standard deviation "
                f"{sd:.3g}), so an unscaled LSTM fails on them, and an MSE in their own units says little.",
                advice="lstm-tune scales by itself; compare scaled MSEs, and standardise for any other tool",
            )
        )
    if float(train.min()) > 0:
        found += _multiplicative(track)
    skew = _skewness(train)
    if skew > 1.5 and float(train.min()) >= 0:
        positive = train[train > 0]
        tamed = _skewness(np.log(positive)) if len(positive) > 8 else skew
        if abs(tamed) < skew / 2:
            all_positive = float(track.values.min()) > 0
            found.append(
                Symptom(
                    severity="warn",
                    weight=skew,
                    evidence={"skewness": short(skew), "skewness_of_logs": short(tamed)},
                    says=f"The values have a long tail to the right (skewness {skew:.1f}, of their logarithms "
                    f"{tamed:.1f}), so a few large ones make most of the MSE.",
                    advice="transform = log"
                    if all_positive
                    else "transform = log needs values above 0: add a constant to the column first; or loss = huber",
                )
            )
    return gravest(found)


def _multiplicative(track: Track) -> list[Symptom]:
    x = track.values[track.development]
    size = max(track.period or 0, 12, len(x) // 200)
    blocks = len(x) // size
    if blocks < 6 or float(x.min()) <= 0:
        return []
    rows = x[len(x) - blocks * size :].reshape(blocks, size)
    level, spread = rows.mean(axis=1), rows.std(axis=1)
    if (spread <= 0).any() or level.max() < 1.5 * level.min():
        return []
    a, b = np.log(level), np.log(spread)
    slope = float(np.cov(a, b)[0, 1] / np.var(a, ddof=1))
    fit = float(np.corrcoef(a, b)[0, 1])
    # Of a level that stays where it is, one block's chance draws both its mean and its spread.
    if slope < 0.5 or fit < 0.7 or not track.moves:
        return []
    return [
        Symptom(
            severity="warn",
            weight=10 * fit,
            evidence={
                "spread_grows_by_level_to_the": short(slope),
                "correlation": short(fit),
                "highest_over_lowest_level": short(float(level.max() / level.min())),
            },
            says=f"The spread grows with the level (as its power {slope:.1f}), so late or high rows decide the MSE "
            f"and a season learned on low rows is too small on high ones.",
            advice="transform = log, with difference = first or seasonal",
        )
    ]


def outliers(track: Track) -> Symptom | None:
    """Find single values far from their neighbours that carry the squared error, unless logarithms tame them."""
    found = _spikes(track)
    if found and float(track.values.min()) > 0 and not _spikes(replace(track, values=np.log(track.values))):
        return None  # a long tail: `scale_unfit` tells that
    return found


def _spikes(track: Track) -> Symptom | None:
    import pandas as pd

    y = track.seasonless[track.observed][-_CHEAP:]
    if len(y) < 3 * _NEIGHBOURS:
        return None
    median = pd.Series(y).rolling(_NEIGHBOURS, center=True, min_periods=1).median().to_numpy()
    rest = y - median
    spread = 1.4826 * float(np.median(np.abs(rest)))
    if spread <= 1e-6 * float(np.std(y)):  # most values equal their neighbours: `constant_series` tells that
        return None
    # A sharp peak of a smooth cycle is far from the median around it, too, but is reached without a jump.
    steps = np.abs(np.diff(y, prepend=y[0]))
    jump = steps > _SPIKE * max(1.4826 * float(np.median(steps)), spread)
    reach = _NEIGHBOURS // 2
    jumps = np.convolve(jump, np.ones(2 * reach + 1), mode="same") > 0.5
    far = (np.abs(rest) > _SPIKE * spread) & jumps
    count, share = int(far.sum()), float(far.mean())
    total = float(rest @ rest)
    if not count or share > 0.1:
        return None
    carried = float(rest[far] @ rest[far]) / total
    of_variance = float(rest[far] @ rest[far]) / len(y) / float(np.var(track.seasonless[track.observed]))
    if carried < 0.2 or of_variance < 0.02:
        return None
    worst = int(np.abs(rest).argmax())
    evidence = {
        "count": count,
        "share": short(share),
        "share_of_squared_jumps": short(carried),
        "share_of_variance": short(of_variance),
        "largest_in_robust_sd": short(float(abs(rest[worst])) / spread),
        "largest_value": short(float(track.values[track.observed][-_CHEAP:][worst])),
    }
    return Symptom(
        severity="high" if carried >= 0.5 and of_variance >= 0.2 else "warn",
        weight=of_variance,
        evidence=evidence,
        says=f"{count:,} of {len(y):,} values ({percent(share)}) stand more than {_SPIKE:.0f} robust standard "
        f"deviations off their neighbours and carry {carried:.0%} of the squared distance between neighbours.",
        advice="outlier_clip = 5 and loss = huber or mae; correct them where they are errors of measurement",
    )


def missing_values(track: Track) -> Symptom | None:
    """Find values that are not there, and how long their longest run is."""
    gone = ~track.observed
    share = float(gone.mean())
    if not share:
        return None
    longest = _longest_run(gone)
    test = float(gone[track.parts["test"]].mean()) if len(gone[track.parts["test"]]) else 0.0
    severity: Severity = (
        "high" if share >= 0.2 else "warn" if share >= 0.03 or longest >= max(100, len(gone) // 50) else "info"
    )
    block = longest >= 0.5 * gone.sum() and longest > 5
    where = f", {longest:,} of them in one gap" if block else f", at most {longest:,} in a row" if longest > 1 else ""
    return Symptom(
        severity=severity,
        weight=share,
        evidence={
            "missing": int(gone.sum()),
            "share": short(share),
            "longest_gap": longest,
            "share_of_test": short(test),
        },
        says=f"{int(gone.sum()):,} of {len(gone):,} values are missing ({percent(share)}{where}); they are filled "
        f"with the value before them, and a window that holds them is part invention.",
        advice="no filled value is ever scored; a file without the rows up to the gap leaves it out"
        if block
        else "fill the gaps by what you know of the series, or take a coarser time step; none of them is ever scored",
    )


def constant_series(track: Track) -> Symptom | None:
    """Find values that hardly ever change."""
    x = track.values[-_CHEAP:]
    there = track.observed[-_CHEAP:]
    seen = x[there]
    if len(seen) < 8:
        return None
    levels, counts = np.unique(seen, return_counts=True)
    mode, share = float(levels[counts.argmax()]), float(counts.max() / len(seen))
    both = there[1:] & there[:-1]
    same = (x[1:] == x[:-1]) & both
    repeats = float(same.sum() / max(1, both.sum()))
    run = _longest_run(same) + 1
    evidence = {
        "most_common": short(mode),
        "share_of_most_common": short(share),
        "share_unchanged": short(repeats),
        "distinct": len(levels),
        "longest_run": run,
    }
    for name in ("test", "validation"):
        part = track.seen(track.values, name)
        if len(part) >= 5 and part.min() == part.max():
            return Symptom(
                severity="high",
                weight=2.0,
                evidence=evidence | {"part": name},
                says=f"All {len(part):,} {name} values are {part[0]:.6g}, so a score there tells nothing of skill.",
                advice="another --split, or rows in which the series varies",
            )
    for severity, common, unchanged, effect, advice in _MONOTONY:
        if share >= common or repeats >= unchanged:
            what = f"are {mode:.4g}" if share >= common else "repeat the one before"
            return Symptom(
                severity=severity,
                weight=max(share, repeats),
                evidence=evidence,
                says=f"{share if share >= common else repeats:.0%} of the values {what}, so {effect}.",
                advice=advice,
            )
    if run >= max(50, len(x) // 10):
        return Symptom(
            severity="warn",
            weight=run / len(x),
            evidence=evidence,
            says=f"One value stands {run:,} times in a row, as if a sensor had stuck.",
            advice="leave these values empty if they were not measured: a missing value is never trained on or scored",
        )
    return None


def seasonality(track: Track) -> Symptom | None:
    """Find how strong the season is."""
    x = track.values[track.development]
    evidence: dict[str, Any] = {}
    says, advice = [], []
    period = track.period
    strength = stationarity.season_strength(x[-NEWEST:], period) if period else 0.0
    if period and strength >= 0.3:
        evidence |= {"period": period, "strength": short(strength)}
        beyond = ", more than the usual lookback of 20 rows sees" if period > ARTICLE_LOOKBACK else ""
        says.append(f"A season of {period} rows is there (strength {strength:.2f} of 1){beyond}")
        advice.append(f"lookback of {period} or more, difference = seasonal or skip = seasonal")
    yearly = stationarity.year_share(x, track.year) if track.year else 0.0
    if track.year and yearly >= 0.15 and not (period and evidence and abs(period - track.year) < 2):
        evidence |= {"rows_a_year": short(track.year), "year_share": short(yearly)}
        says.append(f"{'a' if says else 'A'} season of a year explains {yearly:.0%} of the variance")
    if not evidence:
        return None
    if track.dated:
        advice.append("--calendar")
    return Symptom(
        severity="info",
        weight=max(strength, yearly),
        evidence=evidence,
        says=f"{', and '.join(says)}.",
        advice="; ".join(advice),
    )


def low_signal(track: Track) -> Symptom | None:
    """Find a series that its own past says little about, or nothing beyond its last value."""
    signal = track.signal
    if signal is None:
        return None
    evidence = {
        "explained_share": short(signal.explained),
        "noise_floor_mse": short(signal.floor),
        "explained_beyond_last_value": short(signal.beyond_last),
        "ljung_box_p": short(signal.white),
        "method": signal.method,
    }
    white = signal.white > 0.05 / track.tracks
    if signal.explained < 0.12:
        grave = white and signal.explained < 0.05
        none = (
            "Nothing of the variance can"
            if signal.explained < 0.005
            else f"Only {signal.explained:.0%} of the variance can"
        )
        noise = ": it looks like white noise" if grave else ""
        return Symptom(
            severity="high" if grave else "warn" if signal.explained < 0.06 else "info",
            weight=1 - signal.explained,
            evidence=evidence,
            says=f"{none} be forecast from the series' own past (estimate){noise}; no model gets a scaled MSE much "
            f"below {max(0.0, 1 - signal.explained):.2g}.",
            advice="covariates that know more (--past, --future, --calendar), a coarser time step; no tuning helps",
        )
    if signal.beyond_last < 0.01 and signal.white_changes > 0.01:
        return Symptom(
            severity="warn",
            weight=0.5,
            evidence=evidence | {"ljung_box_p_of_changes": short(signal.white_changes)},
            says="The changes from row to row look like noise, so no forecast from the past alone is likely to beat "
            "the last value (estimate).",
            advice="judge by skill over persistence; covariates that know more (--past, --future) or another target",
        )
    return None


def _longest_run(marked: Bools) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def _skewness(x: Floats) -> float:
    z = x - x.mean()
    sd = float(np.std(z))
    return float(np.mean((z / sd) ** 3)) if sd > 0 else 0.0
