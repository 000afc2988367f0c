"""The model without torch: onnxruntime makes the forecasts of `predict` from raw values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from series import TINY, daily, net, panel, series_of, wave

import lstm_tune
from lstm_tune.config import ACTIVATIONS, CELL_ACTIVATIONS, RULES, Config
from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.frequency import DAY, parse_freq
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.windows import Windows
from lstm_tune.errors import UsageError
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.models import raw_module
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.models.onnx_file import METADATA
from lstm_tune.models.preprocessing import Shape
from lstm_tune.training.saved_model import ForecastModel

HORIZON = 3
ALL_COLUMNS = {"target": ["y", "z"], "past": ["p"], "future": ["f"], "calendar": True}
FRAME = daily(wave(160), z=1e6 + wave(160, seed=3), p=wave(160, seed=1), f=wave(160, seed=2))

# The members of the mean in one file; together they hold every switch of the presets that changes a forecast.
GROUPS: dict[str, list[dict[str, Any]]] = {
    "inputs": [
        {"lookback": 7, "patch": 3, "head_units": 5, "activation": "gelu"},
        {"window_norm": "last", "skip": "linear", "outlier_clip": 2.0, "activation": "silu"},
        {"loss_scale": "window", "window_norm": "standard", "skip": "linear"},
        {"window_norm": "standard", "skip": "ets", "layers": 2, "activation": "relu"},
        {"difference": "first", "skip": "last", "activation": "none"},
        {"difference": "seasonal", "window_norm": "last", "skip": "seasonal", "activation": "leaky_relu"},
        {"scale": "panel", "activation": "tanh"},
        {"lookback": 1, "window_norm": "last", "skip": "pretrained"},
    ],
    "logarithms": [
        {"transform": "log", "difference": "seasonal", "skip": "linear", "activation": "sigmoid"},
        {"transform": "log", "window_norm": "standard", "skip": "ets", "activation": "elu"},
    ],
    "cells": [{"lookback": 4, "cell_activation": name} for name in CELL_ACTIVATIONS if name != "tanh"],
}


def model_of(data: SeriesSet, members: Sequence[Mapping[str, Any]]) -> ForecastModel:
    """A model of untrained networks with random weights and fitted statistics."""
    spec, ranges = DataSpec.of(data), tuple(zip(data.offsets[:-1], data.offsets[1:], strict=True))
    shape = Shape(
        horizon=HORIZON,
        channels=data.n_channels,
        past=len(data.past_names),
        future=len(data.future_names),
        period=7,
        smoothing=12,
        series=data.n_series,
        categories=data.category_sizes,
    )
    windows, networks = Windows(data, HORIZON, period=7), []
    for i, params in enumerate(members):
        network = net(Config.from_params(TINY | params), shape)
        torch.manual_seed(i)
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
        network.fit_statistics(windows, ranges)
        networks.append(network)
    mean = MeanForecaster(networks, [i + 1 for i in range(len(networks))]).eval()
    return ForecastModel(mean, shape, spec, TargetScale.of(windows, ranges))


def run(path: Path, **inputs: np.ndarray) -> np.ndarray:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(path)
    assert {i.name: i.shape[0] for i in session.get_inputs()} == dict.fromkeys(inputs, "batch")
    (forecast,) = session.run(["forecast"], inputs)
    return np.asarray(forecast)


def windows_of(frame: pd.DataFrame, ends: Sequence[int], lookback: int) -> dict[str, np.ndarray]:
    """The inputs of windows of a frame whose last rows to see are before `ends`."""

    def cut(columns: list[str], ahead: int) -> np.ndarray:
        return np.stack([frame[columns].to_numpy(float)[end - lookback : end + ahead] for end in ends])

    time = frame["date"].to_numpy().astype("datetime64[ns]").view(np.int64)
    return {
        "history": cut(["y", "z"], 0),
        "past": cut(["p"], 0),
        "future": cut(["f"], HORIZON),
        "time": np.stack([time[end - lookback : end + HORIZON] for end in ends]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_every_switch_forecasts_in_onnxruntime_what_predict_does(group: str, tmp_path: Path) -> None:
    """In a batch of any size; but for logarithms the second column is large, and float32 needs an origin to hold it."""
    pytest.importorskip("onnxscript")
    frame = FRAME.assign(z=FRAME["z"] - 1e6) if group == "logarithms" else FRAME
    model = model_of(series_of(frame, **ALL_COLUMNS), GROUPS[group])
    assert any(model.spec.origin) == (group != "logarithms")
    path = tmp_path / "model.onnx"
    model.to_onnx(path)
    ends = (60, 100, 157)
    expected = []
    for end in ends:
        seen = frame.iloc[: end + HORIZON].copy()
        seen.loc[seen.index >= end, ["y", "z"]] = np.nan
        expected.append(model.predict(seen)[["y", "z"]].to_numpy())
    found = run(path, **windows_of(frame, ends, model.lookback))
    assert found == pytest.approx(np.stack(expected), rel=1e-5)
    one = run(path, **windows_of(frame, ends[1:2], model.lookback))
    assert one == pytest.approx(found[1:2], rel=1e-6)


def test_words_and_static_columns_go_with_the_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    words = ["rain", "sun"]
    frame = FRAME.assign(weather=np.where(np.arange(160) % 3, "sun", "rain"), size=2.0)
    model = model_of(series_of(frame, target="y", future="weather", static="size"), [{"skip": "last"}, {"patch": 3}])
    path = tmp_path / "model.onnx"
    model.to_onnx(path)
    end, lookback = 150, model.lookback
    seen = frame.iloc[: end + HORIZON].copy()
    seen.loc[seen.index >= end, "y"] = np.nan
    rows = frame.iloc[end - lookback : end + HORIZON]
    known = np.stack([[words.index(w) + 1.0 for w in rows["weather"]], rows["size"]], axis=1)
    found = run(path, history=rows["y"].to_numpy()[None, :lookback, None], future=known[None])
    assert found[0, :, 0] == pytest.approx(model.predict(seen)["y"].to_numpy(), rel=1e-5)
    known[:, 0] = 0.0  # unknown
    other = run(path, history=rows["y"].to_numpy()[None, :lookback, None], future=known[None])
    assert not np.allclose(found, other)


def test_the_groups_hold_every_switch_that_changes_a_forecast() -> None:
    """A value that a preset can choose and no member has would not be tested."""
    tried = [Config.from_params(TINY | params) for group in GROUPS.values() for params in group]
    assert {c.activation for c in tried} == set(ACTIVATIONS)
    assert {c.cell_activation for c in tried} == set(CELL_ACTIVATIONS)
    for name in ("transform", "difference", "window_norm", "skip", "scale", "loss_scale"):
        assert {getattr(c, name) for c in tried} == set(RULES[name].words), name
    for name in ("patch", "head_units", "outlier_clip", "layers"):
        assert len({getattr(c, name) for c in tried}) > 1, name


def test_panels_are_scaled_by_the_series_that_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    frame = panel(wave(80), 1000 * wave(80, seed=1), wave(80, seed=2) - 5)
    model = model_of(
        series_of(frame, id="shop", target="y"), [{"window_norm": "last"}, {"skip": "ets"}, {"scale": "panel"}]
    )
    path = tmp_path / "model.onnx"
    model.to_onnx(path)
    expected = model.predict(frame)["y"].to_numpy().reshape(3, HORIZON)
    history = np.stack([frame["y"][frame["shop"] == name].to_numpy()[-model.lookback :] for name in "cab"])
    found = run(path, history=history[:, :, None], series=np.array([2, 0, 1]))[:, :, 0]
    assert found == pytest.approx(expected[[2, 0, 1]], rel=1e-5)


def test_logarithms_of_values_never_seen_go_the_same_way(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    model = model_of(series_of(wave(80)), [{"transform": "log"}])
    path = tmp_path / "model.onnx"
    model.to_onnx(path)
    values = np.append(wave(40), [0.0, -3.0, 1e-7])
    expected = model.predict(values)["y"].to_numpy()
    assert run(path, history=values[None, -model.lookback :, None])[0, :, 0] == pytest.approx(expected, rel=1e-5)


def test_the_file_names_columns_series_and_sizes(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    model = model_of(series_of(FRAME, target="y"), [{}])
    model.to_onnx(tmp_path / "model.onnx")
    found = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    sizes = {"lookback": 8, "horizon": 3}
    wanted = {"targets": ["y"], "past": [], "future": [], "categories": {}, "freq": "D", "series": []} | sizes
    assert json.loads(found[METADATA]) == wanted
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_module_is_exported_by_torch_with_a_free_batch() -> None:
    module = model_of(series_of(FRAME, target="y"), [{"window_norm": "standard"}]).module
    size = torch.export.Dim("batch")
    program = torch.export.export(module, (torch.ones(2, 8, 1).double(),), dynamic_shapes=({0: size},))
    history = torch.rand(7, 8, 1).double()
    assert torch.equal(program.module()(history), module(history))


@given(
    times=st.lists(st.integers(-(2**63) + DAY, 2**63 - DAY), min_size=1, max_size=20),
    freq=st.sampled_from(["30min", "h", "D", "B", "W-SUN", "MS", "ME", "QS", "h[Mon-Fri 09:00-17:00]", "D[Mon-Sat]"]),
)
def test_calendar_is_that_of_the_data_at_any_time(times: list[int], freq: str) -> None:
    nanoseconds = np.array(times, dtype=np.int64)
    expected, _ = calendar_features(nanoseconds.view("datetime64[ns]"), freq)
    found = raw_module.calendar_features(torch.from_numpy(nanoseconds)[None], parse_freq(freq))
    assert np.array_equal(found[0].numpy(), expected)


def test_without_the_packages_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = model_of(series_of(wave(80)), [{}])
    monkeypatch.setattr("lstm_tune.models.onnx_file.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"need the package onnx: pip install 'lstm-tune\[onnx\]'"):
        model.to_onnx(tmp_path / "model.onnx")
    monkeypatch.undo()
    with pytest.raises(UsageError, match="there is no folder"):
        model.to_onnx(tmp_path / "none" / "model.onnx")
    assert lstm_tune.ForecastModel.to_onnx is ForecastModel.to_onnx
