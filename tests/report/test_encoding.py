"""Numbers and times in little text."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_tune.report.encoding import decode_times, encode_times, envelope, evenly, pack, unpack


@pytest.mark.parametrize(
    "stamps",
    [
        ["2024-01-01", "2024-01-02", "2024-01-05"],
        ["2024-01-31 23:00:00", "2024-02-01 00:00:00"],
        ["2024-01-31 23:00:00.100", "2024-01-31 23:00:00.200", "2024-01-31 23:00:00.300"],
        ["1700-01-01", "1701-01-01", "1702-01-01"],
        [5, 6, 9],
        [7],
    ],
)
def test_times_survive_their_encoding(stamps: list[str] | list[int]) -> None:
    dated = isinstance(stamps[0], str)
    times = np.array(stamps, dtype="datetime64[ns]" if dated else np.int64)
    encoded = encode_times(times)
    assert decode_times(encoded).tolist() == times.astype("datetime64[ms]" if dated else np.int64).astype(int).tolist()
    assert encoded["dated"] is dated


def test_packed_numbers_keep_seven_digits_and_holes() -> None:
    values = np.array([1.234567, -9876543.0, np.nan])
    np.testing.assert_allclose(unpack(pack(values)), values, rtol=1e-7)


def test_envelope_keeps_every_spike() -> None:
    values = np.zeros(10_001)
    values[[17, 9_999]] = 5.0, -3.0
    values[4_000:4_400] = np.nan
    rows, line = envelope(values, 200)
    assert len(rows) == len(line) <= 202
    assert (np.nanmax(line), np.nanmin(line)) == (5.0, -3.0)
    assert np.isnan(line).any()
    assert (np.diff(rows) > 0).all()


def test_even_indices_keep_both_ends() -> None:
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(100, 3).tolist() == [0, 50, 99]
    assert evenly(7, 1).tolist() == [0]
