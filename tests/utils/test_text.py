"""Numbers have the digits that their intervals justify."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lstm_tune.utils.text import error_against, justified_digits, number, percent, signed_percent


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


@pytest.mark.parametrize(
    ("share", "digits", "shown"),
    [
        (-4e-4, 1, "0.0%"),
        (4e-4, 1, "0.0%"),
        (-0.004, 0, "0%"),
        (-0.1, 0, "-10%"),
        (0.3, 1, "+30.0%"),
        (-0.001, 1, "-0.1%"),
    ],
)
def test_a_change_that_is_rounded_to_zero_has_no_sign(share: float, digits: int, shown: str) -> None:
    assert signed_percent(share, digits) == shown


def test_percentages_with_a_sign_are_written_in_one_place() -> None:
    package = Path(__file__).resolve().parents[2] / "lstm_tune"
    own = [
        str(p.relative_to(package))
        for p in package.rglob("*.py")
        if re.search(r":\+\.\S{1,8}%\}", p.read_text("utf-8"))
    ]
    assert own == ["utils/text.py"]
