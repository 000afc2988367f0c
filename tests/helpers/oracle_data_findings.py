"""The numbers of findings on the data: of each target column of each series, and of the worst one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from oracle import Finished
from oracle_data import Array, windows_of
from statsmodels.tsa.seasonal import STL

Evidence = dict[str, Any]
HIGH, WARN, INFO = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Column:
    """One target column of one series: train, validation and test rows."""

    target: str
    series: str
    values: Array  # (n,) holes filled
    seen: Array  # (n,)
    train: int  # rows
    test: int  # rows
    period: int

    def part(self, x: Array, name: str) -> Array:
        """Return the observed rows of x (n,) in a part."""
        n = len(x)
        rows = {
            "train": slice(0, self.train),
            "validation": slice(self.train, n - self.test),
            "test": slice(n - self.test, n),
        }[name]
        return x[rows][self.seen[rows]]


def columns_of(run: Finished) -> list[Column]:
    """Return the columns, those of a series together."""
    found = []
    for s, series in enumerate(run.table.series):
        (start, border), (_, end) = run.parts["train"][s], run.parts["test"][s]
        for c, target in enumerate(run.table.targets):
            found.append(
                Column(
                    target=target,
                    series=series.name,
                    values=series.values[c, start:end],
                    seen=series.seen[c, start:end],
                    train=border - start,
                    test=end - run.parts["test"][s][0],
                    period=run.period or 1,
                )
            )
    return found


Look = Callable[[Column], tuple[Evidence, int, float] | None]  # evidence, severity, rank


@dataclass(frozen=True)
class OfColumns:
    """A rule that looks at each column by itself and names the worst."""

    look: Look

    def __call__(self, run: Finished) -> Evidence | None:
        """Return the evidence of the most severe column, of equal ones that of the highest rank."""
        columns = columns_of(run)
        found = [(c, *one) for c in columns if (one := self.look(c)) is not None]
        if not found:
            return None
        ranked = sorted(found, key=lambda f: (f[2], -f[3]))
        worst, evidence = ranked[0][:2]
        if len(columns) == 1:
            return evidence
        kind = "series" if worst.series else "columns"
        return evidence | {
            "target": worst.target,
            "series": worst.series,
            f"{kind}_concerned": len(found),
            f"{kind}_looked_at": len(columns),
            "worst": [c.series or c.target for c, *_ in ranked][:5],
        }

    def of_each(self, run: Finished) -> Iterator[tuple[str, str, int, float]]:
        """Yield series, target, severity and rank of each column that has the finding."""
        for column in columns_of(run):
            if (found := self.look(column)) is not None:
                yield column.series, column.target, *found[1:]


def _missing(column: Column) -> tuple[Evidence, int, float] | None:
    gone = ~column.seen
    if not gone.any():
        return None
    runs = "".join("x" if g else " " for g in gone).split()
    share = float(gone.mean())
    evidence = {
        "missing": int(gone.sum()),
        "share": share,
        "longest_gap": max(map(len, runs)),
        "share_of_test": float(gone[-column.test :].mean()),
    }
    return evidence, HIGH if share >= 0.2 else WARN if share >= 0.03 else INFO, share


def _season(column: Column) -> tuple[Evidence, int, float] | None:
    x = column.values[: len(column.values) - column.test]
    parts = STL(x, period=column.period, seasonal=35, seasonal_deg=0).fit()
    strength = 1 - parts.resid.var() / (parts.seasonal + parts.resid).var()
    return ({"period": column.period, "strength": strength}, INFO, strength) if strength >= 0.3 else None


def _seasonality(run: Finished) -> Evidence | None:
    evidence = SEASON(run)
    test, naive = (run.record["test"]["mse_scaled"], run.record["baselines"]["seasonal_naive"]["test_mse_scaled"])
    return evidence | {"model_over_seasonal_naive": test / naive} if evidence and naive < test else evidence


def _seasonless(x: Array, period: int) -> Array:
    """Return x minus the mean of each place in the season, around the mean of the rows of a season around it."""
    n = len(x)
    around = []
    for row in range(n):
        low = min(max(0, row - period // 2), n - period)
        around.append(x[low : low + period].mean())
    left = x - np.array(around)
    season = np.array([left[place::period].mean() for place in range(period)])
    return x - (season - season.mean())[np.arange(n) % period]


def _level(column: Column) -> tuple[Evidence, int, float]:
    x = _seasonless(column.values[: len(column.values) - column.test], column.period)
    slope, start = np.polyfit(np.arange(len(x)), x, 1)
    left = x - start - slope * np.arange(len(x))
    slow = np.var([stretch.mean() for stretch in np.array_split((x - x.mean()) / x.std(), 10)])
    trend = 1 - left.var() / x.var()
    return {"slow_share": slow, "trend_share": trend, "slope_per_row": slope}, HIGH, trend


def _beyond(column: Column) -> tuple[Evidence, int, float]:
    train = column.part(column.values, "train")
    found = []
    for part in ("test", "validation"):
        rows = column.part(column.values, part)
        for side, excess in (("above", rows - train.max()), ("below", train.min() - rows)):
            share = float((excess > 0).mean())
            found.append((share, part, side, float(excess.max() / train.std())))
    share, part, side, farthest = max(found, key=lambda f: f[0])
    evidence = {"part": part, "side": side, "share_beyond": share, "farthest_in_sd": farthest}
    return evidence | {"train_min": float(train.min()), "train_max": float(train.max())}, HIGH, share


def _shift(column: Column) -> tuple[Evidence, int, float]:
    x, found = _seasonless(column.values, column.period), []
    train = column.part(x, "train")
    for part in ("test", "validation"):
        rows = column.part(x, part)
        shift = float((rows.mean() - train.mean()) / column.part(column.values, "train").std())
        found.append({"part": part, "mean_shift_in_sd": shift, "variance_ratio": float(rows.var() / train.var())})
    evidence = max(found, key=lambda f: abs(f["mean_shift_in_sd"]))
    return evidence, HIGH, abs(evidence["mean_shift_in_sd"])


def _scale(column: Column) -> tuple[Evidence, int, float]:
    train = column.part(column.values, "train")
    mean, sd = float(train.mean()), float(train.std())
    return {"mean": mean, "sd": sd, "mean_over_sd": abs(mean) / sd}, WARN, 0.0


def _too_little_data(run: Finished) -> Evidence | None:
    train, val = (sum(b - a for a, b in run.parts[name]) for name in ("train", "val"))
    if train * run.channels >= 100 and train / run.horizon >= 20 and val / run.horizon >= 8:
        return None
    weights = 4 * 50 * (1 + 50 + 2) + (50 + 1) * run.horizon
    return {
        "train_rows": train,
        "train_windows": len(list(windows_of(run.table, run.parts["train"], run.horizon, 0, reach_back=False))),
        "independent_train_windows": round(train / run.horizon, 1),
        "independent_validation_windows": round(val / run.horizon, 1),
        "few_values": train * run.channels < 100,
        "weights_of_50_units": weights,
    }


def _irregular_time(run: Finished) -> Evidence | None:
    rows = sum(map(len, run.table.series))
    added = rows - (run.frame_rows or rows)
    return {"added_rows": added} if added >= 0.01 * rows else None


def _later_rows_trained_on(run: Finished) -> Evidence | None:
    of, rows, concerned, first, last = run.table.series, 0, 0, [], []
    for s, series in enumerate(of):
        others = [i for i in range(len(of)) if i != s]
        count = 0
        for part, after in (("train", "val"), ("val", "test")):
            begins = [of[i].times[run.parts[after][i][0]] for i in others]
            here = series.times[slice(*run.parts[part][s])]
            count += sum(any(time > begin for begin in begins) for time in here)
        rows, concerned = rows + count, concerned + (count > 0)
        first.append(series.times[run.parts["val"][s][0]])
        last.append(series.times[run.parts["train"][s][1] - 1])
    if not rows:
        return None
    return {
        "series": concerned,
        "of": len(of),
        "rows": rows,
        "scored_from": str(min(first))[:10],
        "trained_until": str(max(last))[:10],
    }


MISSING, SEASON = OfColumns(_missing), OfColumns(_season)
DATA_RULES: dict[str, Callable[[Finished], Evidence | None]] = {
    "missing_values": MISSING,
    "seasonality": _seasonality,
    "non_stationary_level": OfColumns(_level),
    "trend_beyond_training_range": OfColumns(_beyond),
    "train_test_shift": OfColumns(_shift),
    "scale_unfit": OfColumns(_scale),
    "too_little_data": _too_little_data,
    "irregular_time": _irregular_time,
    "later_rows_trained_on": _later_rows_trained_on,
}
EACH_COLUMN = {"missing_values": MISSING, "seasonality": SEASON}  # rules that say by themselves when they appear
