"""The split of data whose split nobody named: the usual one, or one that leaves room for the horizon."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split, make_split
from lstm_tune.data.split_rule import DEFAULT_SPLIT, SplitRule, cut_rows


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CutSeries:
    """Series, and how their rows are cut."""

    series: SeriesSet
    split: Split
    rule: SplitRule  # that the split was made by


def load_and_split(load: Callable[[SplitRule], SeriesSet], rule: SplitRule | None, horizon: int) -> CutSeries:
    """Load series and cut them.

    What is decided by the data while they are loaded is decided by rows before the test rows, so that they are loaded
    again if the parts must adapt.

    Args:
        load: loads the series, given the rule by which they are cut later on.
        rule: of the cut; None: the default, which adapts if its validation or test rows would hold less than one
            horizon.
        horizon: rows that a forecast covers.

    Raises:
        DataError: too few rows.
        UsageError: the rule does not suit the data.
    """
    series = load(rule or DEFAULT_SPLIT)
    adapted = adapt_rule(_sizes(series), horizon) if rule is None else None
    if adapted is not None:
        series = load(adapted)
    chosen = adapted or rule or DEFAULT_SPLIT
    split = make_split(series, chosen, horizon)
    if adapted is not None:
        longest = max(map(sum, _sizes(series)))
        split = dataclasses.replace(split, notes=(_note(longest, adapted, horizon), *split.notes))
    return CutSeries(series=series, split=split, rule=chosen)


def adapt_rule(sizes: Sequence[tuple[int, int, int]], horizon: int) -> SplitRule | None:
    """Return a rule for data that the default split cuts into too few validation or test rows.

    Validation and test rows hold two horizons, if half of the rows are left to train on; else one.

    Args:
        sizes: (S,) train, validation and test rows of each series by the default split.
        horizon: rows that a forecast covers.

    Returns:
        Three row counts of the one series, or three fractions of the longest one; None: the default fits one series at
        least, or nothing fits.
    """
    floors = (horizon + 2, horizon, horizon)
    if horizon < 1 or any(all(n >= floor for n, floor in zip(size, floors, strict=True)) for size in sizes):
        return None
    n = max(map(sum, sizes))
    ((_, val, test),) = cut_rows(DEFAULT_SPLIT, (0, n), None).counts
    for most in (2 * horizon, horizon):
        counts = (n - max(val, most) - max(test, most), max(val, most), max(test, most))
        if counts[0] >= (max(floors[0], n / 2) if most > horizon else floors[0]):
            return SplitRule.of_numbers(counts if len(sizes) == 1 else [count / n for count in counts])
    return None


def _sizes(series: SeriesSet) -> list[tuple[int, int, int]]:
    """Return the train, validation and test rows of each series by the default split, without those added in gaps."""
    if series.cut is not None:
        return list(series.cut.counts)
    rows = [b - a for a, b in pairwise(series.offsets)] if series.placed is None else [len(p) for p in series.placed]
    return [cut_rows(DEFAULT_SPLIT, (0, n), None).counts[0] for n in rows]


def _note(rows: int, rule: SplitRule, horizon: int) -> str:
    train, val, test = (round(p * rows) if rule.kind == "shares" else round(p) for p in rule.numbers)
    return (
        f"the usual split leaves less than the horizon of {horizon} rows to validate or to test on: of {rows} rows "
        f"{train} are trained on, {val} validated and {test} tested on; pass split= for another"
    )
