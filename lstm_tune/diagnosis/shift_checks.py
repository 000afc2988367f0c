"""The check for a change between the parts: do test or validation rows differ from the train rows?

Rows of one series depend on each other, so the tests are those of `autocorrelated_tests`, and a stationary series
raises no alarm. The check reads the test rows, so it runs after a study or without one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lstm_tune.diagnosis.action import each
from lstm_tune.diagnosis.autocorrelated_tests import (
    Difference,
    compare_distributions,
    compare_means,
    compare_variances,
)
from lstm_tune.diagnosis.channel import Channel, Floats, without_outliers
from lstm_tune.diagnosis.check import Check, Evidence, Params, first_setting
from lstm_tune.diagnosis.finding import Finding, Severity, Thresholds, most_severe
from lstm_tune.diagnosis.level_checks import level_setting
from lstm_tune.utils.text import number, rounded

_CODE = "train_test_shift"
_P_SHIFT = 1e-3  # that chance explains the difference, divided by the number of channels
_LEVEL = Thresholds(warn=0.5, high=1.0)  # train standard deviations between the means
_CERTAINLY = 2.0  # train standard deviations: too many for a level that returns slowly
_SPREAD = Thresholds(warn=1.6, high=3.0)  # ratio of the variances
_DISTANCE = 0.25  # Kolmogorov and Smirnov's
_CYCLES = 5  # seasons in a part, enough for a mean that includes them
_TO_THE_LEVEL = each(window_norm="last", difference="first")
_LONGER = "A longer train part (--split) helps, too."


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Shift:
    """A part compared with the train rows, both without season and outliers."""

    channel: Channel
    part: str
    train: Floats
    rows: Floats
    mean: Difference
    variance: Difference
    relative: float  # standard deviation of the train rows without their season, over that with it

    @property
    def size(self) -> float:
        """Train standard deviations between the means."""
        return abs(self.mean.effect) * self.relative

    @property
    def limit(self) -> float:
        """The p value below which a difference is no chance."""
        return _P_SHIFT / self.channel.channels

    @property
    def constant(self) -> bool:
        """Whether the part has a single value, which is a finding of its own."""
        return float(np.ptp(self.rows)) == 0

    @property
    def evidence(self) -> dict[str, float | str | None]:
        p_values = {"mean_p": rounded(self.mean.p), "variance_p": rounded(self.variance.p)}
        if self.channel.may_move:  # the tests assume a level that returns
            p_values = {}
        return {
            "part": self.part,
            "mean_shift_in_sd": rounded(self.mean.effect * self.relative),
            "variance_ratio": rounded(self.variance.effect),
            **p_values,
        }

    @property
    def level_says(self) -> str:
        """The beginning and the end of a sentence on the means."""
        way = "higher" if self.mean.effect > 0 else "lower"
        return f"On average the {self.part} rows lie {self.size:.1f} standard deviations {way} than the train rows"

    @property
    def level_costs(self) -> str:
        """What the difference of the means costs."""
        return f"this alone gives a forecast near the train mean a scaled MSE of about {number(self.size**2, 2)}"


def train_test_shift(channel: Channel) -> Finding | None:
    """Find test or validation rows that differ from the train rows by more than a stationary series' rows would."""
    found: list[Finding] = []
    if not channel.varies:
        return None
    for part in ("test", "validation"):
        shift = _compare(channel, part)
        if shift is None:
            continue
        found += [f for f in (_level_shift(shift), _spread_shift(shift)) if f is not None]
        if not found and (other := _other_shift(shift)) is not None:
            found.append(other)
    return most_severe(found)


def _compare(channel: Channel, part: str) -> _Shift | None:
    train, rows = (without_outliers(channel.seen(channel.seasonless, p)) for p in ("train", part))
    if min(len(train), len(rows)) < 8:
        return None
    return _Shift(
        channel=channel,
        part=part,
        train=train,
        rows=rows,
        mean=_compare_means(channel, part, train, rows),
        variance=compare_variances(train, rows, channel.period or 0),
        # The season does not make two parts differ, but it is part of what the MSE is scaled by.
        relative=float(np.std(train)) / float(np.std(channel.seen(channel.values, "train"))),
    )


def _compare_means(channel: Channel, part: str, train: Floats, rows: Floats) -> Difference:
    """Compare the means of two parts without their season and, over whole cycles, with it.

    If the length of the cycle varies, a fixed season leaves, and adds, slow movements that hide a shift.
    """
    period = channel.period
    mean = compare_means(train, rows, period or 0)
    if not period or len(rows) < _CYCLES * period:
        return mean
    before, after = (channel.seen(channel.values, p) for p in ("train", part))
    before, after = (without_outliers(x[: len(x) // period * period]) for x in (before, after))
    whole = compare_means(before, after, period)
    return replace(mean, p=min(mean.p, whole.p)) if whole.effect * mean.effect > 0 else mean


def _level_shift(shift: _Shift) -> Finding | None:
    channel = shift.channel
    least = _LEVEL.high if channel.may_move else _LEVEL.warn
    if shift.size < least or not (shift.mean.p < shift.limit or channel.may_move):
        return None
    # A level that returns slowly differs by as much.
    doubtful = channel.may_move and not channel.moves and shift.size < _CERTAINLY
    return Finding(
        code=_CODE,
        severity="high" if shift.size >= _LEVEL.high and not doubtful else "warn",
        rank=10 + shift.size,
        evidence=shift.evidence,
        says=f"{shift.level_says}, so {shift.level_costs}.",
        actions=_TO_THE_LEVEL,
        by_hand=_LONGER,
    )


def _spread_shift(shift: _Shift) -> Finding | None:
    channel, effect = shift.channel, shift.variance.effect
    ratio = max(effect, 1 / max(effect, 1e-9))
    if shift.constant or ratio < _SPREAD.warn or shift.variance.p >= shift.limit:
        return None
    if channel.may_move and ratio < _SPREAD.high:
        return None
    wider = effect > 1
    severity: Severity = "high" if wider and ratio >= _SPREAD.high else "warn"
    return Finding(
        code=_CODE,
        severity=severity,
        rank=ratio,
        evidence=shift.evidence,
        says=f"The variance of the {shift.part} rows is {number(effect, 2)} times that of the train rows, so the same "
        f"skill gives {'a higher' if wider else 'a lower'} MSE there.",
        actions=each(window_norm="standard", transform="log"),
    )


def _other_shift(shift: _Shift) -> Finding | None:
    """Find a different distribution; the tests assume a level that returns."""
    if shift.constant or shift.channel.may_move:
        return None
    shape = compare_distributions(shift.train, shift.rows, shift.channel.period or 0)
    if shape.effect < _DISTANCE or shape.p >= shift.limit:
        return None
    distance = f"(Kolmogorov-Smirnov distance {shape.effect:.2f})"
    if shift.size >= _LEVEL.high:
        says, by_hand = f"{shift.level_says} {distance}, so {shift.level_costs}.", _LONGER
    else:
        says = f"The {shift.part} values have another distribution than the train values {distance}."
        by_hand = "Use another --split, or covariates (--past, --future) that explain the change."
    return Finding(
        code=_CODE,
        severity="warn",
        rank=shape.effect,
        evidence={**shift.evidence, "ks_distance": rounded(shape.effect), "ks_p": rounded(shape.p)},
        says=says,
        actions=_TO_THE_LEVEL if shift.size >= _LEVEL.high else (),
        by_hand=by_hand,
    )


def _cause(evidence: Evidence) -> str:
    part = "validation" if evidence.get("part") == "validation" else "test"
    return f"the {part} rows differ from the train rows"


def _setting(evidence: Evidence, params: Params) -> str:
    if "ks_distance" not in evidence and abs(evidence.get("mean_shift_in_sd") or 0.0) >= _LEVEL.warn:
        return level_setting(evidence, params)
    if "ks_distance" in evidence:
        return ""
    return first_setting(params, {"window_norm": ("standard",), "transform": ("log",)})


CHECKS: tuple[Check[Channel], ...] = (
    Check(code=_CODE, look=train_test_shift, cause=_cause, handled_by=_setting, may_be_chance=True),
)
