"""Units: data in other units give the same model, forecasts in those units, and MSEs in their squares."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exported import check_exported
from law_studies import KINDS, Kind, run_kind
from oracle import Finished, numbers_of, same
from oracle_model import read_tensors

pytestmark = [pytest.mark.laws, pytest.mark.slow]

SCALED = ("one series, split by shares, folds", "holes", "covariates", "two targets", "panel")


def scaled(kind: Kind, by: float) -> Kind:
    """Return a kind of data with its targets multiplied by a power of two, which rounds nothing."""
    names = [name for name in ("y", "z") if name in kind.frame]
    return dataclasses.replace(kind, frame=kind.frame.assign(**{name: kind.frame[name] * by for name in names}))


@pytest.mark.parametrize("name", SCALED)
def test_data_times_c_give_forecasts_times_c_and_mses_times_c_squared(
    study_of: Callable[[str], Finished], name: str, tmp_path: Path
) -> None:
    by = 64.0
    before, after = study_of(name), run_kind(scaled(KINDS[name], by), tmp_path)
    # Folds count in units of exponential smoothing, whose optimizer stops a little elsewhere in other units.
    values = [[t.value for t in run.study.trials] for run in (before, after)]
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    one, other = (read_tensors(run.folder / "model" / "weights.safetensors") for run in (before, after))
    for tensor in one:
        factor: Any = by if tensor.endswith((".center", ".scale")) else 1.0
        if tensor.endswith(".usual_spread"):
            factor = np.array([1.0, by])  # in units of the size of a series, and of the targets
        if tensor == "intervals":  # of a single series in the targets' unit; networks are trained again for them
            factor = by if len(before.table.series) == 1 else 1.0
            assert other[tensor] == pytest.approx(one[tensor] * factor, rel=1e-3)
            continue
        assert np.array_equal(other[tensor], one[tensor] * factor), tensor
    csvs = [pd.read_csv(run.folder / "forecast.csv") for run in (before, after)]
    for column in ("actual", "forecast"):
        close = pytest.approx(csvs[0][column].to_numpy() * by, rel=1e-5, nan_ok=True)
        assert csvs[1][column].to_numpy() == close
    parts = ("best", "test", "retrain", "baselines", "skill", "skill_ci95", "decomposition", "in_sample", "ensemble")
    numbers, found = (numbers_of({part: run.record[part] for part in parts}) for run in (before, after))
    for path, number in numbers.items():
        power = power_of(path, several=before.channels > 1)
        same(
            found[path],
            number * by**power,
            ".".join(path),
            1e-2 if path[:2] == ("retrain", "sd") else 2e-5,  # a difference of numbers that are almost equal
            {"ensemble": 1e-5, "skill": 1e-5, "skill_ci95": 3e-5, "decomposition": 1e-6}.get(path[0], 1e-9),
        )


@pytest.mark.study("panel, rows at the end")
def test_one_series_times_c_changes_the_units_of_that_series_alone(
    study_of: Callable[[str], Finished], tmp_path: Path
) -> None:
    name, by = "panel, rows at the end", 2.0**20
    kind, before = KINDS[name], study_of(name)
    times = np.where(kind.frame["shop"] == "a", by, 1.0)
    after = run_kind(dataclasses.replace(kind, frame=kind.frame.assign(y=kind.frame["y"] * times)), tmp_path)
    assert [t.value for t in after.study.trials] == pytest.approx([t.value for t in before.study.trials], rel=1e-5)
    one, other = (pd.read_csv(run.folder / "forecast.csv") for run in (before, after))
    factor = np.where(one["series"] == "a", by, 1.0)
    for column in ("actual", "forecast"):
        assert other[column].to_numpy() == pytest.approx(one[column].to_numpy() * factor, rel=1e-4), column
    left, right = (pd.read_csv(run.folder / "series.csv") for run in (before, after))
    squares = np.where(left["series"] == "a", by**2, 1.0)
    assert right["test_mse"].to_numpy() == pytest.approx(left["test_mse"].to_numpy() * squares, rel=1e-4)
    for column in ("test_mse_scaled", "mase", "skill_ridge", "skill_ets"):
        assert right[column].to_numpy() == pytest.approx(left[column].to_numpy(), rel=1e-4, abs=1e-4), column
    for path in (("test", "mse_scaled"), ("retrain", "mean"), ("in_sample", "mse_scaled")):
        same(after.record[path[0]][path[1]], before.record[path[0]][path[1]], ".".join(path), 1e-4)
    for name, entry in before.record["test"]["intervals"].items():
        same(after.record["test"]["intervals"][name]["80"]["coverage"], entry["80"]["coverage"], name, 0.0, 0.02)


def power_of(path: tuple[str, ...], *, several: bool) -> int:
    """Return the power of the targets' unit that a number of `result.json` is in."""
    if several and {"per_step_mse", "ci95"} & set(path):  # of several targets these are of the scaled MSE
        return 0
    if {"mse", "val_mse", "test_mse", "per_step_mse", "ci95"} & set(path):
        return 2
    if {"width", "winkler"} & set(path):
        return 0 if several else 1
    return 1 if {"rmse", "mae"} & set(path) else 0


@pytest.mark.study("one series, split by rows")
@pytest.mark.parametrize("by", [1000.0, 1e9])
def test_data_at_another_level_give_the_same_scores(
    study_of: Callable[[str], Finished], by: float, tmp_path: Path
) -> None:
    kind, before = KINDS["one series, split by rows"], study_of("one series, split by rows")
    after = run_kind(dataclasses.replace(kind, frame=kind.frame.assign(y=kind.frame["y"] + by)), tmp_path)
    same(after.record["test"]["mse"], before.record["test"]["mse"], "test.mse", 0.02)
    same(after.record["test"]["mse_scaled"], before.record["test"]["mse_scaled"], "test.mse_scaled", 0.02)
    csvs = [pd.read_csv(run.folder / "forecast.csv") for run in (before, after)]
    assert csvs[1]["actual"].mean() == pytest.approx(csvs[0]["actual"].mean() + by, rel=1e-6)
    assert csvs[1]["forecast"].mean() == pytest.approx(csvs[0]["forecast"].mean() + by, rel=1e-6)


@pytest.mark.study("panel")
def test_later_time_stamps_change_the_stamps_alone(study_of: Callable[[str], Finished], tmp_path: Path) -> None:
    kind, before = KINDS["panel"], study_of("panel")
    later = kind.frame.assign(date=kind.frame["date"] + pd.Timedelta(days=4018))
    after = run_kind(kind, tmp_path, frame=later)
    for key in ("best", "test", "baselines", "skill", "ensemble", "retrain"):
        assert before.record[key] == after.record[key], key
    times = [pd.to_datetime(pd.read_csv(run.folder / "forecast.csv")["time"]) for run in (before, after)]
    assert ((times[1] - times[0]) == pd.Timedelta(days=4018)).all()


@pytest.mark.study("covariates")
@pytest.mark.parametrize("by", [-1e6, 1e13])
def test_covariates_at_another_level_give_the_same_scores(
    study_of: Callable[[str], Finished], by: float, tmp_path: Path
) -> None:
    kind, before = KINDS["covariates"], study_of("covariates")
    moved = {"p": kind.frame["p"] + by, "f": kind.frame["f"] - by}
    after = run_kind(dataclasses.replace(kind, frame=kind.frame.assign(**moved)), tmp_path)
    for one, other in zip(before.study.trials, after.study.trials, strict=True):
        same(other.value, one.value, f"trial {one.number}", 0.02)
    same(after.record["test"]["mse_scaled"], before.record["test"]["mse_scaled"], "test.mse_scaled", 0.02)
    origins = json.loads((after.folder / "model" / "config.json").read_text())["data"]["covariate_origin"]
    assert origins == pytest.approx([by, -by], rel=1e-3)
    check_exported(kind, after)
