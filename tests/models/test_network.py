"""The model: what stands before and after the LSTM, against formulas that loop."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from series import TINY, batch_at, daily, net, series_of, wave
from torch.nn import functional as F

from lstm_tune.config import ACTIVATIONS, CELL_ACTIVATIONS, CELL_LABELS, Config
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError
from lstm_tune.models import forecaster as networks
from lstm_tune.models.cells import CELLS, FUNCTIONS, RecurrentLayers, layer_params, set_training_precision
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.models.located import seasonal_repeat
from lstm_tune.models.preprocessing import NO_LOG_FLOOR, Shape

HORIZON = 5
PERIOD = 4
SHAPE = Shape(horizon=HORIZON, period=PERIOD, smoothing=11)


def config_of(**params: Any) -> Config:
    return Config.from_params(TINY | params)


def fitted(config: Config, y: np.ndarray, *, zero: bool = False, shape: Shape = SHAPE) -> tuple[LSTMForecaster, Any]:
    data = series_of(y)
    model = net(config, shape, zero=zero)
    model.fit_statistics(Windows(data, shape.horizon), ((0, 100),))
    return model, data


def forecast(model: LSTMForecaster, data: Any, row: int) -> np.ndarray:
    with torch.inference_mode():
        return model(batch_at(data, row, model.context, model.shape.horizon))[0].double().numpy()


def test_a_model_is_untrained_until_its_output_moves_off_the_forecast_that_it_corrects() -> None:
    corrects = LSTMForecaster(config_of(skip="last"), SHAPE)
    assert corrects.is_untrained
    with torch.no_grad():
        corrects.output.bias[0] = 1e-3
    assert not corrects.is_untrained
    assert not LSTMForecaster(config_of(skip="none"), SHAPE).is_untrained


# ---- differencing


@pytest.mark.parametrize(("difference", "lag"), [("none", 0), ("first", 1), ("seasonal", PERIOD)])
@pytest.mark.parametrize("horizon", [1, 3, 4, 9])
def test_difference_and_its_inverse_agree_with_loops(difference: str, lag: int, horizon: int) -> None:
    model = net(config_of(difference=difference), Shape(horizon=horizon, period=PERIOD))
    data = series_of(wave(60))
    at = model.locate(batch_at(data, 30, model.context, horizon))
    target = data.values[0, 30 : 30 + horizon][None]
    differenced = model.difference_target(target, at)
    values = data.values[0].double().tolist()
    expected = [values[30 + h] - (values[30 + h - lag] if lag else 0.0) for h in range(horizon)]
    np.testing.assert_allclose(differenced[0].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(model.undifference(differenced, at), target, atol=1e-5, rtol=0)
    # the inverse by its definition: each step on the one a lag before, itself a forecast beyond the first
    known = values[:30]
    for h in range(horizon):
        known.append(float(differenced[0, h]) + (known[30 + h - lag] if lag else 0.0))
    np.testing.assert_allclose(model.undifference(differenced, at)[0].numpy(), known[30:], atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(0.5, 1e3, width=32), min_size=24, max_size=24),
    transform=st.sampled_from(["none", "log"]),
    difference=st.sampled_from(["none", "first", "seasonal"]),
)
def test_scaling_and_differencing_invert(values: list[float], transform: str, difference: str) -> None:
    model = net(config_of(transform=transform, difference=difference), SHAPE)
    model.center.fill_(1.5)
    model.scale.fill_(3.0)
    data = series_of([0.25, *values])
    batch = batch_at(data, 20, model.context, HORIZON)
    at = model.locate(batch)
    level = model.scale_level(batch.target, batch.group)
    back = model.unscale(model.undifference(model.difference_target(level, at), at), batch)
    torch.testing.assert_close(back, batch.target, rtol=1e-3, atol=2e-3)


# ---- a head that says nothing leaves the skip


@pytest.mark.parametrize(
    "params",
    [
        {"skip": "last"},
        {"window_norm": "last"},
        {"window_norm": "last", "skip": "last"},
        {"difference": "first"},
        {"transform": "log", "skip": "last"},
        {"transform": "log", "difference": "first"},
        {"window_norm": "standard", "skip": "last"},
    ],
    ids=str,
)
def test_untrained_model_with_a_skip_is_persistence(params: dict[str, Any]) -> None:
    model, data = fitted(config_of(**params), wave(), zero=True)
    np.testing.assert_allclose(forecast(model, data, 120), [float(data.values[0, 119])] * HORIZON, rtol=1e-5)


@pytest.mark.parametrize(
    "params",
    [{"skip": "seasonal"}, {"difference": "seasonal"}, {"skip": "seasonal", "window_norm": "standard", "lookback": 2}],
    ids=str,
)
def test_untrained_model_with_a_season_is_seasonal_naive(params: dict[str, Any]) -> None:
    model, data = fitted(config_of(**params), wave(), zero=True)
    expected = [float(data.values[0, 120 - PERIOD + h % PERIOD]) for h in range(HORIZON)]
    np.testing.assert_allclose(forecast(model, data, 120), expected, rtol=1e-5)


@pytest.mark.parametrize("window_norm", ["none", "last", "standard"])
def test_untrained_model_with_a_linear_skip_is_that_regression(window_norm: str) -> None:
    model, data = fitted(config_of(skip="linear", window_norm=window_norm), wave(), zero=True)
    level = (data.values[0].double().numpy() - float(model.center)) / float(model.scale)
    window = level[120 - 8 : 120]
    location = {"none": 0.0, "last": window[-1], "standard": window.mean()}[window_norm]
    ahead = model.skip_weight.double().numpy() @ (window - location) + model.skip_bias.double().numpy() + location
    expected = ahead * float(model.scale) + float(model.center)
    np.testing.assert_allclose(forecast(model, data, 120), expected, rtol=1e-4)
    errors = [forecast(model, data, r) - data.values[0, r : r + HORIZON].numpy() for r in range(20, 95)]
    persistence = [(data.values[0, r - 1] - data.values[0, r : r + HORIZON]).numpy() for r in range(20, 95)]
    assert np.mean(np.square(errors)) < 0.2 * np.mean(np.square(persistence))


def test_linear_skip_in_units_of_each_window_does_not_follow_the_windows_that_vary_most() -> None:
    rng = np.random.default_rng(0)
    large, small = 20 * rng.normal(size=30), np.sin(np.arange(110) / 4) + 0.05 * rng.normal(size=110)
    errors = {}
    for scale in ("series", "window"):
        config = config_of(skip="linear", window_norm="last", loss_scale=scale)
        model, data = fitted(config, np.concatenate([large, small]), zero=True)
        errors[scale] = np.mean([np.abs(forecast(model, data, r)[0] - small[r - 30]) for r in range(110, 130)])
    assert errors["window"] < 0.5 * errors["series"]


def test_seasonal_difference_and_last_value_are_the_airline_formula() -> None:
    shape = Shape(horizon=1, period=12)
    y = wave(160, period=12)
    model, data = fitted(config_of(difference="seasonal", window_norm="last"), y, zero=True, shape=shape)
    values = data.values[0].double().numpy()
    for row in range(110, 150):
        expected = values[row - 12] + values[row - 1] - values[row - 13]
        assert forecast(model, data, row)[0] == pytest.approx(expected, rel=1e-5)


def test_model_without_skip_starts_from_its_own_head() -> None:
    model = LSTMForecaster(config_of(), SHAPE)
    assert float(model.output.weight.detach().abs().min()) > 0


# ---- every combination


COMBINATIONS = list(
    itertools.product(
        ("none", "log"),
        ("none", "first", "seasonal"),
        ("none", "last", "standard"),
        ("none", "last", "linear", "seasonal", "ets"),
        ((8, 1), (7, 3)),
    )
)


@pytest.mark.parametrize("transform", ["none", "log"])
def test_every_combination_trains_and_forecasts_finite_numbers(transform: str) -> None:
    data = series_of(wave())
    windows = Windows(data, HORIZON)
    for combination in COMBINATIONS:
        _, difference, window_norm, skip, (lookback, patch) = combination
        if combination[0] != transform:
            continue
        model, _ = fitted(
            config_of(
                transform=transform,
                difference=difference,
                window_norm=window_norm,
                skip=skip,
                lookback=lookback,
                patch=patch,
            ),
            wave(),
        )
        assert model.context == max(lookback, {"seasonal": PERIOD, "ets": 11}.get(skip, 1)) + model.lag
        batch = windows.gather(torch.tensor([50, 60]), model.context)
        level = model.level(batch)
        assert level.shape == (2, HORIZON)
        (level - model.scale_level(batch.target, batch.group)).square().mean().backward()  # type: ignore[no-untyped-call]
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
        torch.testing.assert_close(model.unscale(level, batch), model(batch))


def test_patches_hold_the_rows_in_order_the_oldest_filled_up() -> None:
    model = net(config_of(lookback=7, patch=3), SHAPE)
    seen: list[torch.Tensor] = []
    model.lstm.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    data = series_of(np.arange(1.0, 41.0))
    model(batch_at(data, 20, 7, HORIZON))
    assert seen[0].tolist() == [[[14, 14, 14], [15, 16, 17], [18, 19, 20]]]


def test_patch_longer_than_the_lookback_is_the_whole_lookback() -> None:
    model = net(config_of(lookback=5, patch=24), SHAPE)
    assert (model.patch, model.steps) == (5, 1)


def test_standard_norm_shows_the_lstm_windows_of_mean_0_and_spread_1() -> None:
    model, data = fitted(config_of(window_norm="standard", lookback=20), wave())
    at = model.locate(batch_at(data, 60, 20, HORIZON))
    inputs = model.inputs(at)
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-5)
    assert float(inputs.std(correction=0)) == pytest.approx(1, abs=1e-2)


def test_flat_window_is_not_blown_up() -> None:
    y = np.concatenate([wave(100), np.full(40, 5.0)])
    model, data = fitted(config_of(window_norm="standard"), y)
    inputs = model.inputs(model.locate(batch_at(data, 130, 8, HORIZON)))
    assert float(inputs.abs().max()) < 1e-2


def test_inputs_are_clipped_at_robust_deviations_of_the_fit_rows() -> None:
    y = wave(140, noise=0.0)
    y[50] = 1e4
    model, _ = fitted(config_of(outlier_clip=3.0), y)
    width = float(model.clip_high - model.clip_low)
    typical = 1.4826 * float(np.median(np.abs(y[:100] - np.median(y[:100])))) / float(model.scale)
    assert width == pytest.approx(6 * typical, rel=0.1)
    free, _ = fitted(config_of(), y)
    assert float(free.clip_high) == float("inf")


def test_log_forecast_grows_but_not_without_limit() -> None:
    model, data = fitted(config_of(transform="log"), wave())
    torch.nn.init.constant_(model.output.bias, 1e4)
    ahead = forecast(model, data, 120)
    assert np.isfinite(ahead).all()
    assert ahead.max() < 1e3


LOG_CONFIGS = [
    {"transform": "log", "difference": difference, "window_norm": window_norm, "skip": skip}
    for difference, window_norm, skip in itertools.product(
        ("none", "first", "seasonal"), ("none", "last", "standard"), ("none", "last", "linear", "seasonal", "ets")
    )
]


@settings(max_examples=60, deadline=None)
@given(
    params=st.sampled_from(LOG_CONFIGS),
    window=st.lists(
        st.floats(-1e9, 1e9, width=32) | st.sampled_from([0.0, -1e-30, 1e-30, 5.0]), min_size=20, max_size=20
    ),
    at=st.integers(0, 19),
    bad=st.sampled_from([0.0, -0.0, -3.0, -1e20, 1e-12]),
    old=st.booleans(),
)
def test_log_forecast_of_a_window_with_unseen_zeros_or_negatives_stays_within_what_was_seen(
    params: dict[str, Any], window: list[float], at: int, bad: float, old: bool
) -> None:
    model, data = fitted(config_of(**params), wave())
    highest = float(data.values[0, :100].max())
    if old:  # a model that was saved before the floor was kept
        model.log_floor.fill_(NO_LOG_FLOOR)
        highest *= 1.1
    window[at] = bad
    assert model.context <= 20
    batch = batch_at(data, 60, 20, HORIZON)
    batch.history[0] = torch.tensor(window)
    with torch.inference_mode():
        ahead = model(batch.newest(model.context))[0]
    history = batch.history[0, -model.context :]
    if not bool((history <= 0).any()) and not bool((history <= bad).any()):
        return  # the bad value lies before what the model looks at
    assert bool(ahead.isfinite().all())
    assert float(ahead.min()) >= 0
    assert float(ahead.max()) <= max(highest, float(history.max())) * (1 + 1e-3)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (-20.0, 0.0), (0.1, 0.1)])
def test_persistence_in_logarithms_repeats_a_zero_and_takes_negative_values_as_0(value: float, expected: float) -> None:
    model, data = fitted(config_of(transform="log", skip="last"), wave(), zero=True)
    batch = batch_at(data, 60, model.context, HORIZON)
    batch.history[0, -1] = value
    with torch.inference_mode():
        assert model(batch)[0].tolist() == pytest.approx([expected] * HORIZON, abs=1e-4)


def test_windows_of_positive_values_are_forecast_without_the_tangent() -> None:
    model, data = fitted(config_of(transform="log", skip="linear"), wave())
    batch = batch_at(data, 60, model.context, HORIZON)
    batch.history[0, -2] *= 0.3  # below what was fitted, yet not far below
    with torch.inference_mode():
        ahead = model(batch)
        model.log_floor.fill_(1e-3)
        assert torch.equal(model(batch), ahead)


def test_log_of_what_is_not_positive_is_refused() -> None:
    with pytest.raises(DataError, match="log"):
        fitted(config_of(transform="log"), wave(level=0.0))


def test_channel_without_an_observed_value_in_the_rows_is_refused() -> None:
    y = wave(140)
    y[:100] = np.nan
    with pytest.raises(DataError, match="no observed value"):
        fitted(config_of(), y)


def test_each_channel_has_a_scale_of_its_own() -> None:
    y, z = wave(140), 100 * wave(140, seed=1)
    data = series_of(daily(y, z=z), target=["y", "z"])
    model = net(config_of(), Shape(horizon=2, channels=2))
    model.fit_statistics(Windows(data, 2), ((0, 100),))
    np.testing.assert_allclose(model.center.numpy(), [y[:100].mean(), z[:100].mean()], rtol=1e-5)
    np.testing.assert_allclose(model.scale.numpy(), [y[:100].std(), z[:100].std()], rtol=1e-4)
    assert model.channel_embedding is not None


def test_constant_covariate_does_no_harm() -> None:
    data = series_of(daily(wave(140), p=np.full(140, 3.0)), target="y", past="p")
    model = net(config_of(), Shape(horizon=HORIZON, past=1))
    model.fit_statistics(Windows(data, HORIZON), ((0, 100),))
    assert np.isfinite(forecast(model, data, 120)).all()


# ---- the cell


def test_tables_of_the_network_hold_the_words_of_the_parameters() -> None:
    assert sorted(CELLS) == sorted(CELL_LABELS)
    assert sorted(FUNCTIONS) == sorted(CELL_ACTIVATIONS)
    assert sorted(networks.ACTIVATIONS) == sorted(ACTIVATIONS)


@pytest.mark.parametrize("layers", [1, 3])
def test_weights_start_orthogonal_and_the_forget_gate_open(layers: int) -> None:
    cores: Any = RecurrentLayers(CELLS["lstm"], 3, 6, layers=layers, dropout=0.0, activation="tanh").layers
    assert len(cores) == layers
    for core in cores:
        recurrent = core.weight_hh_l0.detach()  # (24, 6): all four gates at once, as Keras has it
        torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(6), atol=1e-5, rtol=0)
        bias = (core.bias_ih_l0 + core.bias_hh_l0).detach().chunk(4)
        assert [part.tolist() for part in bias] == [[0.0] * 6, [1.0] * 6, [0.0] * 6, [0.0] * 6]


@pytest.mark.parametrize("name", CELLS)
def test_cell_step_by_step_equals_the_fused_one_and_that_of_torch(name: str) -> None:
    cell = CELLS[name]
    layers = RecurrentLayers(cell, 3, 6, layers=2, dropout=0.3, activation="tanh").eval()
    x = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(0))
    hidden = theirs = x.transpose(0, 1)
    for core in layers.layers:
        assert isinstance(core, torch.nn.RNNBase)
        assert core.weight_hh_l0.shape == (cell.gates * 6, 6)
        hidden, last = cell.stepwise(layer_params(core), hidden, torch.tanh)
        torch.testing.assert_close(hidden[-1], last)
        theirs = core(theirs)[0]
    torch.testing.assert_close(hidden[-1], layers(x))
    torch.testing.assert_close(theirs[-1], layers(x))


@pytest.mark.parametrize("layers", [1, 2])
def test_last_state_and_its_gradients_equal_those_of_nn_lstm(layers: int) -> None:
    lstm = RecurrentLayers(CELLS["lstm"], 3, 6, layers=layers, dropout=0.0, activation="tanh")
    found = []
    x = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(0))
    for mine in (True, False):
        lstm.zero_grad(set_to_none=True)
        steps = x.transpose(0, 1)
        for core in lstm.layers:
            steps = core(steps)[0]
        last = lstm(x) if mine else steps[-1]
        last.square().sum().backward()
        found.append([last.detach(), *(p.grad for p in lstm.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_bf16_rounds_training_alone_and_keeps_weights_and_gradients_in_fp32() -> None:
    lstm = RecurrentLayers(CELLS["lstm"], 3, 16, layers=2, dropout=0.0, activation="tanh")
    x = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(0))
    full = lstm(x).detach()
    set_training_precision(lstm, "bf16")
    rough = lstm(x)
    rough.sum().backward()
    assert rough.dtype == torch.float32
    assert 1e-5 < (rough.detach() - full).abs().max() < 0.02
    assert {p.dtype for p in lstm.parameters()} == {p.grad.dtype for p in lstm.parameters()} == {torch.float32}  # type: ignore[union-attr]
    assert torch.equal(lstm.eval()(x), full)
    set_training_precision(lstm, "fp32")
    assert torch.equal(lstm.train()(x), full)


@pytest.mark.parametrize("activation", [a for a in CELL_ACTIVATIONS if a != "tanh"])
def test_plain_cell_agrees_with_the_textbook(activation: str) -> None:
    function = getattr(F, activation, None) or getattr(torch, activation)
    lstm = RecurrentLayers(CELLS["lstm"], 2, 3, layers=1, dropout=0.0, activation=activation).eval()
    x = torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(0))
    core: Any = lstm.layers[0]
    h = c = torch.zeros(3)
    for step in x[0]:
        z = core.weight_ih_l0 @ step + core.bias_ih_l0 + core.weight_hh_l0 @ h + core.bias_hh_l0
        i, f, g, o = z.chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * function(g)
        h = torch.sigmoid(o) * function(c)
    torch.testing.assert_close(lstm(x)[0], h)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_head_activation_forecasts(activation: str) -> None:
    model, data = fitted(config_of(activation=activation, head_units=3), wave())
    assert np.isfinite(forecast(model, data, 120)).all()
    assert np.ptp(forecast(model, data, 120)) > 0


def test_seasonal_repeat_agrees_with_a_loop() -> None:
    history = torch.arange(10.0)[None]
    for period, horizon in itertools.product(range(1, 11), range(1, 25)):
        expected = [10 - period + h % period for h in range(horizon)]
        assert seasonal_repeat(history, period, horizon)[0].tolist() == expected
