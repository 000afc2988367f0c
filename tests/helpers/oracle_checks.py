"""The parts of `result.json`, and `forecast.csv`, each compared with what the oracle finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import oracle_baselines as simple
import pandas as pd
import pytest
from oracle import BASELINES, CLOSE, Errors, Finished, per_target, same
from oracle_data import Array, Window, target_of, windows_of


def check_data(run: Finished) -> None:
    """Rows, series, columns, split, missing values and season."""
    data, table = run.record["data"], run.table
    assert data["rows"] == sum(map(len, table.series))
    assert (data["series"], data["channels"]) == (len(table.series), run.channels)
    assert (data["target"], data["horizon"], data["period"]) == (list(table.targets), run.horizon, run.period)
    assert data["missing"] == table.missing
    gaps = sum(map(len, table.series)) - (run.frame_rows or sum(map(len, table.series)))
    assert data["repaired"].get("gap_rows", 0) == gaps
    assert data["repaired"].get("missing_values", 0) >= sum(table.missing.values())
    for name in ("train", "val", "test"):
        part = data["split"][name]
        ends = [(s.times[a], s.times[b - 1], b - a) for s, (a, b) in zip(table.series, run.parts[name], strict=True)]
        assert part["rows"] == sum(n for *_, n in ends)
        assert part["start"] == _label(min(first for first, *_ in ends))
        assert part["end"] == _label(max(last for _, last, _ in ends))


def _label(time: Any) -> str:
    return str(time) if np.issubdtype(type(time), np.integer) else str(np.datetime64(time, "D"))


def check_test_scores(run: Finished) -> None:
    """The test MSE and its kin, from the saved weights."""
    test, found = run.record["test"], run.tested(run.ahead)
    assert test["windows"] == len(run.test)
    same(test["mse"], per_target(run, found.mse), "test.mse")
    same(test["rmse"], per_target(run, np.sqrt(found.mse)), "test.rmse")
    same(test["mae"], per_target(run, found.each(lambda e, y: np.mean(np.abs(e)))), "test.mae")
    r2 = found.each(lambda e, y: 1 - np.mean(e**2) / y.var())
    same(test["r2"], per_target(run, r2), "test.r2", floor=1e-3)
    same(test["mse_scaled"], found.mse_scaled, "test.mse_scaled")
    assert run.record["metric"] == {"name": "mse", "test_score": test["mse_scaled"]}
    assert run.record["best"]["val_score"] == run.record["best"]["val_mse_scaled"]
    same(test["per_step_mse"], found.per_step.tolist(), "test.per_step_mse")
    compare_metrics(run, run.test, run.ahead, test["metrics"], "test.metrics")


def compare_metrics(
    run: Finished, windows: Sequence[Window], ahead: Array, found: dict[str, Any], what: str, rel: float = CLOSE
) -> None:
    """The mean over the series of each metric, by its definition."""
    lag = run.period or 1
    expected: dict[str, list[float]] = {name: [] for name in found}
    for channel in range(run.channels):
        each: dict[str, list[float]] = {name: [] for name in found}
        for s, series in enumerate(run.table.series):
            own = [i for i, w in enumerate(windows) if (w.channel, w.series) == (channel, s)]
            if not own:
                continue
            y = np.stack([target_of(run.table, windows[i], run.horizon)[0] for i in own])
            seen = np.stack([target_of(run.table, windows[i], run.horizon)[1] for i in own]).astype(bool)
            y, forecast = y[seen], ahead[own][seen]
            a, b = run.parts["train"][s]
            change = series.values[channel, a + lag : b] - series.values[channel, a : b - lag]
            change = change[series.seen[channel, a + lag : b] & series.seen[channel, a : b - lag]]
            mse, mae = np.mean((y - forecast) ** 2), np.mean(np.abs(y - forecast))
            each["mse"].append(mse)
            each["rmse"].append(math.sqrt(mse))
            each["mae"].append(mae)
            each["mase"].append(mae / np.mean(np.abs(change)))
            each["rmsse"].append(math.sqrt(mse / np.mean(change**2)))
            each["wape"].append(np.sum(np.abs(y - forecast)) / np.sum(np.abs(y)))
            each["smape"].append(np.mean(np.abs(y - forecast) / (np.abs(y) + np.abs(forecast))))
        for name, values in each.items():
            expected[name].append(float(np.mean(values)))
    for name, values in expected.items():
        same(found[name], per_target(run, np.array(values)), f"{what}.{name}", rel)


def check_baselines(run: Finished) -> None:
    """Validation and test MSE of the simple forecasts, and the skill against each."""
    val = list(windows_of(run.table, run.parts["val"], run.horizon, 0, reach_back=True))
    assert tuple(run.record["baselines"]) == tuple(run.record["skill"]) == BASELINES
    for name in BASELINES:
        entry = run.record["baselines"][name]
        ahead = run.baseline(name, val, run.parts["train"])
        validated = Errors.of(run, val, ahead)
        tested_ahead = run.baseline(name, run.test, run.parts["fit"])
        tested = run.tested(tested_ahead)
        # The package solves the ridge from moments of float32 windows; the combination holds it.
        rel = 5e-3 if name in ("ridge", "combination") else CLOSE
        same(entry["val_mse"], per_target(run, validated.mse), f"{name}.val_mse", rel)
        same(entry["val_mse_scaled"], validated.mse_scaled, f"{name}.val_mse_scaled", rel)
        same(entry["test_mse"], per_target(run, tested.mse), f"{name}.test_mse", rel)
        same(entry["test_mse_scaled"], tested.mse_scaled, f"{name}.test_mse_scaled", rel)
        assert (entry["val_score"], entry["test_score"]) == (entry["val_mse_scaled"], entry["test_mse_scaled"])
        same(entry["per_step_mse"], tested.per_step.tolist(), f"{name}.per_step_mse", 2 * rel)
        compare_metrics(run, run.test, tested_ahead, entry["test_metrics"], f"{name}.test_metrics", rel)
        skill = 1 - run.record["test"]["mse_scaled"] / entry["test_mse_scaled"]
        same(run.record["skill"][name], skill, f"skill.{name}", 1e-9)


def check_intervals(run: Finished) -> None:
    """`ci95` is an interval of the MSE in the MSE's unit; `skill_ci95` one of each skill."""
    own = run.tested(run.ahead)
    error, count = own.window_sums
    pooled = run.channels == 1  # then `ci95` is that of the MSE, to which a series adds more the more it varies
    raw = error * run.own[1][own.group] ** 2 if pooled else error
    test = run.record["test"]
    estimate = test["mse"] if run.channels == 1 else test["mse_scaled"]
    blocks = simple.time_blocks(run.test_times, max(4 * run.horizon, run.period or 1))
    low, high = simple.interval([(1, raw)], count, 0 * own.group if pooled else own.group, blocks)
    same(test["ci95"], [estimate * low, estimate * high], "test.ci95", 1e-2)
    for name, interval in run.record["skill_ci95"].items():
        if len(blocks) < 3:
            assert interval is None
            continue
        other = run.tested(run.baseline(name, run.test, run.parts["fit"])).window_sums[0]
        low, high = simple.interval([(1, error), (-1, other)], count, own.group, blocks)
        ratio = 1 - run.record["skill"][name]
        same([1 - x for x in reversed(interval)], [ratio * low, ratio * high], f"skill_ci95.{name}", 1e-2)


def check_retrain(run: Finished) -> None:
    """What each seed alone scores, their mean and their spread."""
    retrain, k = run.record["retrain"], len(run.record["ensemble"])
    members, seeds = run.model.members, retrain["seeds"]
    assert len(members) == k * len(seeds)
    assert [entry["seed"] for entry in seeds] == list(range(run.seed, run.seed + len(seeds)))
    assert run.record["env"]["seed"] == run.record["settings"]["seed"] == run.seed
    assert retrain["rows"] == "train+val"
    scaled = []
    for i, entry in enumerate(seeds):
        found = run.tested(run.forecast_of(run.model.of(*members[i * k :][:k]), run.test))
        scaled.append(found.mse_scaled)
        same(entry["mse"], per_target(run, found.mse), f"retrain.seeds[{i}].mse")
        same(entry["mse_scaled"], found.mse_scaled, f"retrain.seeds[{i}].mse_scaled")
    same(retrain["mean"], np.mean(scaled), "retrain.mean")
    if len(scaled) > 1:
        same(retrain["sd"], np.std(scaled, ddof=1), "retrain.sd", 1e-2, 1e-6)
    else:
        assert retrain["sd"] is None


def check_network_alone(run: Finished) -> None:
    """The weight of the trained members, and what their mean scores without the untrained ones."""
    found, listed = run.record["network_alone"], run.record["ensemble"]
    seeds = len(run.record["retrain"]["seeds"])
    trained = tuple(m for m, entry in zip(run.model.members, listed * seeds, strict=True) if entry["epochs"])
    whole = sum(m.weight for m in run.model.members)
    same(found["weight"], sum(m.weight for m in trained) / whole, "network_alone.weight", 0.0, 6e-5)
    if not trained:
        assert (found["test_mse"], found["test_mse_scaled"]) == (None, None)
        return
    part = run.model.of(*trained)
    tested = run.tested(run.forecast_of(part, run.test))
    same(found["test_mse"], per_target(run, tested.mse), "network_alone.test_mse")
    same(found["test_mse_scaled"], tested.mse_scaled, "network_alone.test_mse_scaled")
    assert found["test_score"] == found["test_mse_scaled"]


def check_train_mean(run: Finished) -> None:
    """What always forecasting the mean of each series' own train rows scores."""
    found, mean = run.record["train_mean"], run.own[0]
    tested = run.tested(np.stack([np.repeat(mean[run.table.group(w)], run.horizon) for w in run.test]))
    same(found["test_mse"], per_target(run, tested.mse), "train_mean.test_mse")
    same(found["test_mse_scaled"], tested.mse_scaled, "train_mean.test_mse_scaled")
    same(found["skill"], 1 - run.record["test"]["mse_scaled"] / tested.mse_scaled, "train_mean.skill")
    assert found["test_score"] == found["test_mse_scaled"]


def check_timing(run: Finished) -> None:
    """Rates from seconds and counts."""
    timing, trials = run.record["timing"], run.study.trials
    seconds = timing["seconds"]
    assert seconds["total"] >= max(seconds[phase] for phase in ("data", "study", "retrain", "test"))
    same(timing["trials_per_hour"], 3600 * len(trials) / seconds["study"], "trials_per_hour", 0.02, 0.2)
    trained = [t.user_attrs for t in trials if t.value is not None and "same_as_trial" not in t.user_attrs]
    busy = math.fsum(attrs["seconds"] for attrs in trained)
    if busy > 0.05:
        rate = sum(attrs["samples"] for attrs in trained) / busy
        same(timing["samples_per_second"], rate, "samples_per_second", 0.02)


def check_decomposition(run: Finished) -> None:
    """Theil's parts of the test MSE, in all and for each step."""
    found, tested = run.record["decomposition"], run.tested(run.ahead)
    names = ["mse_scaled", "bias2", "variance", "rest", "bias", "spread"]

    def parts(step: int | None) -> dict[str, float]:
        each = []
        for c in range(run.channels):
            here = (tested.channel == c)[:, None] & np.isfinite(tested.actual)
            if step is not None:
                here[:, [h for h in range(run.horizon) if h != step]] = False
            mean, sd = (np.broadcast_to(x[tested.group, None], here.shape)[here] for x in run.own)
            group = np.broadcast_to(tested.group[:, None], here.shape)[here]
            weight = 1 / np.array([np.sum(group == g) for g in group])  # each series alike
            each.append(simple.theil((tested.ahead[here] - mean) / sd, (tested.actual[here] - mean) / sd, weight))
        return {name: float(np.mean([part[name] for part in each])) for name in names}

    assert (found["windows"], found["of"]) == (len(run.test), len(run.test))
    whole = parts(None)
    for name in names:
        same(found[name], whole[name], f"decomposition.{name}", 2e-3, 2e-5)
    for name in names[:4]:
        steps = [parts(step)[name] for step in range(run.horizon)]
        same(found["per_step"][name], steps, f"decomposition.per_step.{name}", 2e-3, 2e-5)


def check_in_sample(run: Finished) -> None:
    """The MSE on windows of train and validation rows, of the model and of the simple forecasts."""
    found, fit = run.record["in_sample"], run.parts["fit"]
    windows = list(windows_of(run.table, fit, run.horizon, max(run.context, run.longest_lookback), reach_back=False))
    assert found["windows"] == len(windows) <= 768
    own = Errors.of(run, windows, run.forecast_of(run.model, windows))
    same(found["mse_scaled"], own.mse_scaled, "in_sample.mse_scaled", 1e-3)
    for name in BASELINES:
        expected = Errors.of(run, windows, run.baseline(name, windows, fit)).mse_scaled
        same(found["baselines"][name], expected, f"in_sample.baselines.{name}", 5e-3)


def check_forecast_csv(run: Finished) -> None:
    """`forecast.csv`: every test window and step, in order, in the targets' own units."""
    csv = pd.read_csv(run.folder / "forecast.csv", dtype={"time": str, "series": str})
    assert list(csv.columns) == ["time", "series", "step", "actual", "forecast"]
    several, rows = run.channels > 1, []
    for w, ahead in zip(run.test, run.ahead, strict=True):
        series, target = run.table.series[w.series], run.table.targets[w.channel]
        name = " ".join(filter(None, (series.name, target if several else ""))) or target
        values, seen = target_of(run.table, w, run.horizon)
        for h in range(run.horizon):
            time = _label(series.times[w.row + h])
            rows.append((time, name, h + 1, values[h] if seen[h] else np.nan, ahead[h]))
    expected = pd.DataFrame(rows, columns=list(csv.columns))
    for name in ("time", "series", "step"):
        assert csv[name].tolist() == expected[name].tolist(), f"forecast.csv: {name}"
    assert csv["actual"].to_numpy() == pytest.approx(expected["actual"].to_numpy(), rel=1e-6, nan_ok=True)
    assert csv["forecast"].to_numpy() == pytest.approx(
        expected["forecast"].to_numpy(), rel=1e-5, abs=2e-5 * run.sd.min()
    )
