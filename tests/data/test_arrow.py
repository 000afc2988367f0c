"""Frames of other libraries that export themselves as Arrow streams."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
from series import daily, wave

from lstm_tune.data.load import load_series
from lstm_tune.data.series import SeriesSet


def same(found: SeriesSet, expected: SeriesSet) -> bool:
    """Return whether values, holes, times and names are the same."""
    return (
        np.array_equal(found.values, expected.values)
        and np.array_equal(found.observed, expected.observed)
        and np.array_equal(found.times, expected.times)
        and found.targets == expected.targets
    )


def test_a_frame_of_polars_or_arrow_is_read_as_its_pandas_twin() -> None:
    y = wave()
    y[5] = np.nan
    frame = daily(y)
    expected = load_series(frame)
    assert same(load_series(polars.from_pandas(frame)), expected)
    assert same(load_series(pa.Table.from_pandas(frame, preserve_index=False)), expected)


def test_a_column_is_a_series_with_its_name() -> None:
    values = wave()
    found = load_series(polars.Series("price", values))
    assert found.targets == ("price",)
    assert same(found, load_series(pd.Series(values, name="price")))


def test_text_and_categories_of_polars_name_series() -> None:
    ids = ["a"] * 100 + ["b"] * 100
    frame = polars.DataFrame({"shop": ids, "y": np.tile(wave()[:100], 2)})
    for column in (polars.String, polars.Categorical):
        found = load_series(frame.with_columns(polars.col("shop").cast(column)), target="y", id="shop")
        assert found.series == ("a", "b")


def test_a_relation_of_duckdb_is_read() -> None:
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.sql("select range::double as y, date '2024-01-01' + range::integer as day from range(50)")
    assert len(load_series(relation, target="y").times) == 50
