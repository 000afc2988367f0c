"""Checks of single values: outliers, missing values, and values that hardly ever change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lstm_tune.diagnosis.channel import Bools, Channel, Floats
from lstm_tune.diagnosis.check import Check, Evidence, Params, first_setting
from lstm_tune.diagnosis.finding import Finding, Severity, Thresholds
from lstm_tune.utils.text import counted, number, percent, rounded

_NEWEST = 200_000  # rows that cheap tests look at
_SPIKE = 6.0  # robust standard deviations from its neighbours that make a value an outlier
_NEIGHBOURS = 7  # rows of the running median
_CARRIED = Thresholds(warn=0.2, high=0.5)  # share of the squared jumps that outliers make
_OF_VARIANCE = Thresholds(warn=0.02, high=0.2)  # … and of the variance, over all rows
_MISSING = Thresholds(warn=0.03, high=0.2)  # share of the values
_LONG_GAP = 100  # rows


@dataclass(frozen=True, kw_only=True, slots=True)
class _Monotony:
    """From when on a series hardly changes, and what follows from that."""

    severity: Severity
    one_value: float  # least share of the most common value
    repeats: float  # least share of values that equal the one before
    effect: str
    advice: str


_MONOTONY = (
    _Monotony(
        severity="high",
        one_value=0.9,
        repeats=0.95,
        effect="there is hardly anything to learn, and repeating the last value is hard to beat",
        advice="Take a coarser time step or another target. To forecast when the value changes is another task.",
    ),
    _Monotony(
        severity="warn",
        one_value=0.6,
        repeats=0.75,
        effect="the few other values decide the MSE, and the best forecast looks flat",
        advice="Take sums over a coarser time step, or add covariates (--past, --future) that announce a change.",
    ),
)


def outliers(channel: Channel) -> Finding | None:
    """Find single values far from their neighbours that make much of the squared error, unless logarithms tame them."""
    found = _spikes(channel)
    if found and float(channel.values.min()) > 0 and not _spikes(replace(channel, values=np.log(channel.values))):
        return None  # a long tail, which is a finding of `scale_unfit`
    return found


def _spikes(channel: Channel) -> Finding | None:
    seasonless = channel.seasonless[channel.observed]
    y = seasonless[-_NEWEST:]
    rest, spread = _off_their_neighbours(y)
    # If most values equal their neighbours, the finding is `constant_series`.
    if len(y) < 3 * _NEIGHBOURS or spread <= 1e-6 * float(np.std(y)):
        return None
    far = (np.abs(rest) > _SPIKE * spread) & _beside_a_jump(y, spread)
    count, share = int(far.sum()), float(far.mean())
    if not count or share > 0.1:
        return None
    carried = float(rest[far] @ rest[far]) / float(rest @ rest)
    of_variance = float(rest[far] @ rest[far]) / len(y) / float(np.var(seasonless))
    if carried < _CARRIED.warn or of_variance < _OF_VARIANCE.warn:
        return None
    worst = int(np.abs(rest).argmax())
    return Finding(
        code="outliers",
        severity="high" if carried >= _CARRIED.high and of_variance >= _OF_VARIANCE.high else "warn",
        rank=of_variance,
        evidence={
            "count": count,
            "share": rounded(share),
            "share_of_squared_jumps": rounded(carried),
            "share_of_variance": rounded(of_variance),
            "largest_in_robust_sd": rounded(float(abs(rest[worst])) / spread),
            "largest_value": rounded(float(channel.values[channel.observed][-_NEWEST:][worst])),
        },
        says=f"{count:,} of {len(y):,} values ({percent(share)}) {'is' if count == 1 else 'are'} an outlier, more than "
        f"{_SPIKE:.0f} robust standard deviations away from the values around it, and make {carried:.0%} of the "
        f"squared differences between neighbours.",
        advice="Correct or remove values that are errors of measurement; for the others use outlier_clip = 5 and loss "
        "= huber or mae.",
    )


def _off_their_neighbours(y: Floats) -> tuple[Floats, float]:
    """Return y (n,) minus its running median, and the robust standard deviation of that."""
    import pandas as pd

    median = pd.Series(y).rolling(_NEIGHBOURS, center=True, min_periods=1).median().to_numpy()
    rest: Floats = y - median
    return rest, 1.4826 * float(np.median(np.abs(rest))) if len(rest) else 0.0


def _beside_a_jump(y: Floats, spread: float) -> Bools:
    """Tell which values (n,) are near a jump: a sharp peak of a smooth cycle is far from the median around it, too."""
    steps = np.abs(np.diff(y, prepend=y[0]))
    jump = steps > _SPIKE * max(1.4826 * float(np.median(steps)), spread)
    beside: Bools = np.convolve(jump, np.ones(2 * (_NEIGHBOURS // 2) + 1), mode="same") > 0.5
    return beside


def missing_values(channel: Channel) -> Finding | None:
    """Find values that are missing, and the length of their longest run."""
    gone = ~channel.observed
    share = float(gone.mean())
    if not share:
        return None
    missing, longest = int(gone.sum()), _longest_run(gone)
    of_test = gone[channel.parts["test"]]
    severity = _MISSING.severity(share) or ("warn" if longest >= max(_LONG_GAP, len(gone) // 50) else "info")
    one_gap = longest >= 0.5 * missing and longest > 5
    longest_gap = f", {longest:,} of them in one gap" if one_gap else f", at most {longest:,} in a row"
    return Finding(
        code="missing_values",
        severity=severity,
        rank=share,
        evidence={
            "missing": missing,
            "share": rounded(share),
            "longest_gap": longest,
            "share_of_test": rounded(float(of_test.mean()) if len(of_test) else 0.0),
        },
        says=f"{missing:,} of {len(gone):,} values {'is' if missing == 1 else 'are'} missing ({percent(share)}"
        f"{longest_gap if longest > 1 else ''}); each takes the value before it, so windows that contain it are partly "
        f"made up.",
        advice="A filled value is never scored. If the gap is old, pass a file that begins after it."
        if one_gap
        else "A filled value is never scored. Fill the gaps from what you know of the series, or take a coarser time "
        "step.",
    )


def constant_series(channel: Channel) -> Finding | None:
    """Find values that hardly ever change."""
    x, there = channel.values[-_NEWEST:], channel.observed[-_NEWEST:]
    seen = x[there]
    if len(seen) < 8:
        return None
    levels, counts = np.unique(seen, return_counts=True)
    mode, share = float(levels[counts.argmax()]), float(counts.max() / len(seen))
    both = there[1:] & there[:-1]
    same = (x[1:] == x[:-1]) & both
    repeats = float(same.sum() / max(1, both.sum()))
    run = _longest_run(same) + 1
    evidence: dict[str, float | str | None] = {
        "most_common": rounded(mode),
        "share_of_most_common": rounded(share),
        "share_unchanged": rounded(repeats),
        "distinct": len(levels),
        "longest_run": run,
    }
    part = _constant_part(channel)
    if part:
        rows = channel.seen(channel.values, part)
        return Finding(
            code="constant_series",
            severity="high",
            rank=2.0,
            evidence=evidence | {"part": part},
            says=f"All {len(rows):,} {part} values are {number(float(rows[0]), 6)}, so a score there says nothing "
            f"about skill.",
            advice="Choose another --split, or rows in which the series varies.",
        )
    for rule in _MONOTONY:
        if share >= rule.one_value or repeats >= rule.repeats:
            one_value = share >= rule.one_value
            what = f"are {number(mode, 4)}" if one_value else "equal the value before them"
            return Finding(
                code="constant_series",
                severity=rule.severity,
                rank=max(share, repeats),
                evidence=evidence,
                says=f"{share if one_value else repeats:.0%} of the values {what}, so {rule.effect}.",
                advice=rule.advice,
            )
    if run < max(50, len(x) // 10):
        return None
    return Finding(
        code="constant_series",
        severity="warn",
        rank=run / len(x),
        evidence=evidence,
        says=f"One value repeats {counted(run, 'time')} in a row, as if a sensor were stuck.",
        advice="If these values were not measured, leave them empty: a missing value is never scored.",
    )


def _constant_part(channel: Channel) -> str:
    """Return the part that has a single value, "test" first; "" if there is none."""
    for part in ("test", "validation"):
        rows = channel.seen(channel.values, part)
        if len(rows) >= 5 and rows.min() == rows.max():
            return part
    return ""


def _longest_run(marked: Bools) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def _outlier_setting(evidence: Evidence, params: Params) -> str:
    if params.get("outlier_clip"):
        return f"outlier_clip = {params['outlier_clip']}"
    return first_setting(params, {"loss": ("mae", "huber")})


CHECKS: tuple[Check[Channel], ...] = (
    Check(code="constant_series", look=constant_series, cause="the series hardly changes"),
    Check(code="missing_values", look=missing_values, cause="many values are missing"),
    Check(code="outliers", look=outliers, cause="the data contain outliers", handled_by=_outlier_setting),
)
