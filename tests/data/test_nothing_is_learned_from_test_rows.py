"""Whatever is computed before the rows are cut depends on no test row: times, grid, origin, fills, split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_tune.data.load import load_series
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split, make_split

SPLITS = [(0.7, 0.1, 0.2), (0.3, 0.2, 0.5), (20, 8, 12)]
FREQS = ["D", "h", "B", "MS", "ME", "W-MON", "15min"]


def visible(frame: pd.DataFrame, split: Any, **options: Any) -> tuple[SeriesSet, Split]:
    """The rows that a study sees, and the split."""
    data = load_series(frame, target="y", split=split, **options)
    parts = make_split(data, split, 1)
    ends, _ = parts.ends()
    return data.head([max(end, start + 1) for start, end in zip(data.offsets, ends, strict=False)]), parts


def assert_same(one: tuple[SeriesSet, Split], other: tuple[SeriesSet, Split]) -> None:
    a, b = one[0], other[0]
    assert (one[1].train, one[1].val) == (other[1].train, other[1].val)
    assert (a.freq, a.offsets, a.origin, a.step) == (b.freq, b.offsets, b.origin, b.step)
    np.testing.assert_array_equal(np.asarray(a.times), np.asarray(b.times))
    for name in ("values", "observed", "past", "future"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def frame_of(rng: np.random.Generator, rows: int, freq: str, holes: float, level: float) -> pd.DataFrame:
    """A series with missing rows, missing values and covariates that begin late."""
    kept = np.sort(rng.choice(int(rows * 1.3), rows, replace=False)) if holes else np.arange(rows)
    times = pd.date_range("2024-01-01", periods=int(rows * 1.3) + 1, freq=freq)[kept]
    y = level + rng.normal(size=rows)
    x, z = rng.normal(size=(2, rows))
    if holes:
        y[rng.random(rows) < 0.2] = np.nan
        x[: rng.integers(0, rows // 4)] = np.nan
        z[: rng.integers(0, rows // 4)] = np.nan
    y[5], y[7], y[-1] = level + 1, level - 1, level
    return pd.DataFrame({"date": times, "y": y, "x": x, "z": z})


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(SPLITS),
    st.sampled_from(FREQS),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 1e8]),
    st.booleans(),
)
def test_noise_in_test_rows_changes_no_row_that_a_study_sees(
    seed: int, split: tuple[float, ...], freq: str, holes: float, level: float, calendar: bool
) -> None:
    rng = np.random.default_rng(seed)
    frame = frame_of(rng, 40, freq, holes, level)
    cut = 28 if split[0] > 1 else round(40 * split[0]) + round(40 * split[1])
    noisy = frame.copy()
    tail = slice(cut, None)
    noisy.loc[cut:, ["y", "x", "z"]] = 1e3 * rng.normal(size=(40 - cut, 3))
    last, first = frame["date"].iloc[cut - 1], frame["date"].iloc[0]
    steps = rng.uniform(0.001, 2, size=40 - cut).cumsum() * ((last - first) / cut)
    noisy.loc[cut:, "date"] = pd.DatetimeIndex(last + steps).round("s")
    options = {"past": "x", "future": "z", "calendar": calendar}
    try:
        before = visible(frame, split, **options)
    except Exception as error:  # refused by a rule: then with noise too
        with pytest.raises(type(error)):
            visible(noisy, split, **options)
        return
    assert_same(before, visible(noisy, split, **options))
    missing = frame.copy()
    missing.loc[missing.index[tail][:-1], ["x", "z", "y"]] = np.nan
    assert_same(before, visible(missing, split, **options))


def test_covariate_that_begins_in_the_test_rows_is_refused() -> None:
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=40), "y": np.sin(np.arange(40.0))})
    frame["x"] = np.where(np.arange(40) < 34, np.nan, 5.0)
    with pytest.raises(Exception, match="column 'x' has no value in the train rows"):
        load_series(frame, target="y", past="x")


def test_value_before_the_first_one_is_not_a_later_target() -> None:
    y = np.sin(np.arange(60.0))
    y[:10] = np.nan
    data = load_series(pd.DataFrame({"date": pd.date_range("2024-01-01", periods=60), "y": y}))
    filled = float(data.values[0, 0])
    assert not bool(data.observed[0, :10].any())
    assert filled == pytest.approx(np.median(y[10:14]), abs=1e-6)  # 42 train rows, of which 14 are early
    assert not np.isclose(filled, y[10])


@pytest.mark.parametrize("kind", ["duplicate", "shuffled"])
def test_duplicates_and_order_of_test_rows_move_no_border(kind: str) -> None:
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=40), "y": np.sin(np.arange(40.0))})
    changed = frame.copy()
    if kind == "duplicate":
        changed.loc[35:, "date"] = frame.loc[34, "date"]
        changed.loc[35:, "y"] = frame.loc[34, "y"]
    else:
        changed = pd.concat([frame[:32], frame[32:].sample(frac=1, random_state=0)])
    assert_same(visible(frame, SPLITS[0]), visible(changed, SPLITS[0]))


def test_times_of_test_rows_move_no_border_of_a_panel() -> None:
    days = pd.date_range("2024-01-01", periods=60)
    y = np.sin(np.arange(60.0))
    one = pd.DataFrame({"date": days, "y": y, "id": "a"})
    two = pd.DataFrame({"date": days[:56], "y": y[:56] + 1, "id": "b"}).drop(index=range(10, 16))
    late = two.copy()
    late.loc[48:, "date"] += pd.to_timedelta(np.arange(8) * 3, unit="D")
    assert_same(visible(pd.concat([one, two]), SPLITS[0], id="id"), visible(pd.concat([one, late]), SPLITS[0], id="id"))
