"""`model.plot`: what is drawn is what was observed and what is forecast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from series import TINY, daily, panel, wave

import lstm_tune
from lstm_tune.errors import UsageError
from lstm_tune.training.saved_model import ForecastModel

SMALL: dict[str, Any] = {"n_trials": 1, "retrain_seeds": 1, "folds": 1, "space": TINY | {"epochs": 1}, "horizon": 3}
FRAME = daily(np.append(wave(120), np.nan), z=1e6 + wave(121, seed=1))


@pytest.fixture(scope="module")
def model() -> ForecastModel:
    return lstm_tune.tune(FRAME, target=["y", "z"], level=80, **SMALL).model


def test_history_forecast_and_intervals_are_drawn_as_predict_gives_them(model: ForecastModel) -> None:
    forecast = model.predict(FRAME[:-1], level=80)
    drawn = {trace.name: trace for trace in model.plot(FRAME[:-1], target="z", level=80).data}
    assert list(drawn["forecast"].y[1:]) == forecast["z"].tolist()
    assert pd.DatetimeIndex(drawn["forecast"].x[1:]).equals(pd.DatetimeIndex(forecast["time"]))
    assert list(drawn["80%"].y[1:]) == forecast["z-hi-80"].tolist()
    assert list(drawn["observed"].y) == pytest.approx(FRAME["z"][-61:-1].tolist(), rel=1e-9)
    first = {(pd.Timestamp(drawn[name].x[0]), drawn[name].y[0]) for name in ("forecast", "80%")}
    assert first == {(pd.Timestamp(drawn["observed"].x[-1]), drawn["observed"].y[-1])}


def test_what_was_not_observed_is_a_gap(model: ForecastModel) -> None:
    holed = FRAME[:-1].assign(y=FRAME["y"].where(FRAME.index != 115))
    observed = np.array(model.plot(holed).data[0].y, dtype=float)
    assert np.flatnonzero(np.isnan(observed)).tolist() == [len(observed) - 5]


def test_a_series_of_a_panel_is_chosen_by_name() -> None:
    frame = panel(wave(60), 5 * wave(60, seed=1))
    model = lstm_tune.tune(frame, id="shop", target="y", **SMALL).model
    figure = model.plot(frame, series="b")
    assert list(figure.data[0].y) == pytest.approx(frame["y"][frame["shop"] == "b"].tolist())
    assert figure.layout.title.text == "b y"
    with pytest.raises(UsageError, match="no series 'c' was forecast; there are a, b"):
        model.plot(frame, series="c")
    with pytest.raises(UsageError, match="target must be one of y, but is 'x'"):
        model.plot(frame, target="x")
