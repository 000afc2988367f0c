"""The contract that every forecaster fulfils: shape, units, determinism, no look at the future."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from series import TINY, daily, net, series_of, wave

from lstm_tune.config import Config
from lstm_tune.data.windows import Batch, Windows
from lstm_tune.evaluation.baseline_labels import LABELS
from lstm_tune.evaluation.score import Forecaster, TargetScale, forecast_all
from lstm_tune.models.baselines import Persistence, SeasonalNaive, TrainMean, fit_baselines, fit_ridge_baseline
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.models.preprocessing import Shape

HORIZON = 3
FIT = ((0, 100),)
AT = torch.tensor([110, 111, 120, 130])
SHAPE = Shape(horizon=HORIZON, channels=2, past=1, future=1, period=7, smoothing=12)
Factory = Callable[[Windows], Forecaster]

LSTMS: dict[str, dict[str, Any]] = {
    "plain": {"dropout": 0.5},
    "two layers": {"layers": 2, "dropout": 0.5},
    "patches": {"lookback": 10, "patch": 4, "head_units": 5},
    "one row": {"lookback": 1},
    "last": {"window_norm": "last", "skip": "last"},
    "standard": {"window_norm": "standard", "skip": "linear"},
    "first": {"difference": "first", "window_norm": "standard"},
    "seasonal": {"difference": "seasonal", "skip": "seasonal"},
    "smoothing": {"window_norm": "last", "skip": "ets"},
    "log smoothing": {"transform": "log", "skip": "ets", "difference": "first"},
    "beforehand": {"window_norm": "last", "skip": "pretrained"},
    "log beforehand": {"transform": "log", "window_norm": "standard", "skip": "pretrained"},
    "clipped": {"outlier_clip": 2.0, "skip": "linear"},
    "relu cell": {"cell_activation": "relu", "activation": "gelu", "layers": 2},
    "log": {"transform": "log"},
    "log seasonal": {"transform": "log", "difference": "seasonal", "window_norm": "last", "skip": "linear"},
}


def lstm(**params: Any) -> Factory:
    def make(windows: Windows) -> Forecaster:
        model = net(Config.from_params(TINY | params), SHAPE)
        if model.future_output is not None:
            torch.nn.init.ones_(model.future_output[-1].weight)  # type: ignore[index, union-attr, arg-type]
        model.fit_statistics(windows, FIT)
        return model

    return make


def mean(windows: Windows) -> Forecaster:
    members: Any = [lstm(lookback=n)(windows) for n in (4, 9)]
    return MeanForecaster(members).eval()


def baselines(windows: Windows) -> dict[str, Forecaster]:
    scale = TargetScale.of(windows, FIT)
    weights = {"persistence": 0.25, "ridge": 0.5, "ets": 0.25}
    fitted = fit_baselines(windows, FIT, period=7, max_lookback=12, scale=scale, combination=weights)
    return {**fitted, "train_mean": TrainMean(horizon=HORIZON, mean=scale.mean)}


def baseline(name: str) -> Factory:
    return lambda windows: baselines(windows)[name]


FACTORIES: dict[str, Factory] = {
    **{f"lstm {name}": lstm(**params) for name, params in LSTMS.items()},
    "mean": mean,
    **{name: baseline(name) for name in LABELS},
}
every = pytest.mark.parametrize("make", FACTORIES.values(), ids=list(FACTORIES))


def windows_of(a: float = 1.0, b: float = 0.0, later: float = 0.0, later_covariate: float = 0.0) -> Windows:
    """Two columns, a·y + b, with a past and a future covariate; rows from 133 on are changed by `later`."""
    y, z = wave(140), wave(140, period=10, seed=1)
    p, f = wave(140, seed=2), wave(140, seed=3)
    y, z = a * y + b, a * z + b
    for column, change in ((y, later), (z, later), (p, later_covariate), (f, later_covariate)):
        column[133:] += change
    return Windows(series_of(daily(y, z=z, p=p, f=f), target=["y", "z"], past="p", future="f"), HORIZON)


def positions(windows: Windows) -> torch.Tensor:
    return torch.cat([AT, AT + windows.rows])


def first_batch(windows: Windows, context: int) -> Batch:
    return windows.gather(positions(windows), context)


def test_every_baseline_has_a_label_and_every_label_a_baseline() -> None:
    assert list(baselines(windows_of())) == list(LABELS)


@every
def test_forecast_has_one_row_a_window_and_one_column_a_step(make: Factory) -> None:
    windows = windows_of()
    forecaster = make(windows)
    forecast = forecast_all(forecaster, windows, positions(windows))
    assert forecast.shape == (8, HORIZON)
    assert forecast.dtype == torch.float32
    assert bool(forecast.isfinite().all())
    assert not forecast.requires_grad


@every
def test_forecast_is_in_the_units_of_the_series(make: Factory, request: pytest.FixtureRequest) -> None:
    shift = 0.0 if "log" in request.node.callspec.id else 500.0
    one, other = windows_of(), windows_of(40.0, shift)
    forecast = forecast_all(make(one), one, positions(one))
    scaled = forecast_all(make(other), other, positions(other))
    torch.testing.assert_close((scaled - shift) / 40.0, forecast, rtol=2e-3, atol=2e-3)


@every
def test_forecast_is_deterministic_in_evaluation(make: Factory) -> None:
    windows = windows_of()
    one, other = make(windows), make(windows)
    expected = forecast_all(one, windows, positions(windows))
    assert torch.equal(forecast_all(one, windows, positions(windows)), expected)
    assert torch.equal(forecast_all(other, windows, positions(windows)), expected)


@every
def test_forecast_of_a_window_does_not_depend_on_its_batch(make: Factory) -> None:
    windows = windows_of()
    forecaster = make(windows)
    together = forecast_all(forecaster, windows, positions(windows))
    alone = torch.cat([forecast_all(forecaster, windows, at[None]) for at in positions(windows)])
    torch.testing.assert_close(alone, together)


@every
def test_forecast_does_not_look_at_its_targets(make: Factory) -> None:
    windows = windows_of()
    forecaster = make(windows)
    batch = first_batch(windows, forecaster.context)
    blind = dataclasses.replace(
        batch,
        target=torch.full_like(batch.target, torch.nan),
        observed=torch.zeros_like(batch.target, dtype=torch.bool),
    )
    with torch.inference_mode():
        assert torch.equal(forecaster(blind), forecaster(batch))


@every
def test_forecast_does_not_look_at_later_rows(make: Factory) -> None:
    one, other = windows_of(), windows_of(later=1e3, later_covariate=1e3)
    ahead = forecast_all(make(one), one, positions(one))
    assert torch.equal(forecast_all(make(other), other, positions(other)), ahead)


@every
def test_forecast_follows_the_newest_value(make: Factory) -> None:
    windows = windows_of()
    forecaster = make(windows)
    batch = first_batch(windows, forecaster.context)
    history = batch.history.clone()
    history[:, -1] *= 1.2
    with torch.inference_mode():
        changed = forecaster(dataclasses.replace(batch, history=history)) - forecaster(batch)
    naive = isinstance(forecaster, SeasonalNaive | TrainMean)  # they look at other rows
    assert bool((changed.abs().sum(1) > 0).all()) is not naive


@pytest.mark.parametrize("params", LSTMS.values(), ids=list(LSTMS))
def test_covariates_are_used(params: dict[str, Any]) -> None:
    windows = windows_of()
    model = lstm(**params)(windows)
    batch = first_batch(windows, model.context)
    past, future = batch.past.clone(), batch.future.clone()
    past[:, -1] += 2.0
    future[:, -1] += 2.0
    with torch.inference_mode():
        base = model(batch)
        by_past = (model(dataclasses.replace(batch, past=past)) - base).abs()
        by_future = (model(dataclasses.replace(batch, future=future)) - base).abs()
    assert bool((by_past.sum(1) > 0).all())
    assert bool((by_future[:, -1] > 0).all())
    if not params.get("difference"):
        assert float(by_future[:, :-1].max()) == 0.0  # a step knows the covariates of its own row


def test_mean_is_the_mean_of_its_members() -> None:
    windows = windows_of()
    ensemble: Any = mean(windows)
    members = [forecast_all(m, windows, positions(windows)).numpy() for m in ensemble.members]
    assert ensemble.context == 9
    np.testing.assert_allclose(
        forecast_all(ensemble, windows, positions(windows)).numpy(), np.mean(members, axis=0), rtol=1e-5
    )


@pytest.mark.parametrize("horizon", [1, 3, 7, 9, 15])
def test_seasonal_naive_repeats_the_last_season(horizon: int) -> None:
    windows = Windows(series_of(wave(140)), horizon)
    forecast = forecast_all(SeasonalNaive(horizon=horizon, context=7), windows, torch.tensor([50]))[0]
    values = windows.data.values[0]
    assert forecast.tolist() == [float(values[50 - 7 + h % 7]) for h in range(horizon)]


def test_persistence_is_the_last_value() -> None:
    windows = windows_of()
    forecast = forecast_all(Persistence(horizon=HORIZON), windows, torch.tensor([50]))
    assert forecast.tolist() == [[float(windows.data.values[0, 49])] * HORIZON]


def test_ridge_ignores_filled_targets_and_forecasts_persistence_without_any_whole_window() -> None:
    y = wave(140)
    y[::2] = np.nan
    windows = Windows(series_of(y), HORIZON)
    forecaster = fit_ridge_baseline(windows, FIT, 12, TargetScale(mean=(0.0,), sd=(1.0,)))
    expected = forecast_all(Persistence(horizon=HORIZON), windows, AT)
    assert torch.equal(forecast_all(forecaster, windows, AT), expected)
