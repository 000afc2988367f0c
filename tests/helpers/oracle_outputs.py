"""Prediction intervals, the noise estimate, `series.csv` and the errors of `report.json`, each found a second time."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import oracle_baselines as simple
import pandas as pd
import pytest
from oracle import BASELINES, Errors, Finished, same
from oracle_data import Array, Rows, Window, history_of, target_of, windows_of
from oracle_model import read_tensors

AGEING, POWER = 0.5, 0.5


def changes(run: Finished, rows: Sequence[Rows], lag: int, power: int = 1) -> Array:
    """Return the mean |y_t - y_(t-lag)| to a power of each target column and series in some rows, (C · S,)."""
    found = []
    for c in range(run.channels):
        for series, (a, b) in zip(run.table.series, rows, strict=True):
            here = lag if b - a > lag else 1
            both = series.seen[c, a + here : b] & series.seen[c, a : b - here]
            change = np.abs(series.values[c, a + here : b] - series.values[c, a : b - here])[both]
            found.append(np.mean(change**power))
    return np.array(found)


# ---- intervals


def check_prediction_intervals(run: Finished) -> None:
    """Widths of the simple forecasts, from their errors on all validation blocks; what all widths score on the test."""
    record = run.record["test"]["intervals"]
    if not run.levels:
        assert record is None
        return
    assert set(record) == {"model", *BASELINES}
    scale, usual = scales(run, run.parts["fit"]), usual_change(run)
    for name in BASELINES:
        ahead = run.baseline(name, run.test, run.parts["fit"])
        for level, width in widths(run, name).items():
            _compare(record[name][f"{level}"], run.tested(ahead), width, usual, scale, level, name, run)
    kept = json.loads((run.folder / "model" / "config.json").read_text())["intervals"]
    tensor = read_tensors(run.folder / "model" / "weights.safetensors")["intervals"]
    for level in run.levels:
        width = tensor[:, :, kept["levels"].index(level / 100)]
        own = np.array(kept["usual"])
        _compare(record["model"][f"{level}"], run.tested(run.ahead), width, own, scale, level, "model", run)


def scales(run: Finished, rows: Sequence[Rows]) -> Array:
    """Return what errors are divided by, (C · S,): the mean change over a season, if there are several series."""
    groups = run.channels * len(run.table.series)
    return np.ones(groups) if len(run.table.series) == 1 else changes(run, rows, run.period or 1)


def recent_change(run: Finished, window: Window) -> float:
    """Return the mean change over a season in the 24 rows, or two seasons, before a window; NaN: none was observed."""
    series, row, period = run.table.series[window.series], window.row, run.period or 1
    values, seen = series.values[window.channel], series.seen[window.channel]
    for lag in [period, 1] if row > 2 * period else [1]:
        rows = range(max(lag, row - max(24, 2 * period)), row)
        found = [abs(values[t] - values[t - lag]) for t in rows if seen[t] and seen[t - lag]]
        if found:
            return float(np.mean(found))
    return math.nan


def relative_changes(run: Finished, windows: Sequence[Window], rows: Sequence[Rows]) -> Array:
    """Return the recent change before windows (n,), in units of the scale of their series in some rows."""
    scale = scales(run, rows)
    return np.array([recent_change(run, w) / scale[run.table.group(w)] for w in windows])


def usual_change(run: Finished) -> Array:
    """Return the mean recent change (C,) before all validation windows, without those that are 0 or unknown."""
    found: list[list[float]] = [[] for _ in range(run.channels)]
    for fold in range(run.folds):
        windows = run.fold_windows(fold)
        for window, change in zip(windows, relative_changes(run, windows, run.fold_rows(fold)[0]), strict=True):
            if change > 0:
                found[window.channel].append(change)
    return np.array([np.mean(column) if column else 1.0 for column in found])


def growth(change: Array, usual: Array) -> Array:
    """Return what widths grow by: the root of recent change over the usual one, a tenth at least."""
    return np.maximum(np.nan_to_num(change / usual, nan=1.0), 0.1) ** POWER


def widths(run: Finished, name: str) -> dict[int, Array]:
    """Return {level: half the width (C, H)} of a simple forecast's intervals at the usual change.

    It is the least error up to which lies the share `level` of all weight, that of the new window included: windows of
    the newest block weigh 1, those of the block before it a half, and so on.
    """
    errors, channel, weights = [], [], []
    usual = usual_change(run)
    for fold in range(run.folds):
        windows, (fit, _) = run.fold_windows(fold), run.fold_rows(fold)
        found = Errors.of(run, windows, run.baseline(name, windows, fit))
        unit = scales(run, fit)[found.group] * growth(relative_changes(run, windows, fit), usual[found.channel])
        errors.append(np.abs(found.ahead - found.actual) / unit[:, None])
        channel.append(found.channel)
        weights.append(np.full(len(windows), AGEING**fold))
    every, of, weight = np.concatenate(errors), np.concatenate(channel), np.concatenate(weights)
    result = {}
    for level in run.levels:
        width = np.empty((run.channels, run.horizon))
        for c, h in itertools.product(range(run.channels), range(run.horizon)):
            pairs = zip(every[of == c, h].tolist(), weight[of == c].tolist(), strict=True)
            seen = sorted((e, w) for e, w in pairs if not math.isnan(e))
            whole = sum(w for _, w in seen) + max(w for _, w in seen)
            reached = np.cumsum([w for _, w in seen]) / whole >= level / 100 - 1e-9
            width[c, h] = seen[int(np.argmax(reached)) if reached.any() else -1][0]
        result[level] = width
    return result


def _compare(
    found: Mapping[str, Any],
    tested: Errors,
    width: Array,
    usual: Array,
    scale: Array,
    level: int,
    name: str,
    run: Finished,
) -> None:
    """Coverage, its interval, width and Winkler score of each target column and series, averaged over them."""
    grown = growth(relative_changes(run, run.test, run.parts["fit"]), usual[tested.channel])
    reach = width[tested.channel] * (scale[tested.group] * grown)[:, None]
    seen = np.isfinite(tested.actual)
    error = np.abs(tested.ahead - tested.actual)
    unit = (run.sd if run.channels > 1 else np.ones(1))[tested.channel, None]
    miss = np.where(seen, np.maximum(error - reach, 0), 0.0)
    inside = (error <= reach).astype(float)
    parts = {"coverage": inside, "width": 2 * reach / unit}
    parts["winkler"] = parts["width"] + 2 / (1 - level / 100) * miss / unit
    groups = [g for g in np.unique(tested.group) if seen[tested.group == g].any()]
    rel = 2e-2 if name in ("ridge", "combination") else 2e-3
    for key, values in parts.items():
        each = [values[tested.group == g][seen[tested.group == g]].mean() for g in groups]
        # A value on the very end of an interval is within, or not, by the last digit.
        floor = 1.5 / min(seen[tested.group == g].sum() for g in groups) if key == "coverage" else 1e-9
        same(found[key], np.mean(each), f"intervals of {name}: {key}", rel, floor)
    blocks = simple.time_blocks(run.test_times, max(4 * run.horizon, run.period or 1))
    low, high = simple.share_interval(np.where(seen, inside, 0.0).sum(1), seen.sum(1), tested.group, blocks)
    same(found["coverage_ci95"], [low, high], f"intervals of {name}: coverage_ci95", 2e-2, 3e-2)


# ---- the noise


def check_noise(run: Finished) -> None:
    """The noise estimate: half the mean squared difference to what follows the most similar window apart from it."""
    found, fit = run.record["in_sample"]["noise_estimate"], run.parts["fit"]
    context = max(run.context, run.longest_lookback)
    windows = list(windows_of(run.table, fit, run.horizon, context, reach_back=False))
    noises = []
    for c in range(run.channels):
        whole = [w for w in windows if w.channel == c and target_of(run.table, w, run.horizon)[1].all()]
        if len(whole) >= 100:
            noises.append(_noise(run, whole, min(16, 2 ** int(math.log2(context)))))
    assert (found is None) == (not noises)
    if noises:
        same(found, np.mean(noises), "in_sample.noise_estimate", 2e-3, 1e-6)


def _noise(run: Finished, windows: Sequence[Window], longest: int) -> float:
    mean, sd = run.own
    group = [run.table.group(w) for w in windows]
    pairs = list(zip(windows, group, strict=True))
    history = np.array([(history_of(run.table, w, longest) - mean[g]) / sd[g] for w, g in pairs])
    target = np.array([(target_of(run.table, w, run.horizon)[0] - mean[g]) / sd[g] for w, g in pairs])
    begins = np.cumsum([0, *(len(series) for series in run.table.series)])
    return noise(history, target, np.array([begins[w.series] + w.row for w in windows]))


def noise(history: Array, target: Array, at: Array) -> float:
    """Return the noise in targets (n, H) after histories (n, X), whose first targets are at the rows `at` (n,)."""
    least, d = math.inf, 1
    while d <= history.shape[1]:
        for relative in (False, True) if d > 1 else (False,):
            x, y = history[:, -d:], target
            if relative:
                x, y = x - history[:, -1:], y - history[:, -1:]
            squares = []
            for i in range(len(x)):
                apart = np.flatnonzero(np.abs(at - at[i]) >= target.shape[1])  # their targets do not overlap
                near = apart[((x[apart] - x[i]) ** 2).sum(1).argmin()]
                squares.append((y[i] - y[near]) ** 2)
            least = min(least, float(np.mean(squares)) / 2)
        d *= 2
    return least


# ---- each series


def check_series(run: Finished) -> None:
    """`series.csv` and `over_series`: each series by itself."""
    path, over = run.folder / "series.csv", run.record["over_series"]
    if len(run.table.series) == 1:
        assert (path.exists(), over) == (False, None)
        return
    own = run.tested(run.ahead)
    count = run.channels * len(run.table.series)
    mse = np.array([np.nanmean((own.ahead - own.actual)[own.group == g] ** 2) for g in range(count)])
    mae = np.array([np.nanmean(np.abs(own.ahead - own.actual)[own.group == g]) for g in range(count)])
    naive = changes(run, run.parts["train"], run.period or 1)
    table = pd.read_csv(path)
    pairs = [(s, t) for t in run.table.targets for s in run.table.series]
    assert table["series"].tolist() == [series.name for series, _ in pairs]
    assert table["target"].tolist() == [target for _, target in pairs]
    assert table["rows"].tolist() == [len(series) for series, _ in pairs]
    same(table["test_mse"].tolist(), mse.tolist(), "series.csv: test_mse", 1e-3)
    same(table["test_mse_scaled"].tolist(), (mse / run.own[1] ** 2).tolist(), "series.csv: test_mse_scaled", 1e-3)
    same(table["mase"].tolist(), (mae / naive).tolist(), "series.csv: mase", 1e-3)
    for name in BASELINES:
        other = run.tested(run.baseline(name, run.test, run.parts["fit"]))
        theirs = np.array([np.nanmean((other.ahead - other.actual)[other.group == g] ** 2) for g in range(count)])
        same(table[f"skill_{name}"].tolist(), (1 - mse / theirs).tolist(), f"series.csv: skill_{name}", 1e-2, 5e-3)
    skill = table["skill_seasonal_naive"].to_numpy()
    assert (over["scored"], over["better"]) == (count, int((skill > 0).sum()))
    same(over["median_skill"], np.median(skill), "over_series.median_skill", 1e-6)
    same(over["median_mase"], np.median(table["mase"]), "over_series.median_mase", 1e-6)
    order = sorted(range(count), key=lambda i: skill[i])[:10]
    for entry, i in zip(over["worst"], order, strict=True):
        assert (entry["series"], entry["target"]) == (table["series"][i], table["target"][i])
        same((entry["skill"], entry["mse"]), (skill[i], table["test_mse"][i]), "over_series.worst", 1e-6)


def check_report(run: Finished) -> None:
    """The errors of each series in `report.json`, and how its residuals one step ahead hang together."""
    report = json.loads((run.folder / "report.json").read_text())["forecasts"]
    tested = run.tested(run.ahead)
    names, ratios = [], {}
    for g in range(run.channels * len(run.table.series)):
        here = tested.group == g
        name = " ".join(
            filter(
                None,
                (
                    run.table.series[g % len(run.table.series)].name,
                    run.table.targets[g // len(run.table.series)] if run.channels > 1 else "",
                ),
            )
        )
        names.append(name or run.table.targets[0])
        residual, actual = (tested.actual - tested.ahead)[here], tested.actual[here]
        entry = next(one for one in report["series"] if one["name"] == names[-1])
        assert entry["windows"] == here.sum()
        same(entry["mse"], np.nanmean(residual**2), "report.json: mse", 1e-3)
        same(entry["bias"], np.nanmean(residual), "report.json: bias", 1e-3, 1e-3 * run.own[1][g])
        ratios[names[-1]] = np.nanmean(residual**2) / np.nanvar(actual)
        if entry["kept"] == entry["windows"] and entry["bins"] is not None:
            same(entry["bins"]["sd"], np.nanstd(residual), "report.json: bins.sd", 1e-3)
            assert sum(entry["bins"]["counts"]) == np.isfinite(residual).sum()
        first = residual[:, 0]
        centred = np.where(np.isfinite(first), first - np.nanmean(first), 0.0)
        if entry["correlation"] is not None:
            values = entry["correlation"]["values"]
            expected = [(centred[:-k] * centred[k:]).sum() / (centred**2).sum() for k in range(1, len(values) + 1)]
            assert values == pytest.approx(expected, rel=5e-3, abs=5e-3), "report.json: correlation"
            same(entry["correlation"]["band"], 1.96 / math.sqrt(np.isfinite(first).sum()), "report.json: band", 1e-3)
    assert (report["of"], report["windows"]) == (len(names), len(run.test))
    hardest = sorted(names, key=lambda name: -ratios[name])[:24]
    assert [one["name"] for one in report["hardest"]] == hardest
    same([one["ratio"] for one in report["hardest"]], [ratios[name] for name in hardest], "report.json: ratio", 2e-3)
