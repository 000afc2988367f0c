"""Forecasts as text: all digits of float32, no exponent."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_tune.utils.decimals import decimal_texts, widen


def test_a_float32_is_the_shortest_number_that_names_it() -> None:
    assert widen(np.array([0.1, 1.5, -2.3e-7, 3.31e8], dtype=np.float32)).tolist() == [0.1, 1.5, -2.3e-7, 3.31e8]


def test_a_small_variation_on_a_large_level_keeps_its_digits() -> None:
    found = widen(np.array([[0.37, -0.1234567]], dtype=np.float32), np.array([[1e8]]))
    assert found.tolist() == [[100000000.37, 99999999.8765433]]


def test_missing_and_infinite_values_stay() -> None:
    found = widen(np.array([np.nan, np.inf, 0.0], dtype=np.float32), 5.0)
    assert math.isnan(found[0])
    assert found[1:].tolist() == [math.inf, 5.0]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_what_is_widened_is_the_same_float32(x: float) -> None:
    assert np.float32(widen(np.array([x], dtype=np.float32))[0]) == np.float32(x)


@given(st.floats(-1e3, 1e3, width=32), st.sampled_from([0.0, 1e3, -2.5e6, 1e8, 1e12]))
def test_the_sum_is_exact_to_the_last_digits_of_float64(x: float, origin: float) -> None:
    found = widen(np.array([x], dtype=np.float32), origin)[0]
    exact = float(Decimal(str(np.float32(x))) + Decimal(origin))
    assert abs(found - exact) <= 2 * np.spacing(max(abs(exact), abs(x), abs(origin)))


def test_noise_of_the_addition_is_removed() -> None:
    assert widen(np.array([0.1, 0.125], dtype=np.float32), np.array([0.2, 1e12])).tolist() == [0.3, 1000000000000.125]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (331000000.0, "331000000"),
        (1e-8, "0.00000001"),
        (3e20, "300000000000000000000"),
        (-1.5e-12, "-0.0000000000015"),
        (0.0, "0"),
        (100000000.37, "100000000.37"),
    ],
)
def test_text_has_no_exponent(value: float, text: str) -> None:
    assert decimal_texts([value]) == [text]


def test_missing_value_is_no_text() -> None:
    assert decimal_texts([math.nan, 1.0]) == [None, "1"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_text_reads_back_as_the_same_number(x: float) -> None:
    (text,) = decimal_texts([x])
    assert text is not None
    assert "e" not in text
    assert float(text) == x
