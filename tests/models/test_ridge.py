"""The closed-form regression against scikit-learn on materialised windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from series import wave
from sklearn.linear_model import Ridge

from lstm_tune.models import ridge
from lstm_tune.models.ridge import Moments, block_sizes, fit_ridge, moments


def windows(y: np.ndarray, lookback: int, horizon: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every window of y as rows x (n, L) and targets (n, H), both minus the last value."""
    starts = range(lookback, len(y) - horizon + 1)
    x = np.stack([y[r - lookback : r] - y[r - 1] for r in starts])
    target = np.stack([y[r : r + horizon] - y[r - 1] for r in starts])
    return torch.from_numpy(x), torch.from_numpy(target)


def solved(blocks: list[Moments]) -> tuple[torch.Tensor, torch.Tensor]:
    fitted = fit_ridge(blocks)
    assert fitted is not None
    return fitted


def test_line_without_noise_is_fitted() -> None:
    x, y = windows(0.01 * np.arange(700), 233, 1)
    weight, bias = solved([moments(x[p], y[p]) for p in torch.tensor_split(torch.arange(len(x)), 5)])
    assert (x.float() @ weight.T + bias).numpy() == pytest.approx(y.numpy(), abs=1e-3)


@pytest.mark.parametrize("alpha", [1e-5, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("blocks", [1, 5])
def test_coefficients_agree_with_scikit_learn(monkeypatch: pytest.MonkeyPatch, alpha: float, blocks: int) -> None:
    monkeypatch.setattr(ridge, "_ALPHAS", (alpha,))
    monkeypatch.setattr(ridge, "_SHORTEST", 99)
    x, y = windows(wave(200, noise=0.3), 6, 3)
    parts = torch.tensor_split(torch.arange(len(x)), blocks)
    weight, bias = solved([moments(x[p], y[p]) for p in parts])
    centred = x - x.mean(0)
    unit = float(torch.linalg.eigvalsh(centred.T @ centred).clamp_min(0).mean())
    expected = Ridge(alpha=alpha * unit).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(weight.numpy(), expected.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bias.numpy(), expected.intercept_, rtol=1e-4, atol=1e-5)


def test_strength_and_lookback_are_those_with_the_least_error_on_what_was_left_out() -> None:
    x, y = windows(wave(150, noise=0.5), 12, 2)
    parts = torch.tensor_split(torch.arange(len(x)), 5)
    tried = {}
    for lookback in (12, 6, 3):
        newest = x[:, -lookback:].numpy()
        for alpha in ridge._ALPHAS:
            squares = 0.0
            for left_out in parts:
                rest = np.setdiff1d(np.arange(len(x)), left_out.numpy())
                centred = newest[rest] - newest[rest].mean(0)
                unit = np.linalg.eigvalsh(centred.T @ centred).clip(0).mean()
                model = Ridge(alpha=alpha * unit).fit(newest[rest], y.numpy()[rest])
                squares += ((model.predict(newest[left_out.numpy()]) - y.numpy()[left_out.numpy()]) ** 2).sum()
            tried[lookback, alpha] = squares
    least = {k: min(v for (n, _), v in tried.items() if n == k) for k in (12, 6, 3)}
    chosen = next(k for k in (12, 6, 3) if least[k] <= 1.03 * min(least.values()))
    alpha = next(a for (k, a), v in tried.items() if k == chosen and v == least[chosen])
    newest = x[:, -chosen:].numpy()
    centred = newest - newest.mean(0)
    unit = np.linalg.eigvalsh(centred.T @ centred).clip(0).mean()
    expected = Ridge(alpha=alpha * unit).fit(newest, y.numpy())
    weight, _ = solved([moments(x[p], y[p]) for p in parts])
    np.testing.assert_allclose(weight[:, -chosen:].numpy(), expected.coef_, rtol=1e-3, atol=1e-4)
    assert float(weight[:, : 12 - chosen].abs().sum()) == 0.0


def test_long_lookback_is_cut_where_only_the_newest_rows_matter() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(60, 48)))
    y = x[:, -2:].sum(1, keepdim=True) + 0.01 * torch.from_numpy(rng.normal(size=(60, 1)))
    weight, _ = solved([moments(x[p], y[p]) for p in torch.tensor_split(torch.arange(60), 5)])
    assert float(weight[:, :40].abs().sum()) == 0.0
    np.testing.assert_allclose(weight[0, -2:].numpy(), [1, 1], atol=0.05)


def test_moments_add_up_and_take_apart() -> None:
    x, y = windows(wave(80), 5, 2)
    whole, one, two = moments(x, y), moments(x[:30], y[:30]), moments(x[30:], y[30:])
    for name in ("x", "y", "xx", "xy", "yy"):
        torch.testing.assert_close(getattr(one + two, name), getattr(whole, name))
        torch.testing.assert_close(getattr(whole - one, name), getattr(two, name))
        torch.testing.assert_close(getattr(whole.newest(2), name), getattr(moments(x[:, -2:], y), name))


def test_windows_that_are_all_alike_give_a_finite_fit() -> None:
    x, y = torch.zeros(20, 4), torch.ones(20, 2)
    weight, bias = solved([moments(x[:10], y[:10]), moments(x[10:], y[10:])])
    assert float(weight.abs().sum()) == 0.0
    assert bias.tolist() == [1.0, 1.0]


def test_no_window_at_all_is_no_fit() -> None:
    assert fit_ridge([]) is None


@pytest.mark.parametrize("n", [0, 1, 3, 4, 7, 19, 20, 101])
def test_blocks_are_nearly_equal_and_cover_all(n: int) -> None:
    sizes = block_sizes(n)
    assert sum(sizes) == n
    assert 1 <= len(sizes) <= 5
    assert max(sizes) - min(sizes) <= 1
