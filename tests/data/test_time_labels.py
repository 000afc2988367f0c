"""Time stamps as text."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_tune.data.time_labels import label_unit, time_labels


@pytest.mark.parametrize(
    ("stamps", "unit", "labels"),
    [
        (["2024-01-01", "2024-01-02"], "D", ["2024-01-01", "2024-01-02"]),
        (["2024-01-01T00:00", "2024-01-01T06:00"], "s", ["2024-01-01 00:00:00", "2024-01-01 06:00:00"]),
        (["2024-01-01T00:00", "2024-01-01T00:00:00.1"], "ms", ["2024-01-01 00:00:00.000", "2024-01-01 00:00:00.100"]),
        (["2024-01-01T00:00:00.000250"], "us", ["2024-01-01 00:00:00.000250"]),
        (["2024-01-01T00:00:00.000000001"], "ns", ["2024-01-01 00:00:00.000000001"]),
    ],
)  # fmt: skip
def test_labels_have_the_digits_that_tell_the_times_apart(stamps: list[str], unit: str, labels: list[str]) -> None:
    times = np.array(stamps, dtype="datetime64[ns]")
    assert label_unit(times) == unit
    assert time_labels(times).tolist() == labels


def test_row_numbers_stay_numbers() -> None:
    assert time_labels(np.array([3, 4])).tolist() == ["3", "4"]
    assert label_unit(np.array([3, 4])) == ""
