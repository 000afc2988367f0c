"""Intervals: what their estimate is, how they are cut in time, and how often they hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from series import daily, panel, series_of, wave, with_holes

from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.score import Score, TargetScale, score
from lstm_tune.evaluation.significance import TimeBlocks, compare, interval
from lstm_tune.models.baselines import Persistence, SeasonalNaive


def score_of(errors: Any, counts: Any = None) -> Score:
    """A score with errors (n,) of windows alone."""
    errors = np.asarray(errors, dtype=np.float64)
    nothing: Any = ()
    return Score(
        mse=nothing,
        mae=nothing,
        r2=nothing,
        mse_scaled=math.nan,
        per_step_mse=nothing,
        window_error=errors,
        window_count=np.ones(len(errors)) if counts is None else np.asarray(counts, dtype=np.float64),
        series_mse=np.zeros((1, 1)),
        windows=len(errors),
    )


def test_interval_of_several_targets_with_holes_contains_its_own_estimate() -> None:
    y = wave(120)
    y[85:] = np.nan
    y[110] = 40.0  # one single target of the first column is scored, and it is far off
    windows = Windows(series_of(daily(y, z=wave(120, seed=1)), target=["y", "z"], keep_ahead=True), 2)
    rows = ((80, 120),)
    positions = windows.positions(rows, 0, reach_back=True)
    found = score(Persistence(horizon=2), windows, positions, TargetScale.of(windows, ((0, 80),)))
    low, high = interval(found, TimeBlocks.of(windows, positions, rows))
    assert low < found.mse_scaled < high
    assert math.sqrt(low * high) == pytest.approx(found.mse_scaled)


def test_ratio_of_a_comparison_is_that_of_the_scores() -> None:
    frame = panel(with_holes(wave(100, noise=0.5)), with_holes(wave(100, seed=1), every=4))
    frame["z"] = 50 * with_holes(wave(200, seed=2), every=5)
    windows = Windows(series_of(frame, target=["y", "z"], id="shop", keep_ahead=True), 3)
    rows = ((60, 100), (160, 200))
    positions = windows.positions(rows, 0, reach_back=True)
    scale = TargetScale.of(windows, ((0, 60), (100, 160)))
    own, other = (
        score(f, windows, positions, scale) for f in (SeasonalNaive(horizon=3, context=7), Persistence(horizon=3))
    )
    found = compare(own.window_error, other.window_error, own.window_count, TimeBlocks.of(windows, positions, rows))
    assert found.ratio == pytest.approx(own.mse_scaled / other.mse_scaled)
    assert found.low < found.ratio < found.high


@pytest.mark.parametrize(("columns", "correlation"), [(1, 0.0), (20, 0.0), (20, 0.9)])
def test_interval_holds_in_about_95_of_100_simulations(columns: int, correlation: float) -> None:
    rng = np.random.default_rng(0)
    n, horizon, held = 300, 5, 0
    place = np.tile(np.arange(n), columns)
    group = np.repeat(np.arange(columns), n)
    for _ in range(200):
        shared, own = rng.normal(size=(n + 4, 1)), rng.normal(size=(n + 4, columns))
        noise = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
        squares = np.lib.stride_tricks.sliding_window_view(noise, horizon, axis=0).sum(2) ** 2 / horizon  # mean 1
        low, high = interval(score_of(squares.T.reshape(-1)), TimeBlocks.cut(place, 20, group, columns))
        held += low <= 1 <= high
    assert 183 <= held <= 198


def test_series_that_err_together_are_no_more_evidence_than_one() -> None:
    errors = np.random.default_rng(0).exponential(size=100)
    one = interval(score_of(errors), TimeBlocks.cut(np.arange(100), 3))
    many = interval(score_of(np.tile(errors, 50)), TimeBlocks.cut(np.tile(np.arange(100), 50), 3))
    assert many == pytest.approx(one)


def test_series_are_aligned_by_time_whatever_row_they_stand_in() -> None:
    late = pd.DataFrame({"date": pd.date_range("2024-03-01", periods=60), "y": wave(60), "shop": "late"})
    early = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=120), "y": wave(120), "shop": "early"})
    windows = Windows(series_of(pd.concat([early, late]), target="y", id="shop"), 1)
    rows = ((60, 120), (120, 180))
    positions = windows.positions(rows, 0, reach_back=True)
    blocks = TimeBlocks.of(windows, positions, rows)
    times = np.asarray(windows.data.times[positions[:].numpy()])
    assert blocks.count == 8
    assert all(len(set(blocks.block[times == t])) == 1 for t in times)
    assert (np.diff(blocks.block[np.argsort(times, kind="stable")]) >= 0).all()


def test_series_without_time_stamps_are_aligned_where_their_scored_rows_begin() -> None:
    frame = pd.concat([pd.DataFrame({"y": wave(n, seed=n), "shop": str(n)}) for n in (90, 50)])
    windows = Windows(series_of(frame.reset_index(drop=True), target="y", id="shop"), 1)
    rows = ((20, 50), (110, 140))
    blocks = TimeBlocks.of(windows, windows.positions(rows, 0, reach_back=True), rows)
    assert (blocks.block[:30] == blocks.block[30:]).all()
    assert blocks.block.max() == 6


def test_series_on_shifted_grids_have_blocks_of_the_same_number_of_rows() -> None:
    parts = []
    for day in range(5):
        dates = pd.date_range("2023-01-02", periods=40, freq="7D") + pd.Timedelta(day, "D")
        parts.append(pd.DataFrame({"date": dates, "y": wave(40, seed=day), "shop": f"s{day}"}))
    windows = Windows(series_of(pd.concat(parts), target="y", id="shop"), 1)
    rows = tuple((a, a + 40) for a in range(0, 200, 40))
    blocks = TimeBlocks.of(windows, windows.positions(rows, 0, reach_back=True), rows)
    assert blocks.count == 8
    assert np.bincount(blocks.block[:40]).min() >= 4


@pytest.mark.parametrize(("windows", "count"), [(1, 1), (2, 2), (11, 2), (12, 3), (47, 3), (48, 4), (1000, 8)])
def test_blocks_are_few_and_long(windows: int, count: int) -> None:
    blocks = TimeBlocks.cut(np.arange(windows), 12)
    assert blocks.count == count
    assert len(np.unique(blocks.block)) == count


def test_too_few_windows_give_no_interval() -> None:
    one = TimeBlocks.cut(np.zeros(1, dtype=np.int64), 3)
    assert all(map(math.isnan, interval(score_of([2.0]), one)))
    two = TimeBlocks.cut(np.arange(5), 12)
    assert all(map(math.isfinite, interval(score_of(np.arange(1.0, 6.0)), two)))
    found = compare(np.arange(1.0, 6.0), np.ones(5), np.ones(5), two)
    assert (found.ratio, math.isnan(found.low), math.isnan(found.high)) == (3.0, True, True)


@pytest.mark.parametrize("wild", [math.inf, math.nan])
def test_an_error_that_is_no_number_has_no_interval(wild: float) -> None:
    errors = np.ones(40)
    errors[7] = wild
    blocks = TimeBlocks.cut(np.arange(40), 3)
    assert all(map(math.isnan, interval(score_of(errors), blocks)))
    for own, other in ((errors, np.ones(40)), (np.ones(40), errors)):
        assert math.isnan(compare(own, other, np.ones(40), blocks).low)


def test_interval_of_equal_errors_has_no_width() -> None:
    for level in (3.0, 0.0):
        assert interval(score_of(np.full(40, level)), TimeBlocks.cut(np.arange(40), 3)) == pytest.approx((level, level))
