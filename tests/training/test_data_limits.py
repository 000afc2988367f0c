"""Holes and late starts leave fewer folds or a shorter lookback, never an error in the middle of a trial."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from series import TINY, daily, panel, series_of, task_of, wave

from lstm_tune.config import Config
from lstm_tune.data.split import make_split
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError
from lstm_tune.evaluation.score import quick_mse_scaled, score
from lstm_tune.models.baselines import Persistence
from lstm_tune.training.task import Task, build_task, make_trainer


def with_gap(first: int, end: int, rows: int = 300) -> np.ndarray:
    y = wave(rows)
    y[first:end] = np.nan
    return y


def checked(task: Task, **params: Any) -> None:
    """Every fold can be trained on and scored, at the longest lookback that the limits allow."""
    limits = task.limits
    period = "seasonal" if limits.period else "none"
    for skip, difference in (("linear", "none"), (period, period)):
        config = Config.from_params(
            TINY | {"lookback": limits.max_lookback, "skip": skip, "difference": difference} | params
        )
        for i, fold in enumerate(task.folds):
            trainer = make_trainer(task, i, config, seed=0)
            mse = quick_mse_scaled(trainer.result, task.windows, fold.epoch_windows, task.scale)
            assert math.isfinite(task.normalised(i, mse))
            assert math.isfinite(fold.reference_mse)


def test_a_fold_without_observed_values_to_score_is_left_out_and_reported() -> None:
    task = task_of(with_gap(180, 210), folds=3)  # the second block: rows 180 to 209
    assert [fold.segment.score for fold in task.folds] == [((210, 240),), ((150, 180),)]
    assert task.notes == (
        "folds: 3 cut to 2: too few values of 'y' were observed in the rows of the other validation blocks",
    )
    checked(task)


def test_a_long_outage_leaves_fewer_folds_and_a_shorter_lookback() -> None:
    task = task_of(with_gap(20, 205), folds=3)
    assert len(task.folds) == 1
    checked(task)
    assert task.limits.max_lookback < 50


def test_a_target_that_starts_late_leaves_fewer_folds() -> None:
    late = wave(300, period=5, seed=1)
    late[:170] = np.nan
    task = task_of(daily(wave(300), z=late), folds=3, target=["y", "z"])
    assert len(task.folds) == 1
    assert "'z'" in task.notes[0]
    checked(task)


def test_a_target_that_is_constant_in_an_earlier_block_is_not_fitted_there() -> None:
    y = wave(300)
    y[:130] = 0.0
    task = task_of(y, folds=4)
    assert [fold.segment.fit[0][1] for fold in task.folds] == [210, 180, 150]


def test_rows_without_holes_keep_their_folds_and_half_of_the_rows_as_lookback() -> None:
    task = task_of(wave(300), folds=3)
    assert len(task.folds) == 3
    assert task.notes == ()
    assert task.limits.max_lookback == (150 - (2 + 7)) // 2  # the oldest fold fits on 150 rows; a season of 7


def test_train_rows_that_leave_no_window_are_refused_in_one_line() -> None:
    y = wave(300)
    y[2:210] = np.nan
    with pytest.raises(DataError, match="the rows to train on hold too few observed values of a target"):
        task_of(y, horizon=1, folds=3)


@settings(max_examples=12, deadline=None)
@given(
    gaps=st.lists(st.tuples(st.integers(0, 239), st.integers(1, 200)), max_size=3),
    late=st.integers(0, 200),
    scattered=st.floats(0, 0.9),
    horizon=st.sampled_from([1, 3, 12]),
    folds=st.integers(1, 4),
)
def test_any_holes_leave_folds_that_can_be_trained_and_scored_or_one_clear_refusal(
    gaps: list[tuple[int, int]], late: int, scattered: float, horizon: int, folds: int
) -> None:
    y, z = wave(300), wave(300, period=5, seed=1)
    for first, length in gaps:
        y[first : first + length] = np.nan
    z[:late] = np.nan
    z[np.random.default_rng(0).random(300) < scattered] = np.nan
    try:
        data = series_of(daily(y, z=z), target=["y", "z"])
        task = task_of(data, horizon=horizon, folds=folds)
    except DataError:
        return
    checked(task)


def test_batch_is_bounded_by_the_windows_of_all_series_and_not_of_the_shortest() -> None:
    alone = task_of(wave(400)).limits
    many = task_of(panel(*(wave(400, seed=i) for i in range(3))), target="y", id="shop").limits
    assert many.max_batch_size == 3 * alone.max_batch_size


def test_a_series_that_is_too_short_to_train_on_is_scored_in_units_of_its_own_size() -> None:
    every = (wave(60), 1e6 + 1e4 * wave(17), 2 * wave(70))
    data = series_of(panel(*every), target="y", id="shop")
    split = make_split(data, "last:8,8", 8)
    task, windows = build_task(data, split, 8), Windows(data, 8)
    assert windows.counts(windows.positions(split.train, 0, reach_back=False))[0].tolist() == [37, 2, 47]
    positions = windows.positions(split.test, 0, reach_back=True)
    found = score(Persistence(horizon=8), windows, positions, task.scale)
    expected = [np.mean((y[-8:] - y[-9]) ** 2) for y in every]
    assert found.series_mse[0] == pytest.approx(expected, rel=1e-3)
    spreads = [y[:rows].std() for y, rows in zip(every, (44, 9, 54), strict=True)]
    assert found.mse_scaled == pytest.approx(np.mean(np.array(expected) / np.square(spreads)), rel=1e-3)
