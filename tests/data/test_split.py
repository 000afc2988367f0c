"""Which rows are trained on, validated on and tested on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from series import daily, panel, series_of, wave

from lstm_tune.data.folds import rolling_folds
from lstm_tune.data.split import Split, make_split
from lstm_tune.data.split_rule import parse_split
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("text", "parts"),
    [("0.7,0.1,0.2", (0.7, 0.1, 0.2)), (" 100, 20 ,30", (100, 20, 30)), ("5e-1,.25,.25", (0.5, 0.25, 0.25))],
)
def test_split_is_read_as_counts_or_fractions(text: str, parts: tuple[float, ...]) -> None:
    assert parse_split(text).numbers == parts
    assert [type(p) for p in parse_split(text).numbers] == [type(p) for p in parts]


@pytest.mark.parametrize(
    "text", ["", "0.7,0.3", "a,b,c", "1,2,3,4", "last:1,2,3", "last:1", "2024-13-01,2024-14-01", "2024-01-01,x"]
)
def test_text_that_is_no_split_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="three row counts or three fractions"):
        parse_split(text)


def test_fractions_take_all_rows_and_counts_leave_the_rest_out() -> None:
    data = series_of(wave(103))
    assert make_split(data, (0.7, 0.1, 0.2), 2) == Split(train=((0, 72),), val=((72, 82),), test=((82, 103),))
    assert make_split(data, (50, 20, 10), 2) == Split(train=((0, 50),), val=((50, 70),), test=((70, 80),))


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(30, 300), a=st.integers(2, 8), b=st.integers(1, 7), horizon=st.integers(1, 3))
def test_parts_follow_each_other_and_share_no_row(rows: int, a: int, b: int, horizon: int) -> None:
    if a + b > 9:
        return
    split = make_split(series_of(wave(rows)), (a / 10, b / 10, (10 - a - b) / 10), horizon)
    ((start, end),), ((val_start, val_end),), ((test_start, test_end),) = split.train, split.val, split.test
    assert (start, end, val_end, test_end) == (0, val_start, test_start, rows)
    assert end - start >= horizon + 2
    assert min(val_end - val_start, test_end - test_start) >= horizon
    assert split.final.fit == ((0, val_end),)
    assert split.final.score == split.test
    assert split.ends() == ((val_end,), (rows,))


@pytest.mark.parametrize(
    ("parts", "horizon", "error", "words"),
    [
        ((0.7, 0.3), 1, UsageError, "three parts"),
        ((0.7, 0.1, 0.1), 1, UsageError, "add up to 1"),
        ((0.7, 0.3, 0), 1, UsageError, "above 0"),
        ((0.7, 0.4, -0.1), 1, UsageError, "above 0"),
        ((60, 20, 21), 1, DataError, "needs 101 rows, but the series has 100"),
        ((0.7, 0.1, 0.2), 11, DataError, "at least 13, 11 and 11 rows at horizon 11"),
        ((0.7, 0.1, 0.2), 0, UsageError, "horizon must be at least 1"),
        ((98, 1, 1), 2, DataError, "shorter horizon or another split"),
    ],
)
def test_wrong_parts_are_refused(parts: tuple[float, ...], horizon: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        make_split(series_of(wave(100)), parts, horizon)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("rows", "name"), [((0, 70), "train"), ((70, 80), "validation"), ((80, 100), "test")])
def test_part_without_an_observed_target_is_refused(rows: tuple[int, int], name: str) -> None:
    y = np.stack([wave(100), wave(100)], axis=1)
    y[slice(*rows), 1] = np.nan
    with pytest.raises(DataError, match=f"'y1' has no observed value in the {name} rows"):
        make_split(series_of(y), (0.7, 0.1, 0.2), 1)


def test_train_rows_that_are_all_equal_are_refused() -> None:
    y = wave(100)
    y[:70] = 3.0
    with pytest.raises(DataError, match=r"one and the same value \(3\) in all train rows"):
        make_split(series_of(y), (0.7, 0.1, 0.2), 1)


def test_each_series_is_split_on_its_own_and_one_that_lacks_a_part_is_tested_alone() -> None:
    data = series_of(panel(wave(100), wave(10), wave(4)).drop(columns="date"), target="y", id="shop")
    split = make_split(data, (0.5, 0.2, 0.3), 1)
    assert split.train == ((0, 50), (100, 105), (110, 113))
    assert split.val == ((50, 70), (105, 107), (113, 113))
    assert split.test == ((70, 100), (107, 110), (113, 114))
    assert split.notes == ("1 of 3 series have too few rows to validate on: they are only trained and tested on: 'c'",)


def test_series_with_a_row_before_a_window_of_test_rows_are_tested_on_and_others_left_out() -> None:
    data = series_of(panel(*map(wave, (60, 17, 9, 8))).drop(columns="date"), target="y", id="shop")
    split = make_split(data, "last:8,8", 8)
    assert split.train == ((0, 44), (60, 69), (77, 78), (86, 86))
    assert split.val == ((44, 52), (69, 69), (78, 78), (86, 86))
    assert split.test == ((52, 60), (69, 77), (78, 86), (86, 86))
    trained, tested, left_out = split.notes
    windows = Windows(data, 8, period=1)
    counts = windows.counts(windows.positions(split.train, 1, reach_back=False))
    assert counts.tolist() == [[36, 1, 0, 0]]
    assert trained == "1 of 4 series have too few rows to validate on: they are only trained and tested on: 'b'"
    assert tested == "1 of 4 series have too few rows to train or validate on: they are only tested on: 'c'"
    assert left_out == "1 of 4 series are left out, since a part of their rows is too short: 'd'"


def test_rows_that_hold_no_window_to_learn_from_do_not_leak() -> None:
    frames = [
        daily(wave(rows), start=str(pd.Timestamp("2024-03-01") - pd.Timedelta(days=rows))) for rows in (60, 60, 12)
    ]
    data = series_of(pd.concat([frame.assign(shop=f"s{i}") for i, frame in enumerate(frames)]), target="y", id="shop")
    split = make_split(data, "last:8,8", 8)
    assert split.train[2] == (120, 124)
    assert split.overlap is None


def test_counts_must_fit_into_every_series() -> None:
    data = series_of(panel(wave(100), wave(60)), target="y", id="shop")
    with pytest.raises(DataError, match="the shortest series has 60"):
        make_split(data, (50, 10, 10), 1)


# ---- folds


def test_folds_move_the_border_back_by_the_validation_rows() -> None:
    data = series_of(wave(100))
    split = make_split(data, (60, 10, 30), 2)
    newest, older, oldest = rolling_folds(data, split, 3, 2)
    assert newest == split.development
    assert (older.fit, older.score) == (((0, 50),), ((50, 60),))
    assert (oldest.fit, oldest.score) == (((0, 40),), ((40, 50),))


def test_folds_end_where_a_third_of_the_train_rows_is_left() -> None:
    data = series_of(wave(100))
    split = make_split(data, (60, 10, 30), 2)
    folds = rolling_folds(data, split, 99, 2)
    assert [f.fit[0][1] for f in folds] == [60, 50, 40, 30, 20]
    assert len(rolling_folds(data, split, 99, 12)) == 4  # two horizons must be left
    assert len(rolling_folds(data, split, 1, 2)) == 1


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.integers(30, 90), min_size=1, max_size=3), count=st.integers(1, 6))
def test_no_fold_scores_a_row_that_it_fits_on_or_a_test_row(rows: list[int], count: int) -> None:
    data = series_of(panel(*(wave(n) for n in rows)).drop(columns="date"), target="y", id="shop")
    split = make_split(data, (0.6, 0.2, 0.2), 2)
    for fold in rolling_folds(data, split, count, 2):
        for (a, b), (c, d), (start, _), (test_start, _) in zip(
            fold.fit, fold.score, split.train, split.test, strict=True
        ):
            assert start == a <= b == c <= d <= test_start
            assert (a < b) == (c < d)


def test_frame_with_time_is_split_in_the_order_of_time() -> None:
    frame = daily(np.arange(100.0)).sample(frac=1, random_state=0)
    data = series_of(frame)
    ((a, b),) = make_split(data, (0.7, 0.1, 0.2), 1).test
    assert data.values[0, a:b].tolist() == list(range(80, 100))
