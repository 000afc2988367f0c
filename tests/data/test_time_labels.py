"""Time stamps as text."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_tune.data.time_labels import TimeStyle


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
    style = TimeStyle.of(times)
    assert style.unit == unit
    assert style.labels(times).tolist() == labels


def test_row_numbers_stay_numbers() -> None:
    rows, seconds = np.array([3, 4]), 0.02 * np.arange(38, 40)
    assert TimeStyle.of(rows).labels(rows).tolist() == ["3", "4"]
    assert TimeStyle.of(seconds).labels(seconds).tolist() == ["0.76", "0.78"]


@pytest.mark.parametrize(
    ("zone", "labels"),
    [
        ("UTC", ["2024-03-31 00:30:00Z", "2024-03-31 01:30:00Z"]),
        ("Europe/Berlin", ["2024-03-31 01:30:00+01:00", "2024-03-31 03:30:00+02:00"]),
        ("-03:30", ["2024-03-30 21:00:00-03:30", "2024-03-30 22:00:00-03:30"]),
    ],
)
def test_times_in_a_zone_are_written_in_it(zone: str, labels: list[str]) -> None:
    times = np.array(["2024-03-31T00:30", "2024-03-31T01:30"], dtype="datetime64[ns]")
    assert TimeStyle.of(times, zone).labels(times).tolist() == labels
