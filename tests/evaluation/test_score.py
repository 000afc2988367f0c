"""Scores against naive loops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from series import TINY, daily, naive_mse_scaled, net, panel, series_of, wave, with_holes

from lstm_tune.config import Config
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.score import Score, TargetScale, forecast_all, quick_mse_scaled, score
from lstm_tune.models.baselines import Persistence, SeasonalNaive
from lstm_tune.models.preprocessing import Shape

TRAIN = ((0, 60), (100, 150))
ROWS = ((60, 100), (150, 200))


def columns() -> Windows:
    """Two columns with holes in two series of 100 rows."""
    frame = panel(with_holes(wave(100, noise=0.5)), with_holes(wave(100, seed=1), every=4))
    frame["z"] = 50 * with_holes(wave(200, seed=2), every=5)
    return Windows(series_of(frame, target=["y", "z"], id="shop", keep_ahead=True), 3)


def test_scale_is_mean_and_deviation_of_the_observed_rows() -> None:
    windows = columns()
    scale = TargetScale.of(windows, TRAIN)
    for c in range(2):
        values = [windows.data.values[c, r] for a, b in TRAIN for r in range(a, b) if windows.data.observed[c, r]]
        assert scale.mean[c] == pytest.approx(np.mean(values), rel=1e-6)
        assert scale.sd[c] == pytest.approx(np.std(values), rel=1e-4)


def test_every_number_agrees_with_loops_over_observed_targets() -> None:
    windows = columns()
    data, scale = windows.data, TargetScale.of(windows, TRAIN)
    positions = windows.positions(ROWS, 0, reach_back=True)
    forecaster = SeasonalNaive(horizon=3, context=7)
    found = score(forecaster, windows, positions, scale)
    ahead = forecast_all(forecaster, windows, positions).double()
    errors: list[list[list[float]]] = [[[], [], []], [[], [], []]]
    own: list[list[list[float]]] = [[[], []], [[], []]]  # of each column and series
    targets: list[list[float]] = [[], []]
    for i, position in enumerate(positions.tolist()):
        c, row = divmod(position, data.n_rows)
        total, count, s = 0.0, 0, int(row >= 100)
        values = data.values[c, slice(*TRAIN[s])][data.observed[c, slice(*TRAIN[s])]]
        for h in range(3):
            if data.observed[c, row + h]:
                error = float(ahead[i, h]) - float(data.values[c, row + h])
                errors[c][h].append(error)
                targets[c].append(float(data.values[c, row + h]))
                own[c][s].append(error**2)
                total, count = total + error**2 / np.var(values.double().numpy()), count + 1
        assert found.window_error[i] == pytest.approx(total)
        assert found.window_count[i] == count
    for c in range(2):
        flat = np.concatenate([np.array(e) for e in errors[c]])
        assert found.mse[c] == pytest.approx(np.mean(flat**2))
        assert found.mae[c] == pytest.approx(np.mean(np.abs(flat)))
        assert found.r2[c] == pytest.approx(1 - np.mean(flat**2) / np.var(targets[c]))
        assert found.per_step_mse[c] == pytest.approx([np.mean(np.square(e)) for e in errors[c]])
    np.testing.assert_allclose(found.series_mse, [[np.mean(x) for x in column] for column in own])
    assert found.mse_scaled == pytest.approx(naive_mse_scaled(forecaster, data, ROWS, TRAIN, 3), rel=1e-5)
    assert found.windows == len(positions)


@pytest.mark.parametrize("holes", [False, True])
def test_quick_score_equals_the_full_one(holes: bool) -> None:
    y = with_holes(wave()) if holes else wave()
    windows = Windows(series_of(daily(y, z=3 * wave(seed=1)), target=["y", "z"]), 3)
    scale = TargetScale.of(windows, ((0, 100),))
    positions = windows.positions(((100, 160),), 0, reach_back=True)
    model = net(Config.from_params(TINY), Shape(horizon=3, channels=2))
    quick = quick_mse_scaled(model, windows, positions, scale)
    assert quick == pytest.approx(score(model, windows, positions, scale).mse_scaled, rel=1e-6)


def test_scores_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = columns()
    scale = TargetScale.of(windows, TRAIN)
    positions = windows.positions(ROWS, 0, reach_back=True)
    whole = score(Persistence(horizon=3), windows, positions, scale)
    batches = Windows.batches
    monkeypatch.setattr(Windows, "batches", lambda w, p, c, size: batches(w, p, c, 5))
    parts = score(Persistence(horizon=3), windows, positions, scale)
    assert parts.metrics == whole.metrics == {}
    for field in (f for f in dataclasses.fields(Score) if f.name != "metrics"):
        np.testing.assert_allclose(getattr(parts, field.name), getattr(whole, field.name), rtol=1e-9)


def test_scoring_leaves_the_mode_of_the_model_alone_and_uses_no_dropout() -> None:
    windows = Windows(series_of(wave()), 3)
    positions = windows.positions(((100, 160),), 0, reach_back=True)
    model = net(Config.from_params(TINY | {"dropout": 0.9}), Shape(horizon=3)).train()
    scale = TargetScale(mean=(0.0,), sd=(1.0,))
    found = {quick_mse_scaled(model, windows, positions, scale) for _ in range(3)}
    assert len(found) == 1
    assert model.training


@pytest.mark.parametrize("level", [3.0, 0.1, 1e-9])
def test_equal_targets_have_no_r2(level: float) -> None:
    y = wave()
    y[100:] = level
    windows = Windows(series_of(y), 2)
    positions = windows.positions(((105, 160),), 0, reach_back=True)
    found = score(Persistence(horizon=2), windows, positions, TargetScale(mean=(5.0,), sd=(0.7,)))
    assert found.mse == (0.0,)
    assert np.isnan(found.r2[0])


def test_forecasts_of_all_windows_are_one_tensor() -> None:
    windows = columns()
    positions = windows.positions(ROWS, 0, reach_back=True)
    ahead = forecast_all(Persistence(horizon=3), windows, positions)
    assert ahead.shape == (len(positions), 3)
    assert torch.equal(ahead[:, 0], windows._values[positions[:] - 1])


def test_windows_errors_are_kept_only_where_asked_for() -> None:
    windows = columns()
    positions = windows.positions(ROWS, 0, reach_back=True)
    scale = TargetScale.of(windows, TRAIN)
    whole, short = (score(Persistence(horizon=3), windows, positions, scale, each=each) for each in (True, False))
    assert (len(whole.window_error), len(short.window_error)) == (len(positions), 0)
    assert (short.mse, short.mae, short.windows) == (whole.mse, whole.mae, whole.windows)
