"""Numbers have the digits that their intervals justify."""

from __future__ import annotations

import pytest

from lstm_tune.utils.text import justified_digits, number


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ((199.2, 497.9), "340"),
        ((100.0, 900.0), "340"),
        ((339.0, 341.5), "340.2"),
        ((340.21, 340.23), "340.22"),
        ((340.22, 340.22), "340.22"),
        ((None, None), "340.22"),
        (None, "340.22"),
    ],
)
def test_digits_end_where_the_interval_leaves_them_open(interval: tuple[float, float] | None, shown: str) -> None:
    assert number(340.22, justified_digits(340.22, interval)) == shown
