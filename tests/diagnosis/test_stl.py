"""The decomposition into season, trend and rest is that of statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.tsa.seasonal import STL

from lstm_tune.diagnosis.stl import stl


@pytest.mark.parametrize(("n", "period"), [(6, 2), (36, 12), (37, 12), (200, 7), (1400, 182), (3000, 4)])
@pytest.mark.parametrize("cycles", [7, 35])
def test_parts_are_those_of_statsmodels(n: int, period: int, cycles: int) -> None:
    rng = np.random.default_rng(n)
    y = np.sin(np.arange(n) * 2 * np.pi / period) + rng.normal(size=n) + 0.1 * rng.normal(size=n).cumsum()
    theirs = STL(y, period=period, seasonal=cycles, seasonal_deg=0).fit()
    season, rest = stl(y, period, cycles)
    assert season == pytest.approx(theirs.seasonal, abs=1e-9)
    assert rest == pytest.approx(theirs.resid, abs=1e-9)
