"""Checks of what is there: missing values, and values that hardly ever change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_tune.diagnosis.channel import Bools, Channel, Floats
from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.finding import Finding, Severity, Thresholds
from lstm_tune.utils.text import counted, number, percent, rounded

_NEWEST = 200_000  # rows that are looked at
_MISSING = Thresholds(warn=0.03, high=0.2)  # share of the values
_LONG_GAP = 100  # rows
_STUCK = 12  # rows with one value, in a series whose values hardly ever repeat
_STUCK_SHARE = 0.01  # of the rows
_USUALLY_SAME = 0.05  # share of the other rows that repeat the one before


@dataclass(frozen=True, kw_only=True, slots=True)
class _Monotony:
    """From when on a series hardly changes, and what follows from that."""

    severity: Severity
    one_value: float  # least share of the most common value
    repeats: float  # least share of values that equal the one before
    effect: str
    by_hand: str


_MONOTONY = (
    _Monotony(
        severity="high",
        one_value=0.9,
        repeats=0.95,
        effect="there is hardly anything to learn",
        by_hand="Take a coarser time step or another target. To forecast when the value changes is another task.",
    ),
    _Monotony(
        severity="warn",
        one_value=0.6,
        repeats=0.75,
        effect="the few other values decide the MSE, and the best forecast looks flat",
        by_hand="Take sums over a coarser time step, or add covariates (--past, --future) that announce a change.",
    ),
)


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
        by_hand="If the gap is old, pass a file that begins after it; filled values are never scored."
        if one_gap
        else "Fill the gaps from what you know of the series, or take a coarser time step; filled values are never "
        "scored.",
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
            by_hand="Choose another --split, or rows in which the series varies.",
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
                by_hand=rule.by_hand,
            )
    stuck = _stuck_rows(x, same)
    if run < max(50, len(x) // 10) and stuck < _STUCK_SHARE * len(x):
        return None
    return Finding(
        code="constant_series",
        severity="warn",
        rank=run / len(x),
        evidence=evidence,
        says=f"One value repeats {counted(run, 'time')} in a row, as if a sensor were stuck"
        + (f"; {stuck:,} rows in all are in such stretches." if stuck > run else "."),
        by_hand="If these values were not measured, leave them empty: a missing value is never scored.",
    )


def _stuck_rows(x: Floats, same: Bools) -> int:
    """Return the rows of stretches in which a value repeats for longer than is usual for the series.

    Repetitions that are frequent, such as zeros at night, closed hours or a lower limit, are no sign of it: a stretch
    counts only if its value has no other stretch.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    begins, lengths = edges[::2], edges[1::2] - edges[::2] + 1
    long = lengths >= _STUCK
    usual = float(same.sum() - (lengths[long] - 1).sum()) / max(1, len(same) - int(lengths[long].sum()))
    if not long.any() or usual > _USUALLY_SAME:
        return 0
    values, counts = np.unique(x[begins[lengths >= _STUCK // 2]], return_counts=True)
    once = set(values[counts == 1])
    return int(sum(n for begin, n in zip(begins[long], lengths[long], strict=True) if x[begin] in once))


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


CHECKS: tuple[Check[Channel], ...] = (
    Check(code="constant_series", look=constant_series, cause="the series hardly changes"),
    Check(code="missing_values", look=missing_values, cause="many values are missing"),
)
