"""`diagnose`: what in the data makes an LSTM's MSE high, in seconds and without training one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_tune.baselines import fit_baselines
from lstm_tune.errors import DataError
from lstm_tune.evaluate import Forecaster, TargetScale, per_target, score
from lstm_tune.findings import SEVERITIES, Finding, Severity, ranked
from lstm_tune.loader import load_series
from lstm_tune.readers import Data
from lstm_tune.series import SeriesSet
from lstm_tune.split import Split, make_split
from lstm_tune.stationarity import YEARS
from lstm_tune.symptoms import PER_TRACK, Symptom, Track, gravest
from lstm_tune.task import Task, build_task
from lstm_tune.windows import Batch, Windows

MOST_TRACKS = 20  # series (times target columns) that are looked at one by one, evenly spaced
_CONCERNED = 0.25  # of the series, below which a symptom of some is one severity less grave
_CHANCE = 0.1  # … and below which a test may be wrong by chance
_TESTED = ("non_stationary_level", "trend_beyond_training_range", "train_test_shift", "low_signal")
_ALIKE = 10.0  # largest spread of a series over the smallest, from which one scale does not fit all
_ARTICLE_UNITS = 50
_FOLDS = 3  # as `tune` has them, so that its baselines are these
_DAYS_A_YEAR = 365.25


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _TrainMean:
    """Every step of the horizon equals the mean of the rows that were fitted on."""

    horizon: int
    mean: tuple[float, ...]  # (C,)
    context: int = 1

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        mean = torch.tensor(self.mean, dtype=batch.history.dtype, device=batch.history.device)
        return mean[batch.channel, None].expand(-1, self.horizon)


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
    facts = _facts(series, horizon)
    try:
        parts = make_split(series, split, horizon)
        task = build_task(series, parts, horizon, folds=_FOLDS)
    except DataError as error:
        return _refused(error, facts)
    facts["split"] = {
        name: _part(series, ranges)
        for name, ranges in (("train", parts.train), ("val", parts.val), ("test", parts.test))
    }
    facts["period"] = task.period
    facts["notes"] = [*series.notes, *parts.notes]
    tracks = _tracks(series, parts, task)
    facts["series_looked_at"] = len(tracks)
    baselines = _baselines(series, parts, task)
    scale = _scale(tracks, task, series.targets, baselines)
    return Diagnosis(
        findings=tuple(_findings(series, parts, task, tracks)),
        data=facts,
        baselines=baselines,
        scale=scale,
        meaning=_meaning(scale, baselines),
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


# ---- what concerns all series at once


def irregular_time(series: SeriesSet) -> Symptom | None:
    """Find time stamps that do not lie on a regular grid."""
    repaired, rows = series.repaired, max(1, series.n_rows)
    uneven = repaired.get("irregular_time", 0)
    off, doubled, late = (repaired.get(k, 0) for k in ("off_grid", "duplicates", "out_of_order"))
    gaps = repaired.get("gap_rows", 0)
    evidence: dict[str, Any] = {
        k: v
        for k, v in (
            ("uneven_steps", uneven),
            ("off_grid", off),
            ("duplicates", doubled),
            ("out_of_order", late),
            ("added_rows", gaps),
        )
        if v
    }
    if uneven:
        spread = _step_spread(series)
        evidence["step_spread"] = round(spread, 3)
        return Symptom(
            severity="high" if spread > 0.5 else "warn",
            weight=spread,
            evidence=evidence,
            says=f"The time steps are uneven (standard deviation {spread:.0%} of their mean), but a lookback counts "
            f"rows: so many rows back is another time each time.",
            advice="average or interpolate the rows to an even time step first",
        )
    share = (off + doubled + late) / rows
    if share:
        what = [
            f"{n:,} {words}"
            for n, words in (
                (doubled, "rows repeat a time stamp and were dropped"),
                (off, "stamps lie off the grid and were moved or dropped"),
                (late, "rows stood out of order and were sorted"),
            )
            if n
        ]
        return Symptom(
            severity="warn" if (off + doubled) / rows >= 0.01 else "info",
            weight=share,
            evidence=evidence,
            says="; ".join(what) + ".",
            advice="see whether two series are mixed (--id), or the clock was changed; else the repair suffices",
        )
    if gaps >= 0.01 * rows:
        return Symptom(
            severity="warn" if gaps >= 0.1 * rows else "info",
            weight=gaps / rows,
            evidence=evidence,
            says=f"{gaps:,} time steps have no row; they were added, filled with the value before and never scored.",
            advice="give the missing rows if you have them, or take a coarser time step",
        )
    return None


def too_little_data(parts: Split, task: Task) -> Symptom | None:
    """Find too few rows to learn from, or too few independent windows to judge by."""
    horizon = task.shape.horizon
    channels = task.shape.channels
    train = sum(b - a for a, b in parts.train)
    longest = max(b - a for a, b in parts.train)
    windows = len(task.windows.positions(task.folds[0].segment.fit, 0, reach_back=False))
    judged = task.independent_windows
    weights = 4 * _ARTICLE_UNITS * (1 + _ARTICLE_UNITS + 2) + _ARTICLE_UNITS * horizon + horizon
    evidence = {
        "train_rows": train,
        "train_windows": windows,
        "independent_train_windows": round(train / horizon, 1),
        "independent_validation_windows": round(judged, 1),
        "weights_of_50_units": weights,
        "max_lookback": task.limits.max_lookback,
    }
    few = train * channels
    grave = few < 60 or judged < 3 or longest / horizon < 6
    if not grave and few >= 100 and judged >= 8 and longest / horizon >= 20:
        return None
    rows = f"{train:,} train rows" if channels == 1 else f"{train:,} train rows of {channels} columns"
    if few < 100:
        says = f"{rows} face the {weights:,} weights of an LSTM of 50 units, which can learn them by heart."
        advice = "a small net (hidden_units 4 to 16, dropout, weight_decay) with skip = linear; more rows"
    else:
        says = (
            f"At {horizon} row{'s' if horizon > 1 else ''} ahead {rows} hold {train / horizon:.0f} windows that do not "
            f"overlap and the validation rows {judged:.0f}, so the choice among trials is partly luck."
        )
        advice = "more --folds, a larger validation part (--split), a shorter --horizon"
    return Symptom(
        severity="high" if grave else "warn", weight=1 / max(1, few), evidence=evidence, says=says, advice=advice
    )


def scales_differ(tracks: Sequence[Track]) -> Symptom | None:
    """Find series of one column, or columns, of very different size."""
    found = []
    for target in dict.fromkeys(t.target for t in tracks):
        spreads = [float(np.std(t.seen(t.values, "train"))) for t in tracks if t.target == target]
        spreads = [s for s in spreads if s > 0]
        if len(spreads) > 1 and max(spreads) > _ALIKE * min(spreads):
            ratio = max(spreads) / min(spreads)
            found.append(
                Symptom(
                    severity="high" if ratio > 100 else "warn",
                    weight=ratio,
                    evidence={"target": target, "largest_sd": max(spreads), "smallest_sd": min(spreads)},
                    says=f"The series of {target!r} differ {ratio:,.0f} times in spread and share one scale, so the "
                    f"MSE is that of the large ones and the small ones look constant.",
                    advice="window_norm = standard, or scale each series by its own size first",
                )
            )
    spreads = [float(np.std(t.seen(t.values, "train"))) for t in tracks if t.series == tracks[0].series]
    spreads = [s for s in spreads if s > 0]
    if len(spreads) > 1 and max(spreads) > 1000 * min(spreads):
        found.append(
            Symptom(
                severity="info",
                weight=max(spreads) / min(spreads),
                evidence={"largest_sd": max(spreads), "smallest_sd": min(spreads)},
                says=f"The columns differ {max(spreads) / min(spreads):,.0f} times in spread, so their MSEs in own "
                f"units cannot be compared or averaged.",
                advice="read scaled MSEs; lstm-tune scales each column by itself",
            )
        )
    return gravest(found)


# ---- facts


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


def _facts(series: SeriesSet, horizon: int) -> dict[str, Any]:
    return {
        "path": series.path,
        "rows": series.n_rows,
        "freq": series.freq,
        "target": list(series.targets),
        "series": series.n_series,
        "horizon": horizon,
        "missing": dict(series.missing),
        "repaired": dict(series.repaired),
        "notes": list(series.notes),
    }


def _part(series: SeriesSet, ranges: Sequence[tuple[int, int]]) -> dict[str, Any]:
    used = [(a, b) for a, b in ranges if b > a]
    first, last = min(series.times[a] for a, _ in used), max(series.times[b - 1] for _, b in used)
    return {"rows": sum(b - a for a, b in used), "start": _label(first), "end": _label(last)}


def _label(time: Any) -> str:
    if not isinstance(time, np.datetime64):
        return str(int(time))
    text = str(time.astype("datetime64[s]")).replace("T", " ")
    return text.removesuffix(" 00:00:00")


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


def _step_spread(series: SeriesSet) -> float:
    """Return the standard deviation of the time steps over their mean, of the first series with more than one."""
    for a, b in zip(series.offsets, series.offsets[1:], strict=False):
        times = np.asarray(series.times[a:b])
        if b - a > 2 and np.issubdtype(times.dtype, np.datetime64):
            steps = np.diff(times).astype(np.float64)
            return float(np.std(steps) / np.mean(steps)) if np.mean(steps) > 0 else 0.0
    return 0.0


def _baselines(series: SeriesSet, parts: Split, task: Task) -> dict[str, dict[str, Any]]:
    """Return the validation and test MSE of what needs no LSTM, scored as `tune` does."""
    windows = Windows(series, task.shape.horizon)
    positions = windows.positions(parts.test, 0, reach_back=True)
    horizon, scale = task.shape.horizon, task.scale
    fitted: dict[str, Forecaster] = {
        **fit_baselines(
            windows, parts.final.fit, period=task.period, max_lookback=task.limits.max_lookback, sd=scale.sd
        ),
        "train_mean": _TrainMean(horizon=horizon, mean=TargetScale.of(windows, parts.train).mean),
    }
    own = score(fitted["train_mean"], task.windows, task.folds[0].scored, scale, each=False)
    validation = {**task.baselines, "train_mean": (own.mse, own.mse_scaled)}
    result = {}
    for name, forecaster in fitted.items():
        tested = score(forecaster, windows, positions, scale, each=False)
        mse, scaled = validation[name]
        result[name] = {
            "val_mse": per_target(mse, series.targets),
            "val_mse_scaled": scaled,
            "test_mse": per_target(tested.mse, series.targets),
            "test_mse_scaled": tested.mse_scaled,
        }
    return result


def _scale(
    tracks: Sequence[Track], task: Task, targets: Sequence[str], baselines: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what an MSE means here: what counts as 1, and the noise floor."""
    variance = {name: sd**2 for name, sd in zip(targets, task.scale.sd, strict=True)}
    signals = [(t.signal, variance[t.target]) for t in tracks if t.signal is not None]
    floors = [s.floor / v for s, v in signals if v > 0]
    # What ridge regression reached by its longer lookback on the validation rows can be reached.
    floor = min(float(np.mean(floors)), *(b["val_mse_scaled"] for b in baselines.values())) if floors else None
    return {
        "unit_mse": per_target(tuple(variance.values()), targets),
        "train_mean": per_target(task.scale.mean, targets),
        "train_sd": per_target(task.scale.sd, targets),
        "noise_floor_scaled": floor,
        "noise_floor_mse": floor * task.scale.sd[0] ** 2 if floor is not None and len(targets) == 1 else None,
        "noise_floor_method": next((s.method for s, _ in signals if s.neighbours), signals[0][0].method)
        if signals
        else None,
        "best_baseline": min(baselines, key=lambda name: float(baselines[name]["test_mse_scaled"])),
    }


def _meaning(scale: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return in sentences what an MSE of a given size means for these data."""
    mean = baselines["train_mean"]
    single = not isinstance(scale["unit_mse"], Mapping)
    unit = f" (MSE {_number(scale['unit_mse'])}, RMSE {_number(math.sqrt(scale['unit_mse']))})" if single else ""
    sentences = [
        f"Scaled MSE 1.0{unit} is the variance of the train rows: what forecasting their mean costs there. On the test "
        f"rows that forecast costs {_number(mean['test_mse_scaled'])}."
    ]
    best = scale["best_baseline"]
    words = {
        "persistence": "the last value",
        "seasonal_naive": "the last season",
        "ridge": "ridge regression",
        "train_mean": "the mean of the train rows",
    }
    value = baselines[best]["test_mse_scaled"]
    sentences.append(
        f"The best forecast without an LSTM is {words[best]}: {_number(value)} scaled on the test rows. An LSTM above "
        f"that is not worth its training."
    )
    floor = scale["noise_floor_scaled"]
    if floor is not None:
        quieter = " (the test rows are quieter)" if value < 0.9 * floor else ""
        sentences.append(
            f"Noise floor, an estimate from train and validation rows: about {_number(floor)} scaled{quieter}. Little "
            f"below it can be had from the series' own past."
        )
    return tuple(sentences)


def _number(value: float) -> str:
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
