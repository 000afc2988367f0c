"""Weights of the mean forecast: the constrained least squares that they claim to be, and their limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from lstm_tune.evaluation.error_sample import each_window_alike
from lstm_tune.training.stacking import best_pull, error_products, stacked_weights


def mean_products(errors: Sequence[np.ndarray], reference: Sequence[float]) -> np.ndarray:
    return np.mean(error_products(errors, reference), axis=0)


@settings(deadline=None)
@given(st.integers(1, 6), st.floats(1, 1000), st.integers(0, 2**32 - 1))
def test_weights_minimize_the_penalised_squared_error(k: int, independent: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(k, 200)) * rng.uniform(0.5, 2, size=(k, 1)) + rng.normal(size=200)
    prior = rng.dirichlet(np.ones(k))
    products = mean_products([errors], [1.0])
    found = stacked_weights(products, prior, independent)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    penalty = 0.3 * (40 / independent) ** 2 * products.diagonal().min()

    def loss(w: np.ndarray) -> float:
        return float(w @ products @ w + penalty * ((w - prior) ** 2).sum())

    best = minimize(
        loss,
        prior,
        bounds=[(0, 1)] * k,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert loss(found) <= best.fun + 1e-6 * abs(best.fun)


def test_few_windows_leave_the_prior_and_many_do_not() -> None:
    rng = np.random.default_rng(0)
    errors = np.stack([rng.normal(size=500), 3 * rng.normal(size=500)])
    prior = np.array([0.2, 0.8])
    products = mean_products([errors], [1.0])
    assert stacked_weights(products, prior, 0.01) == pytest.approx(prior, abs=0.01)
    assert stacked_weights(products, prior, 1e6)[0] == pytest.approx(0.9, abs=0.02)  # inverse variances: 9 to 1


def test_members_that_forecast_alike_share_by_the_prior() -> None:
    errors = np.repeat(np.random.default_rng(0).normal(size=(1, 100)), 3, axis=0)
    prior = np.array([0.5, 0.3, 0.2])
    assert stacked_weights(mean_products([errors], [1.0]), prior, 40) == pytest.approx(prior, abs=1e-6)


def test_blocks_count_alike_whatever_their_size_and_unit() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50)), 100 * rng.normal(size=(2, 500))
    products = mean_products([a, b], [1.0, 100.0**2])
    assert products == pytest.approx((a @ a.T / 50 + b @ b.T / 500 / 1e4) / 2)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_errors_that_tell_nothing_leave_the_prior(value: float) -> None:
    prior = np.array([0.5, 0.5])
    assert stacked_weights(np.full((2, 2), value), prior, 40) is prior


def test_a_window_with_huge_errors_decides_no_weights_among_many_series() -> None:
    """Forecast 0 is better in all windows but one, in which both err a thousand times as much."""
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(2, 40, 3)) * np.array([1.0, 2.0])[:, None, None]
    errors[:, 7] = 1000 * np.array([[3.0], [1.0]])
    flat, prior = errors.reshape(2, -1), np.array([0.5, 0.5])
    plain, alike = (stacked_weights(mean_products([e], [1.0]), prior, 500) for e in (flat, each_window_alike(flat, 3)))
    assert plain[0] < 0.3
    assert alike[0] > 0.7
    scaled = each_window_alike(flat, 3).reshape(2, 40, 3)
    np.testing.assert_allclose(np.square(scaled).mean(axis=(0, 2)), 1.0)
    assert not each_window_alike(np.zeros((2, 6)), 3).any()


def blocks_of(*variances: tuple[float, float]) -> list[np.ndarray]:
    """Return blocks on which two members err independently, with these variances."""
    return [np.diag(pair) for pair in variances]


def test_weights_that_hold_on_a_block_left_out_are_pulled_less_than_those_that_do_not() -> None:
    prior = np.array([0.5, 0.5])
    steady = blocks_of((1, 9), (1, 9), (1, 9))
    changing = blocks_of((1, 9), (9, 1), (1, 1))
    assert best_pull(steady, prior, 100) == 0.1
    assert best_pull(changing, prior, 100) == 100.0


def test_the_pull_errs_least_on_the_blocks_left_out() -> None:
    rng = np.random.default_rng(0)
    prior = rng.dirichlet(np.ones(4))
    blocks = [np.cov(rng.normal(size=(4, 6)) * rng.uniform(0.5, 2, size=(4, 1))) for _ in range(3)]

    def error(pull: float) -> float:
        errors = []
        for out in range(3):
            rest = (sum(blocks) - blocks[out]) / 2
            weights = stacked_weights(rest, prior, 80.0, pull)
            errors.append(weights @ blocks[out] @ weights)
        return float(np.mean(errors))

    found = {pull: error(pull) for pull in (100.0, 10.0, 1.0, 0.1)}
    assert best_pull(blocks, prior, 80.0) == min(found, key=found.__getitem__)


@pytest.mark.parametrize(("blocks", "independent"), [(3, 59.9), (1, 1000.0)])
def test_few_windows_or_one_block_are_pulled_ten_times_as_hard(blocks: int, independent: float) -> None:
    assert best_pull(blocks_of((1, 9)) * blocks, np.array([0.5, 0.5]), independent) == 10.0
