"""Numbers have the digits that their intervals justify."""

from __future__ import annotations

import pytest

from lstm_tune.utils.text import error_against, justified_digits, number, percent


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


@pytest.mark.parametrize(
    ("skill", "shown"),
    [(0.12, "-12.0%"), (-0.027, "+2.7%"), (0.0, "0.0%"), (1e-5, "0.0%"), (None, "–")],
)
def test_an_error_that_is_equal_has_no_sign(skill: float | None, shown: str) -> None:
    assert error_against(skill) == shown


@pytest.mark.parametrize(("share", "shown"), [(0.0, "0%"), (1e-9, "under 0.1%"), (0.012, "1.2%"), (0.5, "50%")])
def test_a_share_of_nothing_is_not_a_small_one(share: float, shown: str) -> None:
    assert percent(share) == shown
