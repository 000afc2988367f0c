"""The LSTM trained beforehand: what it sees, what it forecasts, and how it is shipped, saved and loaded."""

from __future__ import annotations

from importlib import resources

import numpy as np
import oracle_pretrained
import pytest
import torch

from lstm_tune.models.pretrained import WEIGHTS, PretrainedNetwork, look, shipped_weights


@pytest.fixture(scope="module")
def network() -> PretrainedNetwork:
    network = PretrainedNetwork()
    network.load_shipped()
    return network.eval().requires_grad_(False)


def seasons(rows: int, period: int, noise: float = 0.1, count: int = 4) -> torch.Tensor:
    """Return series with a season and a trend."""
    rng = np.random.default_rng(rows + period)
    row = np.arange(rows)
    season = rng.normal(size=(count, period))[:, row % period]
    return torch.from_numpy(season + 0.02 * row + noise * rng.normal(size=(count, rows))).float()


@pytest.mark.parametrize(("rows", "period", "horizon"), [(60, 12, 14), (9, 4, 3), (30, 1, 60), (5, 12, 2), (40, 7, 8)])
def test_its_forecast_is_that_of_the_equations(
    network: PretrainedNetwork, rows: int, period: int, horizon: int
) -> None:
    windows = seasons(rows, max(period, 2))
    state = {name: value.double().numpy() for name, value in network.state_dict().items()}
    expected = oracle_pretrained.forecast(state, windows.double().numpy(), period, horizon)
    assert network(windows, period, horizon).numpy() == pytest.approx(expected, abs=2e-4)


def test_a_shifted_and_stretched_window_has_a_shifted_and_stretched_forecast(network: PretrainedNetwork) -> None:
    windows = seasons(48, 12)
    plain, moved = network(windows, 12, 12), network(1000 * windows - 300, 12, 12)
    torch.testing.assert_close(moved, 1000 * plain - 300, rtol=1e-4, atol=0.05)


def test_what_is_seen_after_a_row_does_not_depend_on_later_rows() -> None:
    windows = seasons(40, 7)
    for n in (1, 2, 8, 9, 23):
        torch.testing.assert_close(look(windows, 7).inputs[:, :n], look(windows[:, :n], 7).inputs)


def test_it_forecasts_a_season_it_has_never_seen(network: PretrainedNetwork) -> None:
    series = seasons(72, 12)
    naive = (series[:, 60:] - series[:, 48:60]).square().mean()
    assert (network(series[:, :60], 12, 12) - series[:, 60:]).square().mean() < 0.6 * naive


def test_a_constant_window_is_continued(network: PretrainedNetwork) -> None:
    torch.testing.assert_close(network(torch.full((1, 30), 5.0), 7, 4), torch.full((1, 4), 5.0))


def test_its_weights_are_a_small_file_of_the_package() -> None:
    assert len(resources.files("lstm_tune.models").joinpath(WEIGHTS).read_bytes()) < 300_000
    assert all(bool(tensor.isfinite().all()) for tensor in shipped_weights().values())
