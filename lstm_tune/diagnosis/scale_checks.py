"""The check for the size of the values: can a network take them, does their spread grow with their level?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lstm_tune.diagnosis.action import each, search
from lstm_tune.diagnosis.channel import Channel, Floats
from lstm_tune.diagnosis.check import Check, Evidence, Params, first_setting
from lstm_tune.diagnosis.finding import Finding, most_severe
from lstm_tune.utils.text import number, rounded

_CODE = "scale_unfit"
_OFFSET = 1e4  # means over standard deviations that single precision cannot take
_FAR_OFFSET = 100  # … and that an unscaled network cannot take
_SIZES = 1e-3, 1e4  # standard deviations that an unscaled network can take
_TAIL = 1.5  # skewness of a long tail
_GROWS = 0.5  # power of the level that the spread grows by
_FIT = 0.7  # correlation of level and spread, as logarithms
_LEAST_BLOCKS = 6


def scale_unfit(channel: Channel) -> Finding | None:
    """Find values that a network or single precision cannot take as they are, or whose spread grows with their level.

    `series_sizes` looks for series and columns of different size.
    """
    train = channel.seen(channel.values, "train")
    if len(train) < 8 or np.std(train) == 0:
        return None
    found = [_far_from_zero(train), _spread_grows(channel), _long_tail(channel, train)]
    return most_severe(finding for finding in found if finding is not None)


def _far_from_zero(train: Floats) -> Finding | None:
    mean, sd = float(train.mean()), float(np.std(train))
    offset = abs(mean) / sd
    evidence = {"mean": rounded(mean), "sd": rounded(sd)}
    if offset > _OFFSET:
        return Finding(
            code=_CODE,
            severity="warn",
            rank=math.log10(offset),
            evidence={**evidence, "mean_over_sd": rounded(offset)},
            says=f"The mean of the values is {number(offset, 2)} times their standard deviation, so single precision "
            f"keeps few digits, or none, of what varies.",
            by_hand="Subtract the mean in double precision before you use another tool; lstm-tune does so by itself.",
        )
    if _SIZES[0] <= sd <= _SIZES[1] and offset <= _FAR_OFFSET:
        return None
    return Finding(
        code=_CODE,
        severity="info",
        rank=abs(math.log10(sd)),
        evidence=evidence,
        says=f"The values do not have the size that a network needs (mean {number(mean, 3)}, standard deviation "
        f"{number(sd, 3)}), so an LSTM fails on them if they are not scaled, and an MSE in their own units is hard to "
        f"read.",
        by_hand="Compare scaled MSEs, and standardise the values before you use another tool; lstm-tune scales them by "
        "itself.",
    )


def _spread_grows(channel: Channel) -> Finding | None:
    """Compare the mean and the standard deviation of blocks of rows, as logarithms."""
    x = channel.values[channel.development]
    size = max(channel.period or 0, 12, len(x) // 200)
    blocks = len(x) // size
    if float(channel.seen(channel.values, "train").min()) <= 0 or blocks < _LEAST_BLOCKS or float(x.min()) <= 0:
        return None
    rows = x[len(x) - blocks * size :].reshape(blocks, size)
    level, spread = rows.mean(axis=1), rows.std(axis=1)
    if (spread <= 0).any() or level.max() < 1.5 * level.min():
        return None
    a, b = np.log(level), np.log(spread)
    slope = float(np.cov(a, b)[0, 1] / np.var(a, ddof=1))
    fit = float(np.corrcoef(a, b)[0, 1])
    # If the level stays where it is, the same chance moves a block's mean and its spread.
    if slope < _GROWS or fit < _FIT or not channel.moves:
        return None
    return Finding(
        code=_CODE,
        severity="warn",
        rank=10 * fit,
        evidence={
            "spread_grows_by_level_to_the": rounded(slope),
            "correlation": rounded(fit),
            "highest_over_lowest_level": rounded(float(level.max() / level.min())),
        },
        says=f"The spread of the values grows with their level (as its power {slope:.1f}), so the rows at a high level "
        f"make most of the MSE, and a season learned at a low level is too small at a high one.",
        actions=(
            *each(transform="log"),
            search(transform="log", difference="seasonal" if channel.period else "first"),
        ),
    )


def _long_tail(channel: Channel, train: Floats) -> Finding | None:
    skew = _skewness(train)
    if skew <= _TAIL or float(train.min()) < 0:
        return None
    positive = train[train > 0]
    of_logs = _skewness(np.log(positive)) if len(positive) > 8 else skew
    if abs(of_logs) >= skew / 2:
        return None
    return Finding(
        code=_CODE,
        severity="warn",
        rank=skew,
        evidence={"skewness": rounded(skew), "skewness_of_logs": rounded(of_logs)},
        says=f"The values have a long tail to the right (their skewness is {skew:.1f}, that of their logarithms is "
        f"{of_logs:.1f}), so a few large values make most of the MSE.",
        actions=each(transform="log", loss="huber"),
        by_hand=""
        if float(channel.values.min()) > 0
        else "If you add a constant to the column so that all values are above 0, transform = log is possible, too.",
    )


def series_sizes(channels: Sequence[Channel]) -> Finding | None:
    """Find series of one column, or columns, whose sizes are very different."""
    found = [_series_of_one_column(channels, target) for target in dict.fromkeys(c.target for c in channels)]
    found.append(_columns([c for c in channels if c.series == channels[0].series]))
    return most_severe(finding for finding in found if finding is not None)


def _series_of_one_column(channels: Sequence[Channel], target: str) -> Finding | None:
    least, largest = _extreme_spreads([c for c in channels if c.target == target])
    if not largest > 10 * least:
        return None
    ratio = largest / least
    return Finding(
        code=_CODE,
        severity="info",
        rank=ratio,
        evidence={"target": target, "largest_sd": largest, "smallest_sd": least},
        says=f"The spreads of the series of {target!r} differ by a factor of {number(ratio, 2)}, so with one scale for "
        f"all of them the large series would make the MSE and the small ones would look constant.",
        by_hand="Read scaled MSEs: lstm-tune scales each series by itself. With another tool, divide each series by "
        "its own spread first.",
    )


def _columns(channels: Sequence[Channel]) -> Finding | None:
    least, largest = _extreme_spreads(channels)
    if not largest > 1000 * least:
        return None
    return Finding(
        code=_CODE,
        severity="info",
        rank=largest / least,
        evidence={"largest_sd": largest, "smallest_sd": least},
        says=f"The spreads of the columns differ by a factor of {number(largest / least, 2)}, so their MSEs in their "
        f"own units cannot be compared or averaged.",
        by_hand="Read scaled MSEs: lstm-tune scales each column by itself.",
    )


def _extreme_spreads(channels: Sequence[Channel]) -> tuple[float, float]:
    """Return the smallest and the largest standard deviation of the train rows; equal if there are fewer than two."""
    spreads = [s for c in channels if (s := float(np.std(c.seen(c.values, "train")))) > 0]
    return (min(spreads), max(spreads)) if len(spreads) > 1 else (1.0, 1.0)


def _skewness(x: Floats) -> float:
    """Return the skewness of x (n,); scipy's warns if the values are nearly equal."""
    z = x - x.mean()
    sd = float(np.std(z))
    return float(np.mean((z / sd) ** 3)) if sd > 0 else 0.0


def _cause(evidence: Evidence) -> str:
    if "skewness" in evidence:
        return "a few large values make most of the error"
    if "spread_grows_by_level_to_the" in evidence:
        return "the spread of the values grows with their level"
    return "the size of the values does not suit a network"


def _setting(evidence: Evidence, params: Params) -> str:
    log_helps = "skewness" in evidence or "spread_grows_by_level_to_the" in evidence
    return first_setting(params, {"transform": ("log",)}) if log_helps else ""


CHECKS: tuple[Check[Channel], ...] = (Check(code=_CODE, look=scale_unfit, cause=_cause, handled_by=_setting),)
SERIES_CHECKS: tuple[Check[Sequence[Channel]], ...] = (
    Check(code=_CODE, look=series_sizes, cause=_cause, handled_by=_setting),
)
