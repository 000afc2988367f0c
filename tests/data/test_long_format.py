"""Frames in the long format of Nixtla's libraries are read without options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from series import daily, wave

from lstm_tune.data.load import load_series


def nixtla(ds: Any = None, **columns: Any) -> pd.DataFrame:
    """Two series whose names are no numbers, with a second numeric column."""
    parts = [
        pd.DataFrame({"unique_id": name, "ds": np.arange(5, 45) if ds is None else ds, "y": wave(40, seed=i)})
        for i, name in enumerate(("NA", "001"))
    ]
    return pd.concat(parts, ignore_index=True).assign(price=wave(80, seed=7), **columns)


@pytest.mark.parametrize("kind", ["csv", "frame"])
def test_unique_id_ds_and_y_are_understood_and_ids_keep_their_text(kind: str, tmp_path: Path) -> None:
    frame = nixtla()
    frame.to_csv(tmp_path / "long.csv", index=False)
    data = load_series(tmp_path / "long.csv" if kind == "csv" else frame)
    assert (data.series, data.id_names) == (("001", "NA"), ("unique_id",))
    assert (data.targets, data.time_name, data.step) == (("y",), "ds", 1)


def test_integer_ds_is_an_axis_that_is_sorted_counted_on_and_searched_for_gaps() -> None:
    frame = nixtla().drop(index=[10, 11]).sample(frac=1, random_state=0)
    data = load_series(frame)
    assert np.asarray(data.times)[:40].tolist() == list(range(5, 45))
    assert data.extend_times(2).tolist() == [[45, 46], [45, 46]]
    assert data.repaired["gap_rows"] == 2


def test_options_come_before_the_names_of_columns() -> None:
    frame = nixtla(pd.date_range("2024-01-01", periods=40).astype(str), shop=np.repeat(["x", "y"], 40))
    data = load_series(frame, target="price", id="shop", past="y")
    assert (data.targets, data.id_names, data.past_names, data.freq) == (("price",), ("shop",), ("y",), "D")


def test_a_unique_id_that_numbers_the_rows_names_no_series() -> None:
    frame = nixtla().iloc[:40].assign(unique_id=range(40))
    assert load_series(frame).series == ("",)


def test_one_such_column_alone_is_a_column_like_others() -> None:
    with pytest.raises(Exception, match="could be the target"):
        load_series(daily(wave(40)).assign(z=wave(40, seed=1)))
