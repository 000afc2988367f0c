"""Windows against naive loops."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from series import batch_at, daily, panel, series_of, wave, with_holes

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.windows import Positions, Windows, evenly


def shops(lengths: list[int]) -> SeriesSet:
    frame = panel(*(with_holes(wave(n, seed=n), every=5) for n in lengths))
    columns = {name: np.arange(len(frame)) * factor for name, factor in (("z", 2.0), ("p", 3.0), ("f", 5.0))}
    return series_of(frame.assign(**columns), target=["y", "z"], id="shop", past="p", future="f")


def needed(context: int, rows: int, horizon: int, series: int, reach_back: bool) -> int:
    """The rows before the first target that a window needs: of several series, a short one makes do with fewer."""
    if series == 1:
        return context
    if reach_back:
        return max(1, min(context, rows - horizon))
    return max(1, min(context, (rows - horizon) // 2)) if context else 0


lengths = st.lists(st.integers(8, 30), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(lengths=lengths, context=st.integers(0, 9), horizon=st.integers(1, 5), reach_back=st.booleans(), data=st.data())
def test_positions_agree_with_loops_and_no_window_crosses_a_border(
    lengths: list[int], context: int, horizon: int, reach_back: bool, data: st.DataObject
) -> None:
    series = shops(lengths)
    windows = Windows(series, horizon)
    ranges = []
    for a, b in itertools.pairwise(series.offsets):
        start = data.draw(st.integers(a, b)) if reach_back else a
        ranges.append((start, data.draw(st.integers(start, b))))
    expected = [
        c * series.n_rows + row
        for c in range(2)
        for (offset, _), (a, b) in zip(itertools.pairwise(series.offsets), ranges, strict=True)
        for row in range(a, b - horizon + 1)
        if row - needed(context, b - (offset if reach_back else a), horizon, len(lengths), reach_back)
        >= (offset if reach_back else a)
        and bool(series.observed[c, row : row + horizon].any())
    ]
    assert windows.positions(tuple(ranges), context, reach_back=reach_back).tolist() == expected


@settings(max_examples=40, deadline=None)
@given(
    lengths=lengths,
    context=st.one_of(st.integers(1, 7), st.just(100)),
    horizon=st.integers(1, 4),
    period=st.sampled_from([None, 3]),
)
def test_gathered_windows_agree_with_slices(lengths: list[int], context: int, horizon: int, period: int | None) -> None:
    series = shops(lengths)
    windows = Windows(series, horizon).with_period(period)
    rows = tuple(itertools.pairwise(series.offsets))
    positions = windows.positions(rows, context, reach_back=False)[:]
    if not len(positions):
        return
    batch = windows.gather(positions, context)
    for i, position in enumerate(positions.tolist()):
        channel, row = divmod(position, series.n_rows)
        one = batch_at(series, row, context, horizon, channel, period or 1)
        for name in ("history", "target", "observed", "past", "future", "channel", "group"):
            assert torch.equal(getattr(batch, name)[i], getattr(one, name)[0]), name


def test_context_in_front_of_a_series_is_left_out_when_reaching_back() -> None:
    windows = Windows(series_of(wave(20)), 2)
    assert windows.positions(((3, 20),), 5, reach_back=True).tolist() == list(range(5, 19))
    assert windows.positions(((3, 20),), 2, reach_back=True).tolist() == list(range(3, 19))


def test_batches_hold_all_windows_in_order() -> None:
    windows = Windows(series_of(wave(50)), 2)
    positions = windows.positions(((0, 50),), 4, reach_back=False)
    batches = list(windows.batches(positions, 4, 10))
    assert [len(b.target) for b in batches] == [10, 10, 10, 10, 5]
    assert torch.equal(torch.cat([b.target for b in batches]), windows.gather(positions[:], 4).target)


def test_fully_observed_series_need_no_marks() -> None:
    windows = Windows(series_of(wave(50)), 2)
    assert windows.gather(torch.tensor([10]), 3).observed is None


def test_no_covariates_are_empty_tensors() -> None:
    batch = Windows(series_of(wave(50)), 2).gather(torch.tensor([10, 12]), 3)
    assert batch.past.shape == (2, 3, 0)
    assert batch.future.shape == (2, 5, 0)


@pytest.mark.parametrize("context", [1, 400])
def test_nothing_of_size_rows_times_lookback_is_made(context: int) -> None:
    series = series_of(daily(wave(3000), p=wave(3000), f=wave(3000)), target="y", past="p", future="f")
    windows = Windows(series, 2)
    held = [v for v in vars(windows).values() if isinstance(v, torch.Tensor)]
    assert sum(t.untyped_storage().nbytes() for t in held) <= 3 * 3000 * 4 + 2 * 8  # and the borders
    positions = windows.positions(((0, 3000),), context, reach_back=False)
    kept = [v for v in vars(positions).values() if isinstance(v, torch.Tensor)]
    assert sum(t.untyped_storage().nbytes() for t in kept) <= 100
    batch = windows.gather(positions[:16], context)
    for name in ("history", "target", "past", "future"):
        assert getattr(batch, name).untyped_storage().nbytes() <= 16 * (context + 2) * 4, name


@settings(max_examples=60, deadline=None)
@given(
    observed=st.lists(st.booleans(), min_size=12, max_size=40).filter(any),
    horizon=st.integers(1, 4),
    most=st.integers(1, 50),
    data=st.data(),
)
def test_positions_take_every_index_that_their_list_takes(
    observed: list[bool], horizon: int, most: int, data: st.DataObject
) -> None:
    y = np.where([*observed, True, True], np.arange(len(observed) + 2.0), np.nan)
    windows = Windows(series_of(np.stack([y, y[::-1]], axis=1)), horizon)
    positions = windows.positions(((0, len(y)),), 1, reach_back=False)
    every = torch.tensor(positions.tolist())
    assert len(positions) == len(every)
    a, b = data.draw(st.integers(0, len(every))), data.draw(st.integers(0, len(every)))
    assert torch.equal(positions[a:b], every[a:b])
    if len(every):
        which = torch.tensor(data.draw(st.lists(st.integers(0, len(every) - 1), min_size=1)))
        assert torch.equal(positions[which], every[which])
        assert torch.equal(evenly(positions, most), evenly(every, most))


@pytest.mark.parametrize("count", [2**24 + 1, 10**8 + 1])
def test_evenly_spaced_positions_of_very_many_stay_among_them(count: int) -> None:
    chosen = evenly(Positions(torch.tensor([[7, 7 + count]])), 1000)
    assert (int(chosen[0]), int(chosen[-1])) == (7, 6 + count)
    assert int(chosen.diff().max() - chosen.diff().min()) <= 1


def test_a_sample_holds_windows_of_every_channel() -> None:
    values = np.arange(40.0)
    sparse = np.where(np.isin(np.arange(40), [0, 25, 39]), values, np.nan)
    data = series_of(pd.DataFrame({"a": values, "b": values, "c": sparse}), target=["a", "b", "c"])
    windows = Windows(data, horizon=1)
    positions = windows.positions([(0, 40)], 0, reach_back=True)
    assert windows.sample(positions, 1).tolist() == [0, 40, 80]
    assert (windows.sample(positions, 9) // 40).bincount().tolist() == [3, 3, 3]


def test_a_sample_holds_as_many_windows_of_long_and_short_series() -> None:
    data = series_of(panel(wave(40), wave(300), wave(12)), target="y", id="shop")
    windows = Windows(data, horizon=2)
    positions = windows.positions(tuple(itertools.pairwise(data.offsets)), 1, reach_back=False)
    chosen = windows.sample(positions, 33)
    assert windows.gather(chosen, 1).group.bincount().tolist() == [11, 11, 10]  # the shortest has ten alone
    assert set(chosen.tolist()) <= set(positions.tolist())
    assert len(windows.sample(positions, 2)) == 2
    assert windows.counts(positions).tolist() == [[38, 298, 10]]


def test_a_series_shorter_than_the_context_is_continued_by_its_own_past_alone() -> None:
    short = np.array([10.0, 20, 30, 40, 50, 60, 70, 80])
    data = series_of(panel(wave(30), short), target="y", id="shop")
    windows, first = Windows(data, horizon=2, period=3), data.offsets[1]
    positions = windows.positions(((0, 0), (first, first + 8)), 9, reach_back=False)
    assert (positions[:] - first).tolist() == [3, 4, 5, 6]
    history = windows.gather(positions[:], 9).history
    assert history[0].tolist() == [10, 20, 30] * 3
    assert history[2].tolist() == [30, 10, 20, 30, 10, 20, 30, 40, 50]
    assert windows.with_period(None).gather(positions[:1], 9).history[0].tolist() == [10] * 6 + [10, 20, 30]
