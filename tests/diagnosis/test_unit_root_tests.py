"""The p values of both tests are those of statsmodels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from statsmodels.tsa.stattools import adfuller, kpss

from lstm_tune.diagnosis import unit_root_tests


def _autoregression(n: int, coefficient: float, seed: int) -> np.ndarray:
    noise, y = np.random.default_rng(seed).normal(size=n), np.zeros(n)
    for t in range(1, n):
        y[t] = coefficient * y[t - 1] + noise[t] + 0.5 * noise[t - 3]
    return (y - y.mean()) / y.std()


@pytest.mark.parametrize("coefficient", [-0.5, 0.0, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("n", [20, 101, 700])
def test_p_values_are_those_of_statsmodels(n: int, coefficient: float) -> None:
    y, most = _autoregression(n, coefficient, n), min(24, n // 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of p values outside of the table
        theirs = adfuller(y, maxlag=most, regression="c", autolag="AIC")[1], kpss(y, regression="c", nlags="auto")[1]
    assert unit_root_tests.adf(y, most) == pytest.approx(theirs[0], abs=1e-9)
    assert unit_root_tests.kpss(y) == pytest.approx(theirs[1], abs=1e-9)


def test_series_without_noise_have_p_values() -> None:
    """They divide by the noise, which is none."""
    for y in (np.tile([1.0, -1.0], 50), np.sign(np.arange(100) - 49.5)):
        assert 0 <= unit_root_tests.adf(y, 12) <= 1
        assert 0.01 <= unit_root_tests.kpss(y) <= 0.1
