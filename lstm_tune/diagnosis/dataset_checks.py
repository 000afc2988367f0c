"""Checks of the whole data set: its time stamps, how its series are cut, and the number of its rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from lstm_tune.config import Config
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.diagnosis.action import Action, at_least, at_most, each, options
from lstm_tune.diagnosis.check import Check, Evidence
from lstm_tune.diagnosis.finding import Finding, Severity
from lstm_tune.training.task import Task
from lstm_tune.utils.text import counted, percent

_UNEVEN = 0.5  # standard deviation of the time steps over their mean, from which an uneven grid is severe
_REPAIRED = 0.01  # share of the rows that had to be repaired
_ADDED = 0.1  # share of the rows that had to be added
_UNITS = Config().hidden_units
_FEW_ROWS = 100  # train rows, columns counted one by one
_VERY_FEW_ROWS = 60
_JUDGED = 8, 3  # validation windows that do not overlap: few, very few
_MORE_FOLDS = 5
_LEARNED = 20, 6  # horizons in the longest train part: few, very few


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DataSet:
    """All rows, how they are split, and what was built of them."""

    series: SeriesSet
    parts: Split
    task: Task


def irregular_time(data: DataSet) -> Finding | None:
    """Find time stamps that do not lie on a regular grid."""
    repaired, rows = data.series.repaired, max(1, data.series.n_rows)
    names = {
        "uneven_steps": "irregular_time",
        "off_grid": "off_grid",
        "duplicates": "duplicates",
        "out_of_order": "out_of_order",
        "added_rows": "gap_rows",
    }
    counts: dict[str, int] = {name: repaired.get(key, 0) for name, key in names.items()}
    evidence: dict[str, float] = {name: count for name, count in counts.items() if count}
    if counts["uneven_steps"]:
        return _uneven(data.series, evidence)
    if counts["off_grid"] + counts["duplicates"] + counts["out_of_order"]:
        return _repaired(counts, evidence, rows)
    gaps = counts["added_rows"]
    if gaps < _REPAIRED * rows:
        return None
    return Finding(
        code="irregular_time",
        severity="warn" if gaps >= _ADDED * rows else "info",
        rank=gaps / rows,
        evidence=evidence,
        says=f"{counted(gaps, 'time step')} had no row ({percent(gaps / rows)}); the rows were added with the value "
        f"before them, and are never scored.",
        by_hand="Add the missing rows if you have them, or take a coarser time step.",
    )


def _uneven(series: SeriesSet, evidence: dict[str, float]) -> Finding:
    spread = _step_spread(series)
    return Finding(
        code="irregular_time",
        severity="high" if spread > _UNEVEN else "warn",
        rank=spread,
        evidence=evidence | {"step_spread": round(spread, 3)},
        says=f"The time steps are uneven (standard deviation {spread:.0%} of their mean), but the lookback counts "
        f"rows, so it covers a different span of time in each window.",
        by_hand="Average or interpolate the rows to an even time step first.",
    )


def _repaired(counts: dict[str, int], evidence: dict[str, float], rows: int) -> Finding:
    off, doubled, late = counts["off_grid"], counts["duplicates"], counts["out_of_order"]
    sentences = [
        _sentence(doubled, "row repeats a time stamp and was dropped", "rows repeat a time stamp and were dropped"),
        _sentence(
            off,
            "time stamp is off the grid and was moved or dropped",
            "time stamps are off the grid and were moved or dropped",
        ),
        _sentence(late, "row was out of order and was sorted", "rows were out of order and were sorted"),
    ]
    return Finding(
        code="irregular_time",
        severity="warn" if (off + doubled) / rows >= _REPAIRED else "info",
        rank=(off + doubled + late) / rows,
        evidence=evidence,
        says=f"{'; '.join(filter(None, sentences))}.",
        by_hand="Check whether two series are mixed (--id) or the clock was changed; if not, nothing else is needed.",
    )


def _sentence(count: int, one: str, many: str) -> str:
    return "" if not count else f"{count:,} {one if count == 1 else many}"


def too_little_data(data: DataSet) -> Finding | None:
    """Find too few rows to learn from, or too few independent windows to compare trials by."""
    task = data.task
    horizon, channels = task.shape.horizon, task.shape.channels
    train = sum(b - a for a, b in data.parts.train)
    learned = train / horizon
    judged = task.independent_windows
    weights = 4 * _UNITS * (1 + _UNITS + 2) + _UNITS * horizon + horizon
    values = train * channels
    actions: tuple[Action, ...]
    severe = values < _VERY_FEW_ROWS or judged < _JUDGED[1] or learned < _LEARNED[1]
    if not severe and values >= _FEW_ROWS and judged >= _JUDGED[0] and learned >= _LEARNED[0]:
        return None
    rows = f"{train:,} train rows" + ("" if channels == 1 else f" of {channels} columns")
    if values < _FEW_ROWS:
        usual = f"an LSTM of the usual {_UNITS} units has {weights:,} weights"
        says = f"There are {rows}, but {usual}, so it can memorise them."
        actions = (*at_most(hidden_units=8), *each(skip=("linear", "ets")), *at_least(weight_decay=1e-2))
        by_hand = "More rows would help most."
    else:
        says = (
            f"For a horizon of {counted(horizon, 'row')} the train part has {learned:,.0f} windows that do not "
            f"overlap and the validation part {judged:,.0f}, so the choice among trials is partly chance."
        )
        actions = (options(folds=_MORE_FOLDS),)
        by_hand = "A larger validation part (--split) or a shorter --horizon makes the choice more certain, too."
    severity: Severity = "high" if severe else "warn"
    return Finding(
        code="too_little_data",
        severity=severity,
        rank=1 / max(1, values),
        evidence={
            "train_rows": train,
            "train_windows": len(task.windows.positions(task.folds[0].segment.fit, 0, reach_back=False)),
            "independent_train_windows": round(learned, 1),
            "independent_validation_windows": round(judged, 1),
            "few_values": values < _FEW_ROWS,
            "weights_of_50_units": weights,
            "max_lookback": task.limits.max_lookback,
        },
        says=says,
        actions=actions,
        by_hand=by_hand,
    )


def later_rows_trained_on(data: DataSet) -> Finding | None:
    """Find rows that are trained on although they lie later than scored rows of another series."""
    overlap = data.parts.overlap
    if overlap is None:
        return None
    return Finding(
        code="later_rows_trained_on",
        severity="warn",
        rank=overlap.series / overlap.of,
        evidence=asdict(overlap),
        says=f"{overlap.series:,} of {overlap.of:,} series have rows that are trained on, until "
        f"{overlap.trained_until}, although other series are scored from {overlap.scored_from} on: what moves all "
        f"series at once is known there already, and the scores may be too good.",
        by_hand="Cut all series at the same times (--split DATE,DATE), unless the series have nothing to do with each "
        "other.",
    )


def _step_spread(series: SeriesSet) -> float:
    """Return the standard deviation of the time steps over their mean, of the first series with more than one."""
    for a, b in zip(series.offsets, series.offsets[1:], strict=False):
        times = np.asarray(series.times[a:b])
        if b - a > 2 and np.issubdtype(times.dtype, np.datetime64):
            steps = np.diff(times).astype(np.float64)
            return float(np.std(steps) / np.mean(steps)) if np.mean(steps) > 0 else 0.0
    return 0.0


def _cause(evidence: Evidence) -> str:
    if evidence.get("few_values", True):
        return "there are few rows to learn from"
    return "the validation rows are few for this horizon, so that the choice among trials is partly chance"


CHECKS: tuple[Check[DataSet], ...] = (
    Check(code="irregular_time", look=irregular_time, cause="the time steps are irregular"),
    Check(code="later_rows_trained_on", look=later_rows_trained_on, cause=None),
    Check(code="too_little_data", look=too_little_data, cause=_cause),
)
