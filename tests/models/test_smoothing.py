"""Exponential smoothing: the recursion of the book, its linear map, and what is found on series of known parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from lstm_tune.evaluation.baseline_labels import LONGEST_SMOOTHED, table_label
from lstm_tune.models.smoothing import Smoothing, fit_smoothing, forecast_weights

Floats = NDArray[np.float64]


def recursion(
    model: Smoothing, y: Floats, level: float, trend: float, season: Floats, horizon: int
) -> tuple[Floats, Floats]:
    """Errors (n,) and forecast (H,), spelled out row by row."""
    states, errors = list(season), []
    for t, value in enumerate(y):
        before = level + model.phi * trend
        error = value - before - states[t]
        errors.append(error)
        level, trend = before + model.alpha * error, model.phi * trend + model.beta * error
        states.append(states[t] + model.gamma * error)
    ahead = []
    for h in range(1, horizon + 1):
        growth = sum(model.phi**k for k in range(1, h + 1))
        ahead.append(level + growth * trend + states[len(y) + (h - 1) % model.period])
    return np.array(errors), np.array(ahead)


@st.composite
def models(draw: st.DrawFn) -> Smoothing:
    alpha = draw(st.floats(0.01, 0.99))
    phi = draw(st.sampled_from([0.0, 0.9, 1.0]))
    period = draw(st.sampled_from([1, 4, 7]))
    return Smoothing(
        alpha=alpha,
        beta=alpha * draw(st.floats(0.0, 0.5)) if phi else 0.0,
        gamma=(1 - alpha) * draw(st.floats(0.0, 0.9)) if period > 1 else 0.0,
        phi=phi,
        period=period,
    )


@settings(deadline=None)
@given(models(), st.integers(10, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_the_map_is_the_recursion_from_the_states_of_least_squares(
    model: Smoothing, length: int, horizon: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=length)
    expected = forecast_weights([model], length, horizon) @ y
    m = model.period
    free = 1 + (model.phi > 0) + m - 1

    def run(state: Floats, values: Floats) -> tuple[Floats, Floats]:
        season = state[free - m + 1 :]
        trend = float(state[1]) if model.phi else 0.0
        return recursion(model, values, float(state[0]), trend, np.append(season, -season.sum()), horizon)

    unit = [run(row, np.zeros(length)) for row in np.eye(free)]
    design = np.column_stack([errors for errors, _ in unit])
    errors, _ = run(np.zeros(free), y)
    state = np.linalg.lstsq(design, -errors, rcond=None)[0]
    assert run(state, y)[1] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(models(), st.integers(1, 30), st.integers(1, 9), st.floats(-1e6, 1e6))
def test_a_constant_added_to_the_window_is_added_to_the_forecast(
    model: Smoothing, length: int, horizon: int, constant: float
) -> None:
    weights = forecast_weights([model], length, horizon)
    assert weights.shape == (horizon, length)
    assert weights @ np.full(length, constant) == pytest.approx(np.full(horizon, constant), rel=1e-6, abs=1e-6)


def test_alpha_of_one_without_trend_is_persistence() -> None:
    weights = forecast_weights([Smoothing(alpha=1.0)], 5, 3)
    assert weights == pytest.approx(np.repeat([[0, 0, 0, 0, 1.0]], 3, axis=0), abs=1e-9)


def test_a_line_with_a_season_is_continued_exactly() -> None:
    t = np.arange(40)
    y = 3 + 0.5 * t + np.array([1.0, -2.0, 0.5, 0.5])[t % 4]
    model = Smoothing(alpha=0.3, beta=0.05, gamma=0.2, phi=1.0, period=4)
    assert forecast_weights([model], 30, 10) @ y[:30] == pytest.approx(y[30:], abs=1e-8)


def test_errors_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=60).cumsum() + 50
    parameters = {"alpha": 0.4, "beta": 0.1, "phi": 0.9, "gamma": 0.2}
    season = np.array([1.0, -0.5, 0.25, -0.75])
    theirs = ETSModel(
        y,
        trend="add",
        damped_trend=True,
        seasonal="add",
        seasonal_periods=4,
        initialization_method="known",
        initial_level=50.0,
        initial_trend=0.1,
        initial_seasonal=season,  # statsmodels, too, names them in the order of the rows
    )
    by_name = {"smoothing_level": 0.4, "smoothing_trend": 0.1, "smoothing_seasonal": 0.2, "damping_trend": 0.9}
    given = [by_name.get(name, 0.0) for name in theirs.param_names]
    fitted = theirs.smooth(given)
    errors, ahead = recursion(Smoothing(**parameters, period=4), y, 50.0, 0.1, season, 6)
    assert fitted.resid == pytest.approx(errors, rel=1e-9)
    assert fitted.forecast(6) == pytest.approx(ahead, rel=1e-9)


def simulated(model: Smoothing, n: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    level, trend, season = 0.0, 0.0, list(3 * rng.normal(size=model.period) if model.period > 1 else [0.0])
    values = []
    for t in range(n):
        error = rng.normal()
        before = level + model.phi * trend
        values.append(before + season[t] + error)
        level, trend = before + model.alpha * error, model.phi * trend + model.beta * error
        season.append(season[t] + model.gamma * error)
    return np.array(values)


@pytest.mark.parametrize(
    "model",
    [
        Smoothing(alpha=0.3),
        Smoothing(alpha=0.8, gamma=0.1, period=12),
        Smoothing(alpha=0.5, beta=0.1, phi=1.0),
        Smoothing(alpha=0.2, gamma=0.3, period=4),
    ],
)
def test_known_parameters_are_found_again(model: Smoothing) -> None:
    found = max(fit_smoothing([simulated(model, 1500, 0)], model.period, 300), key=lambda m: m.weight)
    assert (found.period, found.phi > 0) == (model.period, model.phi > 0)
    assert found.alpha == pytest.approx(model.alpha, abs=0.08)
    assert found.beta == pytest.approx(model.beta, abs=0.05)
    assert found.gamma == pytest.approx(model.gamma, abs=0.08)


def test_a_season_that_is_not_there_is_seldom_used() -> None:
    found = [fit_smoothing([np.random.default_rng(seed).normal(size=300)], 12, 300) for seed in range(8)]
    assert np.mean([sum(m.weight for m in models if m.period == 1) for models in found]) > 0.8


def test_series_share_their_parameters_and_weights_add_up_to_one() -> None:
    model = Smoothing(alpha=0.4, gamma=0.2, period=4)
    found = fit_smoothing([simulated(model, 120, seed) for seed in range(8)], 4, 100)
    assert sum(m.weight for m in found) == pytest.approx(1.0)
    best = max(found, key=lambda m: m.weight)
    assert best.alpha == pytest.approx(0.4, abs=0.1)
    assert best.period == 4


def test_a_season_that_is_too_long_is_left_out_and_the_table_says_so() -> None:
    y = np.random.default_rng(0).normal(size=1000)
    assert {m.period for m in fit_smoothing([y], LONGEST_SMOOTHED + 1, 900)} == {1}
    assert table_label("ets", LONGEST_SMOOTHED + 1) == "exponential smoothing (no season)"
    for period in (None, 1, LONGEST_SMOOTHED, math.nan):
        assert table_label("ets", period) == "exponential smoothing"


def test_a_season_that_the_window_cannot_hold_is_not_fitted() -> None:
    t = np.arange(42)
    series = [0.1 * t + 3 * np.sin(t * np.pi / 6) + np.random.default_rng(s).normal(size=42) for s in range(8)]

    def error(window: int) -> float:
        """Return the MSE three rows ahead over that of the last value."""
        weights = forecast_weights(fit_smoothing(series, 12, window), window, 3)
        pairs = [(y[end - window : end], y[end : end + 3]) for y in series for end in range(28, 40)]
        last = np.mean([(x[-1] - y) ** 2 for x, y in pairs])
        return float(np.mean([(weights @ x - y) ** 2 for x, y in pairs]) / last)

    assert error(14) < 0.5
    assert error(13) < 1.1  # a seasonal model without its season draws a line through the season


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 40), max_size=4), st.sampled_from([None, 1, 4, 12, 500]), st.integers(0, 2**32 - 1))
def test_any_series_gives_finite_weights(lengths: list[int], period: int | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = [np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n) * 10.0 ** rng.integers(-3, 4)) for n in lengths]
    for window in (1, 2, 5, 30):
        assert np.isfinite(forecast_weights(fit_smoothing(series, period, window), window, 6)).all()


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_constant_series_is_continued(value: float) -> None:
    weights = forecast_weights(fit_smoothing([np.full(50, value)], 7, 20), 20, 5)
    assert weights @ np.full(20, value) == pytest.approx(np.full(5, value))
