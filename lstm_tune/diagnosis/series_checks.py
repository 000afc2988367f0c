"""What all series together show: their time stamps, how many rows there are, how far their sizes differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.diagnosis.channel import Track
from lstm_tune.diagnosis.symptom import Symptom, gravest
from lstm_tune.training.task import Task

_ALIKE = 10.0  # largest spread of a series over the smallest, from which one scale does not fit all
_ARTICLE_UNITS = 50


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


def _step_spread(series: SeriesSet) -> float:
    """Return the standard deviation of the time steps over their mean, of the first series with more than one."""
    for a, b in zip(series.offsets, series.offsets[1:], strict=False):
        times = np.asarray(series.times[a:b])
        if b - a > 2 and np.issubdtype(times.dtype, np.datetime64):
            steps = np.diff(times).astype(np.float64)
            return float(np.std(steps) / np.mean(steps)) if np.mean(steps) > 0 else 0.0
    return 0.0
