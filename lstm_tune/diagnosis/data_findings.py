"""`diagnose`: what in the data makes an LSTM's MSE high, in seconds and without training one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_tune.data.load import load_series
from lstm_tune.data.readers import Data
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split, make_split
from lstm_tune.data.summary import data_facts, split_facts
from lstm_tune.diagnosis.channel import Track
from lstm_tune.diagnosis.finding import SEVERITIES, Finding, Severity, ranked
from lstm_tune.diagnosis.level_checks import non_stationary_level, train_test_shift, trend_beyond_training_range
from lstm_tune.diagnosis.mse_scale import baseline_scores, meaning, scale_of
from lstm_tune.diagnosis.series_checks import irregular_time, scales_differ, too_little_data
from lstm_tune.diagnosis.stationarity import YEARS
from lstm_tune.diagnosis.symptom import Symptom, gravest
from lstm_tune.diagnosis.value_checks import (
    constant_series,
    low_signal,
    missing_values,
    outliers,
    scale_unfit,
    seasonality,
)
from lstm_tune.errors import DataError
from lstm_tune.training.task import Task, build_task

MOST_TRACKS = 20  # series (times target columns) that are looked at one by one, evenly spaced
_CONCERNED = 0.25  # of the series, below which a symptom of some is one severity less grave
_CHANCE = 0.1  # … and below which a test may be wrong by chance
_TESTED = ("non_stationary_level", "trend_beyond_training_range", "train_test_shift", "low_signal")
_FOLDS = 3  # as `tune` has them, so that its baselines are these
_DAYS_A_YEAR = 365.25

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What the data show by themselves; see `diagnose`."""

    findings: tuple[Finding, ...]  # the gravest first
    data: Mapping[str, Any]  # facts: path, rows, freq, target, series, horizon, split, period, missing, repaired, notes
    baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # as in result.json, and `train_mean`
    scale: Mapping[str, Any] = field(default_factory=dict)  # what an MSE means here: unit, noise floor, its method
    meaning: tuple[str, ...] = ()  # the same in sentences

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong with the data: no finding is more than good to know."""
        return all(f.severity == "info" for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "schema": 1,
            "data": dict(self.data),
            "healthy": self.healthy,
            "findings": [f.to_dict() for f in self.findings],
            "baselines": {name: dict(b) for name, b in self.baselines.items()},
            "scale": dict(self.scale),
            "meaning": list(self.meaning),
        }


def diagnose(
    data: Data,
    *,
    target: str | Sequence[str] | None = None,
    horizon: int = 1,
    time: str | None = None,
    id: str | None = None,
    past: Sequence[str] = (),
    future: Sequence[str] = (),
    split: Sequence[float] = (0.7, 0.1, 0.2),
) -> Diagnosis:
    """Say what in the data makes an LSTM's MSE high, without training one.

    Unlike a study it looks at the test rows: to compare them with the others, and to score the forecasts that need no
    training.

    Args:
        data: DataFrame, Series, array, path of a CSV, Parquet or Feather file, or "example:NAME".
        target: column, or columns, to forecast; by default the only one there is.
        horizon: rows to forecast at once.
        time: the time column; found by itself where there is an obvious one.
        id: column that names the series, for many series in long format.
        past: covariates known up to now.
        future: covariates known into the future, too.
        split: train, validation and test rows, or fractions that add up to 1.

    Returns:
        Findings, and what an MSE of a given size means for these data. Data that are refused because they are
        constant, too few or contradict themselves give that as their one finding.

    Raises:
        DataError: the data cannot be read.
        UsageError: an argument is wrong.
    """
    try:
        series = load_series(data, target=target, time=time, id=id, past=past, future=future)
    except DataError as error:
        return _refused(error, {"path": _path(data), "horizon": horizon})
    facts = data_facts(series, horizon)
    try:
        parts = make_split(series, split, horizon)
        task = build_task(series, parts, horizon, folds=_FOLDS)
    except DataError as error:
        return _refused(error, facts)
    facts["split"] = split_facts(series, parts)
    facts["period"] = task.period
    facts["notes"] = [*series.notes, *parts.notes]
    tracks = _tracks(series, parts, task)
    facts["series_looked_at"] = len(tracks)
    baselines = baseline_scores(series, parts, task)
    scale = scale_of(tracks, task, series.targets, baselines)
    return Diagnosis(
        findings=tuple(_findings(series, parts, task, tracks)),
        data=facts,
        baselines=baselines,
        scale=scale,
        meaning=meaning(scale, baselines),
    )


def data_findings(series: SeriesSet, parts: Split, task: Task) -> list[Finding]:
    """Return what the data show of why the MSE is high, the gravest first.

    It compares test rows with the others, so a study may ask for it only after its end.

    Args:
        series: all rows.
        parts: train, validation and test rows.
        task: what was built of both.
    """
    return _findings(series, parts, task, _tracks(series, parts, task))


def _findings(series: SeriesSet, parts: Split, task: Task, tracks: Sequence[Track]) -> list[Finding]:
    found = [
        finding
        for code, look in PER_TRACK.items()
        if (finding := _worst(code, [(t, symptom) for t in tracks if (symptom := look(t)) is not None], tracks))
    ]
    whole = {
        "irregular_time": irregular_time(series),
        "too_little_data": too_little_data(parts, task),
        "scale_unfit": scales_differ(tracks),
    }
    for code, symptom in whole.items():
        if symptom is None:
            continue
        twin = next((f for f in found if f.code == code), None)
        if twin is not None and SEVERITIES.index(twin.severity) <= SEVERITIES.index(symptom.severity):
            continue
        found = [f for f in found if f is not twin] + [_finding(code, symptom)]
    return ranked(found)


def _finding(code: str, symptom: Symptom) -> Finding:
    return Finding(
        code=code,
        severity=symptom.severity,
        evidence=symptom.evidence,
        says=symptom.says,
        advice=symptom.advice,
    )


def _worst(code: str, found: Sequence[tuple[Track, Symptom]], tracks: Sequence[Track]) -> Finding | None:
    """Return the gravest symptom of one code, with how many series it concerns."""
    worst = gravest([symptom for _, symptom in found])
    if worst is None:
        return None
    finding = _finding(code, worst)
    if len(tracks) == 1:
        return finding
    track = next(t for t, symptom in found if symptom is worst)
    alike = sum(symptom.severity == worst.severity for _, symptom in found)
    severity = worst.severity
    if alike < _CONCERNED * len(tracks):
        severity = _milder(severity)
    if alike < _CHANCE * len(tracks) and code in _TESTED:
        severity = _milder(severity)
    name = f"{track.target!r}" if not track.series else f"series {track.series!r}"
    if track.series and len({t.target for t in tracks}) > 1:
        name += f", {track.target!r}"
    kind = "series" if any(t.series for t in tracks) else "columns"
    of = f"{len(found)} of {len(tracks)} {kind}" if len(found) > 1 else f"it alone of {len(tracks)} {kind}"
    return Finding(
        code=code,
        severity=severity,
        evidence={
            **worst.evidence,
            "target": track.target,
            "series": track.series,
            f"{kind}_concerned": len(found),
            f"{kind}_looked_at": len(tracks),
        },
        says=f"{name[0].upper()}{name[1:]} ({of}): {worst.says}",
        advice=worst.advice,
    )


def _milder(severity: Severity) -> Severity:
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]


def _refused(error: DataError, facts: Mapping[str, Any]) -> Diagnosis:
    """Return the diagnosis of data that cannot be trained on for a reason that has a code.

    Raises:
        DataError: the same, where it has none.
    """
    if error.code is None:
        raise error
    text = str(error)
    says, _, advice = text.rpartition("; ") if "; " in text else (text, "", "other data")
    finding = Finding(
        code=error.code,
        severity="high",
        evidence={"refused": True},
        says=f"{says[0].upper()}{says[1:]}: nothing can be trained on these data.",
        advice=advice,
    )
    return Diagnosis(findings=(finding,), data=facts)


def _path(data: Data) -> str:
    return str(data) if isinstance(data, (str, bytes)) or hasattr(data, "__fspath__") else type(data).__name__


def _tracks(series: SeriesSet, parts: Split, task: Task) -> list[Track]:
    """Return at most `MOST_TRACKS` of the series, evenly spaced, each with its rows."""
    which = [(c, s) for s, (a, b) in enumerate(parts.train) if b > a for c in range(series.n_channels)]
    count = min(MOST_TRACKS, len(which))
    chosen = [which[i] for i in np.linspace(0, len(which) - 1, count).round().astype(int)]
    year = _year(series)
    tracks = []
    for c, s in chosen:
        (a, b), (_, d), (_, e) = parts.train[s], parts.val[s], parts.test[s]
        tracks.append(
            Track(
                target=series.targets[c],
                series=series.series[s],
                values=series.values[c, a:e].double().numpy() + series.origin[c],
                observed=series.observed[c, a:e].numpy(),
                train=b - a,
                val=d - b,
                horizon=task.shape.horizon,
                period=task.period,
                dated=series.freq is not None,
                year=year if year and e - a >= YEARS * year else None,
                tracks=count,
            )
        )
    return tracks


def _year(series: SeriesSet) -> float | None:
    """Return the rows a year, where there is a frequency and more than 50 of them."""
    if series.freq is None or series.n_rows < 2 or not isinstance(series.times[0], np.datetime64):
        return None
    end = series.offsets[1]
    days = float((series.times[end - 1] - series.times[0]) / np.timedelta64(1, "D"))
    rows = (end - 1) / days * _DAYS_A_YEAR if days > 0 else 0.0
    return rows if rows > 50 else None
