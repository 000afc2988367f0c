"""Several series: cut at the same times, at their ends, at dates; notes on rows that lie later; folds of each."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from series import TINY, daily, panel, series_of, wave

import lstm_tune
from lstm_tune.data.folds import rolling_folds
from lstm_tune.data.load import load_series
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split, make_split
from lstm_tune.data.split_rule import DEFAULT_SPLIT, parse_split, read_split
from lstm_tune.errors import DataError, LstmTuneWarning, UsageError


def shops(*starts_and_rows: tuple[int, int], **columns: Any) -> pd.DataFrame:
    """Daily shops a, b, …, each from its first day after 2024-01-01 on."""
    first = pd.Timestamp("2024-01-01")
    parts = [
        daily(wave(rows, seed=i), str(first + pd.Timedelta(days=start))).assign(shop=name)
        for i, (name, (start, rows)) in enumerate(zip("abcdefgh", starts_and_rows, strict=False))
    ]
    return pd.concat(parts).assign(**columns)


def cut(frame: pd.DataFrame, split: Any = DEFAULT_SPLIT, horizon: int = 1, **options: Any) -> tuple[SeriesSet, Split]:
    data = load_series(frame, target="y", id="shop", split=split, **options)
    return data, make_split(data, split, horizon)


def borders(data: SeriesSet, split: Split) -> set[tuple[str, str]]:
    """First validation and first test day of each series."""
    times = np.asarray(data.times).astype("datetime64[D]").astype(str)
    return {(times[val[0]], times[test[0]]) for val, test in zip(split.val, split.test, strict=True)}


# ---- how a split is written


def test_all_ways_to_say_a_split_are_read_and_written() -> None:
    for text in ("0.7,0.1,0.2", "8640,2880,2880", "last:48,24", "2016-07-01,2017-01-01", "100,120"):
        assert str(parse_split(text)) == text
        assert read_split("split", text) == parse_split(text)
    dates = parse_split("2016-07-01,2017-01-01")
    assert read_split("split", (dt.date(2016, 7, 1), pd.Timestamp("2017-01-01"))) == dates
    assert read_split("split", [np.datetime64("2016-07-01"), "2017-01-01"]) == dates
    assert read_split("split", (100, np.int64(120))) == parse_split("100,120")
    assert read_split("split", np.array([0.7, 0.1, 0.2])) == DEFAULT_SPLIT


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("2017-01-01,2016-07-01", "validation must begin before the test"),
        ("last:0,5", "above 0"),
        ("last:1.5,5", "whole numbers"),
        ((0.7, 0.3), "three parts"),
        (("a", "b"), "three row counts"),
        (7, "three row counts"),
    ],
)
def test_what_is_no_split_is_refused_in_one_line(split: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read_split("split", split)
    assert "\n" not in str(caught.value)


def test_dates_need_time_stamps_and_numbers_of_counted_time_are_no_dates() -> None:
    with pytest.raises(UsageError, match="the rows have no time stamps"):
        series_of(wave(100), split="2024-02-01,2024-03-01")
    counted = pd.DataFrame({"ds": np.arange(100, 200), "y": wave(100)})
    with pytest.raises(UsageError, match="time is counted in numbers; give numbers"):
        series_of(counted, time="ds", split="2024-02-01,2024-03-01")
    data = series_of(counted, time="ds", split="150,170")
    assert make_split(data, "150,170", 1).test == ((70, 100),)


# ---- where each kind cuts


def test_fractions_cut_series_that_begin_later_at_the_same_dates() -> None:
    data, split = cut(shops((0, 600), (200, 400), (200, 400), (200, 400)))
    first = pd.Timestamp("2024-01-01")
    days = tuple(str((first + pd.Timedelta(days=d)).date()) for d in (420, 480))
    assert borders(data, split) == {days}
    assert split.overlap is None


def test_dates_cut_all_series_and_a_single_one() -> None:
    data, split = cut(shops((0, 100), (30, 60)), "2024-02-20,2024-03-10")
    assert borders(data, split) == {("2024-02-20", "2024-03-10")}
    one = series_of(daily(wave(100)))
    assert make_split(one, "2024-02-20,2024-03-10", 1).val == ((50, 69),)


@pytest.mark.parametrize("split", ["2020-01-01,2020-02-01", "2030-01-01,2030-02-01"])
def test_dates_outside_of_the_data_are_refused_in_one_line(split: str) -> None:
    for frame, options in ((daily(wave(50)), {}), (shops((0, 50), (0, 40)), {"target": "y", "id": "shop"})):
        with pytest.raises(DataError, match="rows split into") as caught:
            make_split(series_of(frame, split=split, **options), split, 1)
        assert "\n" not in str(caught.value)


def test_dates_are_read_on_the_clock_of_the_data() -> None:
    times = pd.date_range("2024-01-01", periods=200, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"time": times, "y": wave(200)})
    for data in (series_of(frame, split="2024-01-05,2024-01-07"), series_of(frame)):
        split = make_split(data, "2024-01-05,2024-01-07", 1)
        assert (split.val, split.test) == (((96, 144),), ((144, 200),))


def test_rows_at_the_end_are_counted_in_each_series() -> None:
    data, split = cut(shops((0, 100), (10, 60), (40, 40)), "last:10,5")
    assert [b - a for a, b in split.val] == [10, 10, 10]
    assert [b - a for a, b in split.test] == [5, 5, 5]
    assert [b for _, b in split.test] == list(data.offsets[1:])


def test_series_that_share_too_little_time_are_cut_by_their_own_rows_and_it_is_reported() -> None:
    _, split = cut(shops(*((i * 100, 100) for i in range(5))))
    assert [b - a for a, b in split.train] == [70] * 5
    assert split.notes[0].startswith("cut at common times, 0 of 5 series would have rows of all three parts")


def test_a_series_that_begins_with_the_test_rows_is_read_and_decides_nothing() -> None:
    young = shops((0, 100), (0, 100), (0, 100)).iloc[:-86]
    young.loc[(young["shop"] == "c").to_numpy(), "date"] += pd.Timedelta(days=86)
    young = pd.concat([young.iloc[:1], young])  # a row that repeats a time stamp
    data, split = cut(young)
    assert data.freq == "D"
    assert split.train[:2] == ((0, 70), (100, 170))
    hours = young.copy()
    late = (hours["shop"] == "c").to_numpy()
    hours.loc[late, "date"] = pd.Timestamp("2024-03-27") + pd.to_timedelta(np.arange(14), unit="h")
    again, other = cut(hours)
    assert (again.freq, other.train) == ("D", split.train)


def test_rows_that_count_from_one_in_each_series_share_no_time() -> None:
    frame = pd.concat([pd.DataFrame({"ds": np.arange(1, n + 1), "y": wave(n), "shop": n}) for n in (100, 50, 80)])
    data = load_series(frame, target="y", id="shop", time="ds")
    split = make_split(data, DEFAULT_SPLIT, 1)
    assert [b - a for a, b in split.train] == [70, 35, 56]
    assert split.overlap is None
    weeks = pd.concat([pd.DataFrame({"ds": np.arange(101 - n, 101), "y": wave(n), "shop": n}) for n in (100, 50, 80)])
    shared = load_series(weeks, target="y", id="shop", time="ds")
    assert {float(np.asarray(shared.times)[a]) for a, _ in make_split(shared, DEFAULT_SPLIT, 1).test} == {81.0}


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(20, 60),
    late=st.lists(st.integers(0, 15), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    shares=st.sampled_from([(0.7, 0.1, 0.2), (0.5, 0.25, 0.25), (0.6, 0.2, 0.2)]),
)
def test_times_of_test_rows_move_no_common_border(
    rows: int, late: list[int], seed: int, shares: tuple[float, ...]
) -> None:
    frame = shops((0, rows), *((start, rows - start) for start in late))
    data, split = cut(frame, shares)
    if not split.common:
        return
    rng = np.random.default_rng(seed)
    begins = np.asarray(data.times)[[a for a, b in split.test if b > a]].min()
    moved = frame.copy()
    tested = (moved["date"] >= begins).to_numpy()
    moved.loc[tested, "date"] += pd.to_timedelta(np.sort(rng.integers(0, 4, tested.sum())).cumsum(), unit="D")
    again = make_split(load_series(moved, target="y", id="shop", split=shares), shares, 1)
    sizes = [[(b - a) for a, b in part] for part in (split.train, split.val)]
    assert [[(b - a) for a, b in part] for part in (again.train, again.val)] == sizes


# ---- what lies later in time


def test_train_rows_later_than_scored_rows_of_another_series_are_reported() -> None:
    frame = shops((0, 600), (200, 400), (200, 400), (200, 400))
    _, split = cut(frame, (280, 40, 80))
    overlap = split.overlap
    assert overlap is not None
    # shops b to d: train rows of day 200 to 479, of which 199 are later than day 280, the first that a is scored on
    # and validation rows of day 480 to 519, all of them later than day 320, the first that a is tested on
    assert (overlap.series, overlap.of, overlap.rows) == (3, 4, 3 * (199 + 40))
    assert (overlap.scored_from, overlap.trained_until) == ("2024-10-07", "2025-04-24")
    assert any("3 of 4 series have rows that are trained on" in note for note in split.notes)
    assert cut(frame, "2025-03-01,2025-05-01")[1].overlap is None
    assert cut(shops((0, 90), (0, 90)), "last:5,5")[1].overlap is None
    assert cut(shops((0, 90), (0, 80)), "last:5,5")[1].overlap is not None


def test_result_diagnosis_and_verdict_tell_of_later_train_rows() -> None:
    frame = shops((0, 160), (60, 100), (60, 100))
    asked: dict[str, Any] = {"target": "y", "id": "shop", "split": (60, 20, 20)}
    space = TINY | {"epochs": 1}
    with pytest.warns(LstmTuneWarning, match="2 of 3 series have rows that are trained on"):
        result = lstm_tune.tune(frame, n_trials=1, retrain_seeds=1, folds=1, space=space, **asked)
    assert result.record["data"]["time_overlap"]["series"] == 2
    assert [f["evidence"]["series"] for f in result.record["findings"] if f["code"] == "later_rows_trained_on"] == [2]
    assert "it may be too low" in result.record["verdict"]
    with pytest.warns(LstmTuneWarning, match="2 of 3 series"):
        found = lstm_tune.diagnose(frame, **asked)
    assert found.data["time_overlap"] == result.record["data"]["time_overlap"]
    assert "later_rows_trained_on" in {f.code for f in found.findings}
    healthy = lstm_tune.diagnose(frame, target="y", id="shop")
    assert healthy.data["time_overlap"] is None
    assert "later_rows_trained_on" not in {f.code for f in healthy.findings}


# ---- folds


def test_folds_of_series_cut_at_dates_move_all_borders_to_the_same_date() -> None:
    data, split = cut(shops((0, 100), (20, 80), (40, 60)))
    for k, fold in enumerate(rolling_folds(data, split, 3, 2)):
        ends = {str(np.asarray(data.times)[b].astype("datetime64[D]")) for a, b in fold.fit if b > a}
        assert ends == {str((pd.Timestamp("2024-01-01") + pd.Timedelta(days=70 - 10 * k)).date())}
        assert all(b - a == 10 for a, b in fold.score if b > a)


def test_a_series_too_young_for_an_earlier_fold_takes_no_part_in_it() -> None:
    data, split = cut(shops((0, 100), (0, 100), (50, 50)))
    rows = [[b - a for a, b in fold.fit] for fold in rolling_folds(data, split, 3, 2)]
    assert rows == [[70, 70, 20], [60, 60, 10], [50, 50, 0]]
    assert [b - a for a, b in rolling_folds(data, split, 3, 2)[2].score] == [10, 10, 0]


def test_folds_of_rows_at_the_end_move_back_in_each_series() -> None:
    data, split = cut(shops((0, 100), (10, 60)), "last:10,5")
    newest, older = rolling_folds(data, split, 2, 2)
    assert older.score == tuple((a - 10, a) for a, _ in newest.score)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 20), st.integers(30, 90)), min_size=2, max_size=4),
    split=st.sampled_from(["0.6,0.2,0.2", "last:6,6", "2024-02-01,2024-02-10", "18,6,6"]),
)
def test_no_fold_fits_on_a_row_after_the_ones_that_it_scores(sizes: list[tuple[int, int]], split: str) -> None:
    try:
        data, parts = cut(shops(*sizes), split, 2)
    except DataError:
        return
    times = np.asarray(data.times)
    for fold in rolling_folds(data, parts, 4, 2):
        for (a, b), (c, d), (start, _), (test_start, _) in zip(
            fold.fit, fold.score, parts.train, parts.test, strict=True
        ):
            assert start == a <= b
            assert b == c <= d <= test_start or a == b == c == d
        if parts.common:
            fitted = [times[b - 1] for a, b in fold.fit if b > a]
            scored = [times[a] for a, b in fold.score if b > a]
            assert not scored or max(fitted) < min(scored)


# ---- a study


def test_a_study_split_at_the_ends_resumes_and_its_command_names_the_split(tmp_path: Any) -> None:
    panel(wave(90), wave(60)).to_csv(tmp_path / "p.csv", index=False)
    asked: dict[str, Any] = {"target": "y", "id": "shop", "split": "last:8,8", "space": TINY | {"epochs": 1}}
    asked |= {"n_trials": 1, "retrain_seeds": 1, "folds": 2, "out": tmp_path / "run"}
    with pytest.warns(LstmTuneWarning):
        result = lstm_tune.tune(tmp_path / "p.csv", **asked)
    assert result.record["settings"]["split"] == "last:8,8"
    assert result.record["data"]["split"]["test"]["rows"] == 16
    with pytest.warns(LstmTuneWarning):
        again = lstm_tune.tune(tmp_path / "p.csv", **asked, resume=True)
    assert again.test == result.test
    with pytest.raises(lstm_tune.StudyError, match="another split"), pytest.warns(LstmTuneWarning):
        lstm_tune.tune(tmp_path / "p.csv", **(asked | {"split": "last:9,8"}), resume=True)


def test_values_of_test_rows_change_no_row_of_a_study_cut_at_dates() -> None:
    frame = shops((0, 100), (30, 60))
    noisy = frame.copy()
    late = (noisy["date"] >= "2024-03-10").to_numpy()
    noisy.loc[late, "y"] = 1e3
    one, parts = cut(frame, "2024-02-20,2024-03-10")
    other, again = cut(noisy, "2024-02-20,2024-03-10")
    assert parts == again
    for a, b in (*parts.train, *parts.val):
        assert torch.equal(one.values[:, a:b], other.values[:, a:b])


def test_observed_values_of_many_ranges_are_those_of_each() -> None:
    frame = shops(*((0, 30) for _ in range(8)))
    frame.loc[(np.arange(len(frame)) % 7 == 3), "y"] = np.nan
    data = load_series(frame, target="y", id="shop")
    ranges = [(a, min(a + length, data.n_rows)) for length, a in enumerate(range(0, 230, 9))]
    one_by_one = torch.cat([part for bounds in ranges for part in data.seen(0, [bounds])])
    assert torch.equal(torch.cat(list(data.seen(0, ranges))), one_by_one)
