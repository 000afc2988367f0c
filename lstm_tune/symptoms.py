"""What a series shows by itself of why an LSTM's MSE is high: one function for each code, each from arrays alone.

A function takes a `Track`, one target column of one series, and returns the gravest `Symptom` that it finds, or None.
Thresholds are set so that stationary series raise no alarm, see tests/test_diagnosis.py; two of them compare the test
rows with the others, so all of this is for after a study or without one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_tune import dependence, stationarity
from lstm_tune.findings import SEVERITIES, Severity
from lstm_tune.noise import Signal, estimate_signal

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ARTICLE_LOOKBACK = 20
_NEWEST = 20_000  # rows that costly tests look at
_CHEAP = 200_000  # rows that cheap ones do
_P_SHIFT = 1e-3  # of chance, divided by the number of series
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
_CYCLES = 5  # seasons in a part, from which its own mean can be taken


@dataclass(frozen=True, kw_only=True, slots=True)
class Symptom:
    """One thing found in one series."""

    severity: Severity
    weight: float  # the graver of two of the same severity
    evidence: dict[str, Any]
    says: str
    advice: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One target column of one series, with what the tests need to know."""

    target: str
    series: str  # "" where there is one alone
    values: Floats  # (n,) raw units, filled: train, validation and test rows
    observed: Bools  # (n,) False where the value was filled in
    train: int  # rows; the validation rows follow
    val: int  # rows; the rest are test rows
    horizon: int
    period: int | None = None
    dated: bool = False  # whether there are regular time stamps
    year: float | None = None  # rows a year, where the time stamps tell and there are years enough
    tracks: int = 1  # that are looked at: the more, the less one of them may be due to chance

    @property
    def development(self) -> slice:
        """Train and validation rows."""
        return slice(0, self.train + self.val)

    @property
    def parts(self) -> dict[str, slice]:
        """The rows of each part."""
        border = self.train + self.val
        return {"train": slice(0, self.train), "validation": slice(self.train, border), "test": slice(border, None)}

    @cached_property
    def seasonless(self) -> Floats:
        """The values (n,) without their season, and without that of a year."""
        x = stationarity.without_season(self.values, self.period)
        return stationarity.without_year(x, self.year) if self.year else x

    @cached_property
    def level(self) -> stationarity.Level | None:
        """Whether the level of train and validation rows moves."""
        x = stationarity.without_year(self.values, self.year) if self.year else self.values
        return stationarity.examine_level(x[self.development][-_NEWEST:], self.period)

    @property
    def moves(self) -> bool:
        """Whether the level wanders or trends."""
        return self.level is not None and (self.level.wanders or self.level.trends)

    @cached_property
    def signal(self) -> Signal | None:
        """How much of train and validation rows their past explains."""
        rows = self.development
        return estimate_signal(without_outliers(self.values[rows]), self.observed[rows], self.horizon, self.period)

    @property
    def varies(self) -> bool:
        """Whether the season leaves anything that a test could look at."""
        return float(np.var(self.seen(self.seasonless, "train"))) > 1e-6 * float(
            np.var(self.seen(self.values, "train"))
        )

    def seen(self, x: Floats, part: str) -> Floats:
        """Return the rows of x (n,) in a part in which a value was observed."""
        rows = self.parts[part]
        return x[rows][self.observed[rows]]


def non_stationary_level(track: Track) -> Symptom | None:
    """Find a level that does not return: a trend, a random walk, a step."""
    level = track.level
    if level is None or not track.moves:
        return None
    evidence = {
        "adf_p": _short(level.adf_p),
        "kpss_p": _short(level.kpss_p),
        "slow_share": _short(level.slow_share),
        "trend_share": _short(level.trend_share),
    }
    advice = "difference = first or window_norm = last: forecast changes, not the level"
    if track.period:
        advice = "window_norm = last, difference = first or seasonal: forecast changes, not the level"
    if level.trends:
        grave = level.trend_share > 0.5
        line = f"A straight trend explains {level.trend_share:.0%} of the variance over train and validation rows"
        says = f"{line}, so what a model learned of levels is out of date when it forecasts."
        evidence["slope_per_row"] = _short(level.slope)
        return Symptom(
            severity="high" if grave else "warn", weight=level.trend_share, evidence=evidence, says=says, advice=advice
        )
    grave = level.slow_share > 0.5 and level.kpss_p <= 0.02 and level.adf_p > 0.1
    return Symptom(
        severity="high" if grave else "warn",
        weight=level.slow_share,
        evidence=evidence,
        says="The level wanders and does not return to a mean (ADF and KPSS agree), so what a model learned of levels "
        "is out of date when it forecasts.",
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
                "share_beyond": _short(share),
                "side": side,
                "train_min": _short(low),
                "train_max": _short(high),
                "farthest_in_sd": _short(far / (float(np.std(train)) or 1.0)),
            }
            edge = "largest" if up > 0 else "smallest"
            found.append(
                Symptom(
                    severity="high" if share >= 0.25 else "warn",
                    weight=share,
                    evidence=evidence,
                    says=f"{share:.0%} of the {name} values lie {side} the {edge} train value, where a network that "
                    f"saw levels has learned nothing.",
                    advice="difference = first or window_norm = last, with skip = linear; later train rows (--split)",
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
            "mean_shift_in_sd": _short(mean.effect * relative),
            "mean_p": _short(mean.p),
            "variance_ratio": _short(variance.effect),
            "variance_p": _short(variance.p),
        }
        if track.moves:  # the tests presume a level that returns
            evidence = {k: v for k, v in evidence.items() if not k.endswith("_p")}
        limit = _P_SHIFT / track.tracks
        size = abs(mean.effect) * relative
        if size >= (1 if track.moves else 0.5) and (mean.p < limit or track.moves):
            way = "higher" if mean.effect > 0 else "lower"
            found.append(
                Symptom(
                    severity="high" if size >= 1 else "warn",
                    weight=10 + size,
                    evidence=evidence,
                    says=f"The {name} rows lie {size:.2g} standard deviations {way} than the train rows on average, "
                    f"so a forecast near the train mean is off by {size**2:.2g} in scaled MSE alone.",
                    advice="window_norm = last or difference = first; later train rows (--split)",
                )
            )
        ratio = max(variance.effect, 1 / max(variance.effect, 1e-9))
        if ratio >= 1.6 and variance.p < limit and not (track.moves and ratio < 3):
            wider = variance.effect > 1
            found.append(
                Symptom(
                    severity="high" if wider and ratio >= 3 else "warn",
                    weight=ratio,
                    evidence=evidence,
                    says=f"The {name} rows vary {ratio:.2g} times as {'much' if wider else 'little'} (variance) as the "
                    f"train rows, so equal skill gives {'a higher' if wider else 'a lower'} MSE there.",
                    advice="window_norm = standard, or transform = log where the spread follows the level",
                )
            )
        if not found and not track.moves:
            shape = dependence.compare_distributions(train, rows, season)
            if shape.effect >= 0.25 and shape.p < limit:
                found.append(
                    Symptom(
                        severity="warn",
                        weight=shape.effect,
                        evidence=evidence | {"ks_distance": _short(shape.effect), "ks_p": _short(shape.p)},
                        says=f"The {name} values are distributed otherwise than the train values "
                        f"(Kolmogorov-Smirnov distance {shape.effect:.2f}).",
                        advice="another --split, or covariates (--past, --future) that explain the change",
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
                evidence={"mean": _short(mean), "sd": _short(sd), "mean_over_sd": _short(offset)},
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
                evidence={"mean": _short(mean), "sd": _short(sd)},
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
                    evidence={"skewness": _short(skew), "skewness_of_logs": _short(tamed)},
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
                "spread_grows_by_level_to_the": _short(slope),
                "correlation": _short(fit),
                "highest_over_lowest_level": _short(float(level.max() / level.min())),
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
        "share": _short(share),
        "share_of_squared_jumps": _short(carried),
        "share_of_variance": _short(of_variance),
        "largest_in_robust_sd": _short(float(abs(rest[worst])) / spread),
        "largest_value": _short(float(track.values[track.observed][-_CHEAP:][worst])),
    }
    return Symptom(
        severity="high" if carried >= 0.5 and of_variance >= 0.2 else "warn",
        weight=of_variance,
        evidence=evidence,
        says=f"{count:,} of {len(y):,} values ({_percent(share)}) stand more than {_SPIKE:.0f} robust standard "
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
            "share": _short(share),
            "longest_gap": longest,
            "share_of_test": _short(test),
        },
        says=f"{int(gone.sum()):,} of {len(gone):,} values are missing ({_percent(share)}{where}); they are filled "
        f"with the value before them, and a window that holds them is part invention.",
        advice="no filled value is ever scored; a --split whose train rows begin after the gap leaves it out"
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
        "most_common": _short(mode),
        "share_of_most_common": _short(share),
        "share_unchanged": _short(repeats),
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
    strength = stationarity.season_strength(x[-_NEWEST:], period) if period else 0.0
    if period and strength >= 0.3:
        evidence |= {"period": period, "strength": _short(strength)}
        beyond = ", more than the usual lookback of 20 rows sees" if period > ARTICLE_LOOKBACK else ""
        says.append(f"A season of {period} rows is there (strength {strength:.2f} of 1){beyond}")
        advice.append(f"lookback of {period} or more, difference = seasonal or skip = seasonal")
    yearly = stationarity.year_share(x, track.year) if track.year else 0.0
    if track.year and yearly >= 0.15 and not (period and evidence and abs(period - track.year) < 2):
        evidence |= {"rows_a_year": _short(track.year), "year_share": _short(yearly)}
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
        "explained_share": _short(signal.explained),
        "noise_floor_mse": _short(signal.floor),
        "explained_beyond_last_value": _short(signal.beyond_last),
        "ljung_box_p": _short(signal.white),
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
            evidence=evidence | {"ljung_box_p_of_changes": _short(signal.white_changes)},
            says="The changes from row to row look like noise, so no forecast from the past alone is likely to beat "
            "the last value (estimate).",
            advice="judge by skill over persistence; covariates that know more (--past, --future) or another target",
        )
    return None


PER_TRACK = {
    "constant_series": constant_series,
    "missing_values": missing_values,
    "non_stationary_level": non_stationary_level,
    "trend_beyond_training_range": trend_beyond_training_range,
    "train_test_shift": train_test_shift,
    "low_signal": low_signal,
    "outliers": outliers,
    "scale_unfit": scale_unfit,
    "seasonality": seasonality,
}


def without_outliers(x: Floats) -> Floats:
    """Return x (n,) with what lies more than six interquartile ranges outside the quartiles cut off."""
    if len(x) < 8:
        return x
    low, high = np.quantile(x, [0.25, 0.75])
    reach = 6 * (high - low)
    return np.clip(x, low - reach, high + reach) if reach > 0 else x


def gravest(found: Sequence[Symptom]) -> Symptom | None:
    """Return the gravest symptom, the first of equals; None of none."""
    return min(found, key=lambda s: (SEVERITIES.index(s.severity), -s.weight), default=None)


def _longest_run(marked: Bools) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def _skewness(x: Floats) -> float:
    z = x - x.mean()
    sd = float(np.std(z))
    return float(np.mean((z / sd) ** 3)) if sd > 0 else 0.0


def _short(value: float) -> float:
    """Return a number in four significant digits."""
    return float(f"{value:.4g}") if math.isfinite(value) else 0.0


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.001 else "under 0.1%"
