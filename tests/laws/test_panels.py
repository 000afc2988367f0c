"""Panels: each series counts alike, and no series has a part in the scale, the score or the forecast of another."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from series import TINY, panel, series_of, task_of, wave

import lstm_tune
from lstm_tune.config import Config
from lstm_tune.data.own_scale import SeriesStatistics, own_scale
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.score import score
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.own_series import for_series
from lstm_tune.training.task import Task, make_trainer

pytestmark = pytest.mark.laws


def shops(scale_of_b: float = 1.0) -> pd.DataFrame:
    return panel(wave(160), scale_of_b * wave(120, seed=1), 3e4 * wave(140, seed=2))


def trained(task: Task, **params: Any) -> LSTMForecaster:
    trainer = make_trainer(task, 0, Config.from_params(TINY | {"skip": "linear", "window_norm": "last"} | params), 0)
    trainer.run_epoch()
    return trainer.result.eval()


def forecasts(task: Task, forecaster: Any) -> dict[int, torch.Tensor]:
    """The forecasts of the validation windows of each series."""
    windows, positions = task.windows, task.folds[0].report_windows
    batch = windows.gather(positions, forecaster.context)
    with torch.inference_mode():
        ahead = forecaster(batch)
    return {s: ahead[batch.group == s] for s in range(windows.data.n_series)}


@pytest.mark.parametrize(
    "params",
    [{}, {"skip": "ets"}, {"difference": "first", "window_norm": "standard"}, {"loss_scale": "window"}],
    ids=str,
)
def test_a_series_times_c_has_its_forecasts_times_c_and_changes_no_other(params: dict[str, Any]) -> None:
    before, after = (task_of(shops(by), id="shop", target="y", horizon=3, folds=2) for by in (1.0, 2.0**-14))
    one, other = (forecasts(task, trained(task, **params)) for task in (before, after))
    for s, by in enumerate((1.0, 2.0**-14, 1.0)):
        torch.testing.assert_close(other[s], by * one[s], rtol=1e-6, atol=0.0)
    for name, (_, scaled) in before.baselines.items():
        assert after.baselines[name][1] == pytest.approx(scaled, rel=1e-5), name


def test_a_score_is_the_mean_over_the_series_whatever_their_size_and_length() -> None:
    frame = shops().reset_index(drop=True)
    frame.loc[82:89, "y"] = np.nan  # fewer values of the first series are scored
    task = task_of(frame, id="shop", target="y", horizon=3, split=(80, 16, 24))
    fitted = fit_baselines(
        task.windows,
        task.folds[0].segment.fit,
        period=task.period,
        max_lookback=task.limits.max_lookback,
        scale=task.scale,
    )
    alone = []
    for s, (a, b) in enumerate(task.folds[0].segment.score):
        only = tuple((a, b) if s == i else (a, a) for i, (a, _) in enumerate(task.folds[0].segment.score))
        positions = task.windows.positions(only, 0, reach_back=True)
        alone.append(score(fitted["ridge"], task.windows, positions, task.scale).mse_scaled)
    assert task.baselines["ridge"][1] == pytest.approx(np.mean(alone))


def test_another_series_future_changes_no_forecast() -> None:
    task = task_of(shops(), id="shop", target="y", horizon=3)
    model = trained(task)
    windows = task.windows
    first = [a for a, _ in task.folds[0].segment.score]
    before = model(windows.gather(torch.tensor(first[:1]), model.context))
    changed = windows.data.values.clone()
    changed[0, first[1] :] = 1e6
    windows._values[:] = changed.reshape(-1)
    assert torch.equal(model(windows.gather(torch.tensor(first[:1]), model.context)), before)


def test_constant_and_hardly_varying_series_neither_divide_by_zero_nor_dominate() -> None:
    jump = np.where(np.arange(160) < 125, 100.0, 120.0)
    hardly = 50 + 1e-9 * wave(160) + np.where(np.arange(160) < 125, 0.0, 5.0)
    frame = panel(wave(160), 40 * wave(160, seed=1), np.zeros(160), jump, hardly, wave(160, seed=3))
    for unit in (1.0, 1e-12, 1e12):
        task = task_of(frame.assign(y=frame["y"] * unit), id="shop", target="y", horizon=3)
        found = score(trained(task), task.windows, task.folds[0].report_windows, task.scale)
        scaled = found.series_mse[0] / np.square(task.scale.own_sd)
        assert np.isfinite(scaled).all()
        assert scaled.max() < 20 * len(scaled)
        if unit == 1.0:
            usual = task.baselines
    assert task.baselines["persistence"][1] == pytest.approx(usual["persistence"][1], rel=1e-4)


def test_statistics_of_each_series_are_those_of_a_loop() -> None:
    frame = shops()
    frame.loc[frame.index % 7 == 3, "y"] = np.nan
    data = series_of(frame, id="shop", target="y")
    rows = tuple((a, b - 5 * s) for s, (a, b) in enumerate(itertools.pairwise(data.offsets)))
    found = SeriesStatistics.of(data, rows)
    for s, (a, b) in enumerate(rows):
        seen = data.values[0, a:b][data.observed[0, a:b]].double().numpy()
        assert (found.count[0, s], found.low[0, s], found.high[0, s]) == (len(seen), seen.min(), seen.max())
        assert (found.mean[0, s], found.sd[0, s]) == (pytest.approx(seen.mean()), pytest.approx(seen.std()))
    scale, size = own_scale(found), np.hypot(found.mean[0], found.sd[0])
    assert scale.spread[0] == pytest.approx(found.sd[0])
    assert scale.usual[0] == pytest.approx([np.median(found.sd[0] / size), np.min(found.sd[0])])


def test_a_known_series_keeps_its_scale_and_a_new_one_is_scaled_by_its_history() -> None:
    task = task_of(shops(), id="shop", target="y", horizon=3)
    member = trained(task)
    new = panel(1e5 * wave(60, seed=4), wave(160)).assign(shop=["new"] * 60 + ["a"] * 160)
    few = pd.concat([new, panel(np.array([7.0, 8.0, 7.0])).assign(shop="z")])
    data = series_of(few, id="shop", target="y")
    assert data.series == ("a", "new", "z")
    adapted = for_series(MeanForecaster([member]), task.windows.data.series, data).members[0]
    assert isinstance(adapted, LSTMForecaster)
    assert adapted.center[0] == member.center[0]
    assert adapted.scale[0] == member.scale[0]
    assert float(adapted.center[1]) == pytest.approx(1e5 * wave(60, seed=4).mean(), rel=1e-5)
    assert float(adapted.scale[1]) == pytest.approx(1e5 * wave(60, seed=4).std(), rel=1e-4)
    logarithms = trained(task, transform="log", skip="none")
    twice = series_of(few.assign(y=2 * few["y"]), id="shop", target="y")
    other = for_series(MeanForecaster([logarithms]), task.windows.data.series, twice).members[0]
    for name in ("center", "scale", "log_ceiling"):
        assert getattr(other, name)[0] == getattr(logarithms, name)[0], name
        assert getattr(other, name)[1] not in getattr(logarithms, name), name
    size = float(np.sqrt(np.mean(np.square([7.0, 8.0, 7.0]))))
    assert float(adapted.scale[2]) == pytest.approx(float(member.usual_spread[0, 0]) * size, rel=1e-5)
    windows = Windows(data, 3)
    with torch.inference_mode():
        ahead = adapted(windows.gather(torch.tensor([100, 200]), adapted.context))
    assert np.isfinite(ahead.numpy()).all()
    assert ahead[1].mean() > 1e5


def test_the_parts_of_the_mse_add_up_to_the_score_of_series_with_different_numbers_of_windows() -> None:
    frame = panel(wave(160), 40 * wave(70, seed=1, noise=0.9), wave(300, seed=2))
    frame.loc[(frame["shop"] == "c") & (frame.index % 9 == 4), "y"] = np.nan
    options: dict[str, Any] = {"space": TINY, "n_trials": 1, "retrain_seeds": 1, "folds": 1, "split": (0.6, 0.1, 0.3)}
    found = lstm_tune.tune(frame, id="shop", target="y", horizon=3, **options).to_dict()
    parts = found["decomposition"]
    assert parts["mse_scaled"] == pytest.approx(found["test"]["mse_scaled"], rel=1e-4)
    assert parts["bias2"] + parts["variance"] + parts["rest"] == pytest.approx(parts["mse_scaled"], rel=1e-4)
