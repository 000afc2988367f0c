"""One or many series on a regular grid: times, repairs, fill, precision."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_tune.data.filling import fill_forward, values_before
from lstm_tune.data.load import load_series
from lstm_tune.data.series import mean_and_sd
from lstm_tune.errors import DataError, UsageError


def frame_of(times: Any, values: Any, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"date": times, "y": values} | columns)


def panel() -> pd.DataFrame:
    """Series b, then a, of 4 and 3 days, a with a hole."""
    return pd.DataFrame(
        {
            "shop": ["b", "b", "b", "b", "a", "a", "a"],
            "date": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-03-01", "2024-03-02", "2024-03-04"],
            "y": [1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 40.0],
        }
    )


TIMES = pd.date_range("2024-01-01", periods=6, freq="h")


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"y": range(6)}, index=TIMES),
        pd.DataFrame({"y": range(6)}, index=TIMES.to_period("h")),
        pd.DataFrame({"y": range(6), "when": TIMES}),
        pd.DataFrame({"y": range(6), "when": TIMES.astype(str)}),
        pd.DataFrame({"y": range(6), "when": TIMES.strftime("%d.%m.%Y %H:%M")}),
        pd.DataFrame({"y": range(6), "Timestamp": TIMES.as_unit("s").astype("int64")}),
        pd.DataFrame({"year": 2024, "month": 1, "day": 1, "hour": range(6), "minute": 0, "y": range(6)}),
        pd.DataFrame({"Year": 2024, "MONTH": 1, "day": 1, "hour": range(6), "y": range(6)}),
        pd.DataFrame({"y": range(6), "when": TIMES.tz_localize("UTC")}),
        pd.DataFrame({"y": range(6), "when": TIMES.astype(str) + "+00:00"}),
        pd.DataFrame({"y": range(6)}, index=pd.Index(TIMES.astype(str))),
        pd.DataFrame({"y": range(6), "when": TIMES.to_pydatetime()}, dtype=object),
    ],
)
def test_time_is_found_wherever_it_stands(frame: pd.DataFrame) -> None:
    series = load_series(frame, target="y")
    np.testing.assert_array_equal(series.times, TIMES.to_numpy())
    assert series.freq == "h"
    assert series.values.tolist() == [list(range(6))]
    assert "irregular" not in str(series.notes)


def test_year_alone_is_a_time_when_no_year_occurs_twice_in_a_series() -> None:
    years = load_series(pd.DataFrame({"YEAR": [1700, 1701, 1703], "y": [5, 6, 9]}))
    assert (years.freq, years.repaired, years.targets) == ("YS", {"gap_rows": 1}, ("y",))
    twice = pd.DataFrame({"year": [2000, 2000, 2001, 2001], "y": [5, 6, 9, 7], "id": ["a", "b"] * 2})
    assert load_series(twice, target="y").freq is None
    assert load_series(twice, target="y", id="id").freq == "YS"


def test_named_time_goes_before_every_other() -> None:
    frame = pd.DataFrame({"date": TIMES, "sent": TIMES + pd.Timedelta(days=1), "y": range(6)})
    assert load_series(frame).time_name == "date"
    assert load_series(frame, time="sent").times[0] == np.datetime64("2024-01-02")


def test_time_zone_becomes_utc_but_whole_days_keep_their_date() -> None:
    hours = pd.date_range("2024-03-30", periods=60, freq="h", tz="Europe/Berlin")
    series = load_series(frame_of(hours, range(60)))
    assert (series.freq, series.times[0]) == ("h", np.datetime64("2024-03-29T23:00"))
    assert any("UTC" in note for note in series.notes)
    days = pd.date_range("2024-03-28", periods=9, freq="D", tz="Europe/Berlin")
    series = load_series(frame_of(days, range(9)))
    assert (series.freq, series.times[0], series.repaired) == ("D", np.datetime64("2024-03-28"), {})


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["01/02/2020", "02/02/2020", "13/02/2020"], "2020-02-01"),  # only day first reads them all
        (["01/11/2020", "01/12/2020", "01/13/2020"], "2020-01-11"),  # only month first does
        (["03/02/2020", "01/03/2020", "02/03/2020"], "2020-02-03"),  # only day first keeps them in order
        ([f"01/{month:02}/{year}" for year in (2019, 2020) for month in range(1, 13)], "2019-01-01"),
    ],
)
def test_order_of_day_and_month_is_the_one_that_reads_all_or_keeps_the_order(words: list[str], first: str) -> None:
    series = load_series(frame_of(words, range(len(words))))
    assert series.times[0] == np.datetime64(first)
    assert series.freq == ("MS" if len(words) == 24 else series.freq)


def test_rows_are_sorted_by_time() -> None:
    series = load_series(frame_of(TIMES[[0, 1, 3, 2, 4, 5]], [0, 1, 3, 2, 4, 5]))
    assert series.values.tolist() == [list(range(6))]
    assert series.repaired == {"out_of_order": 1}


def test_duplicates_that_agree_are_dropped() -> None:
    series = load_series(frame_of(TIMES[[0, 1, 1, 1, 2]], [0, np.nan, np.nan, np.nan, 2]))
    assert series.n_rows == 3
    assert series.repaired["duplicates"] == 2


def test_duplicates_that_disagree_are_refused_above_one_percent() -> None:
    with pytest.raises(DataError) as caught:
        load_series(frame_of(TIMES[[0, 1, 1, 2]], [0, 1, 5, 2]))
    assert str(caught.value) == (
        "column 'date' has 1 duplicate time stamps (first 2024-01-01 01:00) with different values of 'y'; "
        "drop them or pass id="
    )
    many = pd.date_range("2024-01-01", periods=200, freq="h").insert(7, pd.Timestamp("2024-01-01 06:00"))
    series = load_series(frame_of(many, range(201)))
    assert series.repaired == {"duplicates": 1}
    assert series.values[0, 6:8].tolist() == [6, 8]
    assert "with other values" in series.notes[0]


def test_missing_rows_are_added_filled_and_not_observed() -> None:
    series = load_series(frame_of(TIMES[[0, 1, 4, 5]], [0, 1, 4, 5], x=[7, 8, 9, 10]), target="y", past="x")
    np.testing.assert_array_equal(series.times, TIMES.to_numpy())
    assert series.values.tolist() == [[0, 1, 1, 1, 4, 5]]
    assert series.observed.tolist() == [[True, True, False, False, True, True]]
    assert series.past[:, 0].tolist() == [7, 8, 8, 8, 9, 10]
    assert (series.repaired, series.missing) == ({"gap_rows": 2}, {"y": 0})


def test_irregular_time_keeps_rows_in_order_and_has_no_frequency() -> None:
    times = pd.to_datetime(60 * np.cumsum(np.arange(1, 30) ** 2), unit="s")
    series = load_series(frame_of(times, range(29)))
    assert (series.freq, series.calendar, series.n_rows) == (None, False, 29)
    assert series.repaired == {"irregular_time": 27}
    np.testing.assert_array_equal(series.times, times.to_numpy())


def test_series_are_stored_end_to_end_in_the_order_of_their_names() -> None:
    series = load_series(panel(), id="shop")
    assert (series.series, series.offsets, series.freq) == (("a", "b"), (0, 4, 8), "D")
    assert series.values.tolist() == [[10, 20, 20, 40, 1, 2, 3, 4]]
    assert series.extend_times(1).tolist() == np.array([["2024-03-05"], ["2024-01-05"]], "datetime64[ns]").tolist()


def test_poor_series_are_left_out_and_rows_without_id_are_refused() -> None:
    extra = pd.DataFrame(
        {"shop": ["c", "d", "d"], "date": ["2024-01-01", "2024-01-01", "2024-01-02"], "y": [1.0, None, None]}
    )
    series = load_series(pd.concat([panel(), extra]), id="shop")
    assert (series.series, series.repaired["series_left_out"]) == (("a", "b"), 2)
    with pytest.raises(DataError, match="1 row without an id \\(first: row 3\\)"):
        load_series(panel().assign(shop=["b", "b", None, "b", "a", "a", "a"]), id="shop")


def test_target_with_values_only_in_excluded_series_is_refused() -> None:
    frame = panel().assign(z=np.nan)
    alone = pd.DataFrame({"shop": ["c", "d"], "date": ["2024-01-01"] * 2, "y": [1.0, 2.0], "z": [5.0, 6.0]})
    with pytest.raises(DataError, match="'z' holds no value"):
        load_series(pd.concat([frame, alone]), target=["y", "z"], id="shop")


def test_rows_without_time_are_numbered_within_each_series() -> None:
    series = load_series(panel().drop(columns="date"), id="shop")
    assert series.times.tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert series.extend_times(2).tolist() == [[3, 4], [4, 5]]


def test_several_targets_keep_their_own_marks() -> None:
    series = load_series(frame_of(TIMES, [np.nan, 1, 2, 3, 4, 5], z=[9, 8, np.nan, 6, 5, 4]), target=["y", "z"])
    assert series.values.tolist() == [[1, 1, 2, 3, 4, 5], [9, 8, 8, 6, 5, 4]]
    assert series.missing == {"y": 1, "z": 1}
    assert series.repaired == {"missing_values": 2}
    assert series.values.is_contiguous()


def test_calendar_comes_last_among_the_future_covariates() -> None:
    frame = frame_of(TIMES, range(6), price=[1, 2, 3, 4, 5, 6])
    series = load_series(frame, target="y", future="price", calendar=True)
    assert series.future_names[0] == "price"
    assert series.future.shape == (6, 7)
    assert series.calendar
    assert load_series(frame, target="y", future="price", calendar=False).future_names == ("price",)


@pytest.mark.parametrize("source", [[1, 2, 3], pd.Series([1, 2, 3], index=pd.to_datetime(["2000", "2001", "2002"]))])
def test_calendar_is_refused_where_it_means_nothing(source: Any) -> None:
    assert not load_series(source).calendar
    with pytest.raises(UsageError, match="leave calendar out"):
        load_series(source, calendar=True)


def test_origin_saves_what_float32_would_lose() -> None:
    wave = np.sin(np.arange(200))
    series = load_series(1e9 + wave)
    np.testing.assert_allclose(series.values[0].numpy() + (series.origin[0] - 1e9), wave, atol=1e-6)
    assert load_series(1e3 + wave).origin == (0.0,)


@pytest.mark.parametrize("split", [(0.7, 0.1, 0.2), (0.2, 0.2, 0.6), (30, 10, 160)])
def test_origin_depends_on_the_train_rows_alone(split: tuple[float, ...]) -> None:
    wave = 1e9 + np.sin(np.arange(200))
    train = int(split[0] if split[0] > 1 else 200 * split[0])
    noise = np.concatenate([wave[:train], np.random.default_rng(0).normal(size=200 - train)])
    assert load_series(wave, split=split).origin == load_series(noise, split=split).origin != (0.0,)


def test_origin_of_a_covariate_is_that_of_the_train_rows_and_changes_no_old_fingerprint() -> None:
    small = frame_of(
        pd.date_range("2024-01-01", periods=200),
        np.sin(np.arange(200)),
        p=np.cos(np.arange(200)),
        f=np.arange(200.0) % 3,
    )
    near = load_series(small, target="y", past="p", future="f", calendar=True)
    assert not any(near.covariate_origin)
    assert near.fingerprint() == dataclasses.replace(near, covariate_origin=()).fingerprint()
    far = load_series(small.assign(p=small["p"] + 1e9, f=small["f"] - 1e12), target="y", past="p", future="f")
    np.testing.assert_allclose(far.past[:, 0].numpy() + (far.covariate_origin[0] - 1e9), small["p"], atol=1e-6)
    assert far.fingerprint() != dataclasses.replace(far, covariate_origin=(1e9, -1e12)).fingerprint()
    later = small.assign(p=np.where(np.arange(200) < 140, small["p"] + 1e9, 7.0), f=small["f"] - 1e12)
    assert load_series(later, target="y", past="p", future="f").covariate_origin == far.covariate_origin
    moved = far.with_origin((0.0,), (1e9, -1e12))
    np.testing.assert_allclose(moved.past[:, 0].numpy(), small["p"], atol=1e-6)
    np.testing.assert_allclose(moved.future[:, 0].numpy(), small["f"], atol=1e-3)


def test_head_cannot_reach_later_rows() -> None:
    series = load_series(panel(), id="shop")
    head = series.head([2, 7])
    assert head.values.tolist() == [[10, 20, 1, 2, 3]]
    assert head.offsets == (0, 2, 5)
    assert head.values.untyped_storage().nbytes() == 5 * 4
    assert head.times.base is None
    assert head.times.tolist() == series.times[[0, 1, 4, 5, 6]].tolist()


@pytest.mark.parametrize("ends", [[2], [0, 6], [5, 6], [2, 4], [2, 9]])
def test_head_refuses_ends_outside_the_series(ends: list[int]) -> None:
    with pytest.raises(UsageError, match="end"):
        load_series(panel(), id="shop").head(ends)


def test_extending_by_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="steps must be at least 1"):
        load_series([1, 2]).extend_times(0)


def test_fingerprint_changes_with_every_part() -> None:
    frame = frame_of(TIMES, [0.0, 1, 2, 3, 4, 5], x=[1.0, 2, 3, 4, 5, 6])
    base = load_series(frame, target="y", past="x").fingerprint()
    assert load_series(frame, target="y", past="x").fingerprint() == base
    others = [
        load_series(frame, target="y", future="x"),
        load_series(frame, target="y"),
        load_series(frame, target="x", past="y"),
        load_series(frame.replace({"y": {5.0: 5.5}}), target="y", past="x"),
        load_series(frame.replace({"x": {6.0: 6.5}}), target="y", past="x"),
        load_series(frame.rename(columns={"x": "z"}), target="y", past="z"),
    ]
    assert len({base, *(other.fingerprint() for other in others)}) == 7


def test_fingerprint_changes_with_the_time_stamps_and_one_of_an_old_version_does_not() -> None:
    frame = frame_of(TIMES, [0.0, 1, 2, 3, 4, 5])
    first = load_series(frame, target="y")
    later = load_series(frame.assign(date=frame["date"] + pd.Timedelta(days=7)), target="y")
    coarser = load_series(frame.assign(date=pd.date_range("2024-01-01", periods=6, freq="7D")), target="y")
    unnamed = load_series(frame.drop(columns="date"), target="y")
    assert len({series.fingerprint() for series in (first, later, coarser, unnamed)}) == 4
    assert first.fingerprint(times=False) == later.fingerprint(times=False)
    for series in (first, later):
        assert series.has_fingerprint(first.fingerprint(times=False))
    assert first.has_fingerprint(first.fingerprint())
    assert not later.has_fingerprint(first.fingerprint())


maybe = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))
lengths = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@given(st.data(), lengths)
def test_fill_agrees_with_pandas(data: st.DataObject, sizes: list[int]) -> None:
    count = sum(sizes)
    values = np.array(data.draw(st.lists(maybe, min_size=count, max_size=count)), dtype=np.float64)
    if np.isnan(values).all():
        return
    codes = np.repeat(np.arange(len(sizes)), sizes)
    before = np.arange(len(sizes)) + 0.5
    expected = pd.Series(values).groupby(codes).ffill().fillna(pd.Series(before[codes]))
    filled = fill_forward(values, np.isfinite(values), (0, *np.cumsum(sizes).tolist()), before.tolist())
    np.testing.assert_array_equal(filled, expected)


def test_what_stands_before_the_first_value_is_the_median_of_the_early_train_rows() -> None:
    nan = np.nan
    values = np.array([nan, 1, 2, 30, 40, 50, nan, nan, nan, 7, 8, 900, nan, nan, nan, nan, nan, nan])
    offsets, train = (0, 6, 12, 18), [(0, 6), (6, 11), (12, 17)]
    before = values_before(values, np.isfinite(values), offsets, train)
    # A third of the train rows; else all of them; else those of the other series.
    assert before == (1.0, 7.5, 4.25)
    assert values_before(values, np.isfinite(values), offsets, [(0, 1), (6, 8), (12, 13)]) is None


@given(st.dictionaries(st.integers(0, 60), st.floats(-1e6, 1e6, width=32), min_size=9, max_size=40), st.randoms())
def test_observed_values_survive_at_their_time_stamp(values: dict[int, float], random: Any) -> None:
    rows = list(values.items())
    random.shuffle(rows)
    times = np.datetime64("2024-01-01", "ns") + np.array([row for row, _ in rows]) * np.timedelta64(1, "h")
    try:
        series = load_series(frame_of(times, [value for _, value in rows]))
    except DataError:  # the rows that decide on the grid leave nothing that varies
        return
    if "off_grid" in series.repaired:
        return
    there = series.observed[0].numpy()
    got = series.values[0].double().numpy()[there] + series.origin[0]
    expected = dict(zip(times.tolist(), (value for _, value in rows), strict=True))
    assert series.times[there].tolist() == sorted(expected)
    np.testing.assert_allclose(got, [expected[time] for time in sorted(expected)], atol=1e-1 if series.origin[0] else 0)


# ---- what is read in stretches, and times that are not kept


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 9))
def test_mean_and_deviation_of_parts_are_those_of_the_whole(data: st.DataObject, columns: int) -> None:
    sizes = data.draw(st.lists(st.integers(0, 7), min_size=1, max_size=6).filter(any))
    x = 5 + 3 * torch.from_numpy(np.random.default_rng(sum(sizes)).normal(size=(sum(sizes), columns)))
    mean, sd = mean_and_sd(torch.split(x, sizes))
    np.testing.assert_allclose(mean, x.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(sd, x.numpy().std(0), rtol=1e-9, atol=1e-12)


def test_mean_and_deviation_of_one_part_are_torchs_own_to_the_bit() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=1001))
    mean, sd = mean_and_sd([x])
    assert (float(mean), float(sd)) == (float(x.mean()), float(x.std(correction=0)))


@pytest.mark.parametrize("most", [1, 3, 100])
def test_stretches_hold_every_observed_value_once_and_in_order(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr("lstm_tune.data.series.STRETCH", most)
    series = load_series(frame_of(TIMES, [1, np.nan, 3, 4, 5, 6], x=[1.0, 2, 3, 4, 5, 6]), target="y", past="x")
    ranges = ((0, 3), (3, 3), (4, 6))
    parts = list(series.seen(0, ranges))
    assert torch.cat(parts).tolist() == [1, 3, 5, 6]
    assert max(map(len, parts)) <= most
    assert torch.cat(list(series.covariates(ranges)))[:, 0].tolist() == [1, 2, 3, 5, 6]


def test_marks_of_complete_series_take_no_memory() -> None:
    assert load_series(np.arange(1000.0)).observed.untyped_storage().nbytes() == 1
    assert load_series([1.0, np.nan, 2.0]).observed.tolist() == [[True, False, True]]


def test_source_in_single_precision_gives_what_it_gives_in_double() -> None:
    y = np.random.default_rng(0).normal(size=300).astype(np.float32) + np.float32(1e6)
    y[7] = np.nan
    one, other = load_series(y), load_series(y.astype(np.float64))
    assert one.fingerprint() == other.fingerprint()
    y[20] = 5.0  # the series is a copy: what the caller does later does not reach it
    assert one.fingerprint() == other.fingerprint()
