"""The forecasts that the report keeps: those of the model, whole or evenly thinned, and what follows the data."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_page import open_page
from series import daily, panel, series_of, wave

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError
from lstm_tune.models.baselines import Persistence, SeasonalNaive
from lstm_tune.report import drawn_forecasts, views
from lstm_tune.report.drawn_forecasts import Forecasters, autocorrelation, distribution, forecasts_record
from lstm_tune.report.encoding import decode_times, unpack
from lstm_tune.report.forecast_csv import write_forecast
from lstm_tune.report.page import plotly_source


class Naive:
    """A model that repeats the last value, ahead too."""

    def __init__(self, horizon: int, targets: tuple[str, ...], reason: str | None = None) -> None:
        self.network = Persistence(horizon=horizon)
        self.spec = SimpleNamespace(forecast_columns=targets)
        self.horizon = horizon
        self.reason = reason

    def predict(self, data: SeriesSet) -> pd.DataFrame:
        if self.reason:
            raise DataError(self.reason)
        times = data.extend_times(self.horizon).reshape(-1)
        columns: dict[str, Any] = {"time": times, "series": np.repeat(np.array(data.series), self.horizon)}
        for c, target in enumerate(data.targets):
            last = [float(data.values[c, b - 1]) + data.origin[c] for b in data.offsets[1:]]
            columns[target] = np.repeat(last, self.horizon)
        return pd.DataFrame(columns)


def record_of(data: SeriesSet, horizon: int, folder: Path, test_rows: int, **options: Any) -> dict[str, Any]:
    """The record of the last rows of each series, forecast by `Naive` and by the value two rows before."""
    windows = Windows(data, horizon)
    ranges = tuple((max(a, b - test_rows), b) for a, b in zip(data.offsets, data.offsets[1:], strict=False))
    positions = windows.positions(ranges, 2, reach_back=True)
    model: Any = Naive(horizon, data.targets, **options)
    errors = write_forecast(model.network, windows, positions, folder / "forecast.csv")
    simple = SeasonalNaive(horizon=horizon, context=2)
    forecasters = Forecasters(model=model, simple=simple, simple_name="seasonal_naive")
    return forecasts_record(forecasters, windows, positions, errors, period=7)


def whole(one: dict[str, Any], key: str) -> np.ndarray:
    return unpack(one[key]).astype(np.float64) + one["origin"]


def test_forecasts_on_the_page_are_those_of_the_file(run: Path) -> None:
    frame = pd.read_csv(run / "forecast.csv")
    view = open_page(run).payload["forecast"]
    (series,), horizon = view["series"], view["horizon"]
    starts, shown = unpack(series["starts"]), whole(series, "forecast").reshape(-1, horizon)
    assert len(starts) == len(frame) // horizon
    np.testing.assert_allclose(shown.reshape(-1), frame["forecast"], rtol=1e-6)
    actual = whole(series, "actual")[starts[:, None] + np.arange(horizon)].reshape(-1)
    np.testing.assert_allclose(actual, frame["actual"], rtol=1e-6)
    assert np.isnan(actual).any()
    times = decode_times(view["axes"][series["axis"]])[starts[:, None] + np.arange(horizon)].reshape(-1)
    assert (times == pd.to_datetime(frame["time"]).to_numpy().astype("datetime64[ms]").astype(int)).all()


def test_best_simple_forecast_is_kept_beside_the_models(run: Path) -> None:
    result, view = json.loads((run / "result.json").read_text()), open_page(run).payload["forecast"]
    best = min(result["baselines"], key=lambda name: result["baselines"][name]["test_mse"])
    assert json.loads((run / "report.json").read_text())["forecasts"]["simple"] == best
    (series,), horizon = view["series"], view["horizon"]
    targets = unpack(series["starts"])[:, None] + np.arange(horizon)
    error = whole(series, "simple").reshape(-1, horizon) - whole(series, "actual")[targets]
    assert np.nanmean(error**2) == pytest.approx(result["baselines"][best]["test_mse"], rel=1e-4)


def test_what_follows_the_data_is_the_forecast_of_predict(run: Path) -> None:
    import lstm_tune

    y = wave()
    y[-3] = np.nan
    frame = lstm_tune.load(run).predict(daily(y))
    (series,) = open_page(run).payload["forecast"]["series"]
    np.testing.assert_allclose(unpack(series["ahead"]["values"]) + series["origin"], frame["y"], rtol=1e-6)
    times = decode_times(series["ahead"]["times"])
    assert times.tolist() == frame["time"].to_numpy().astype("datetime64[ms]").astype(int).tolist()


def test_data_that_cannot_be_continued_say_why(tmp_path: Path) -> None:
    record = record_of(series_of(wave(60)), 2, tmp_path, 20, reason="it needs rows of known promo")
    assert record["no_ahead"] == "it needs rows of known promo"
    assert "ahead" not in record["series"][0]


def test_errors_of_a_series_are_those_of_its_windows(tmp_path: Path) -> None:
    data = series_of(panel(wave(60), 3 * wave(80, seed=1)), id="shop", target="y")
    record = record_of(data, 3, tmp_path, 25)
    frame = pd.read_csv(tmp_path / "forecast.csv")
    for one in record["series"]:
        rows = frame[frame["series"] == one["name"]]
        error = rows["actual"] - rows["forecast"]
        assert one["mse"] == pytest.approx((error**2).mean(), rel=1e-5)
        assert one["bias"] == pytest.approx(error.mean(), rel=1e-4)
        hardest = next(h for h in record["hardest"] if h["name"] == one["name"])
        assert hardest["ratio"] == pytest.approx((error**2).mean() / rows["actual"].var(ddof=0), rel=1e-5)


def test_few_windows_are_kept_evenly_with_all_rows_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn_forecasts, "VALUES", (80, 80))
    record = record_of(series_of(np.arange(600.0)), 4, tmp_path, 503)
    (one,) = record["series"]
    starts = unpack(one["starts"])
    assert one["windows"] == 500
    assert len(starts) == one["kept"] == 20
    assert set(np.diff(starts)) <= {26, 27}
    assert one["breaks"] == []
    np.testing.assert_array_equal(np.diff(whole(one, "actual")), 1)
    np.testing.assert_array_equal(whole(one, "forecast").reshape(-1, 4)[:, 0], whole(one, "actual")[starts] - 1)


def test_rows_between_the_windows_are_left_out_of_very_long_test_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn_forecasts, "VALUES", (80, 80))
    monkeypatch.setattr(drawn_forecasts, "_LONGEST", 300)
    (one,) = record_of(series_of(np.arange(600.0)), 4, tmp_path, 503)["series"]
    assert len(unpack(one["actual"])) == 80
    assert len(one["breaks"]) == 19
    np.testing.assert_array_equal(whole(one, "forecast").reshape(-1, 4)[:, 0], whole(one, "actual")[::4] - 1)


def test_the_hardest_series_of_many_can_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_forecasts, "LEAST_SERIES", 3)
    monkeypatch.setattr(drawn_forecasts, "MOST_SERIES", 3)
    monkeypatch.setattr(drawn_forecasts, "HARDEST", 2)
    rng = np.random.default_rng(0)
    easy = [np.linspace(0, k + 1, 60) for k in range(6)]
    hard = [rng.normal(size=60), rng.normal(size=60)]
    record = record_of(series_of(panel(*easy[:3], hard[0], *easy[3:], hard[1]), id="shop", target="y"), 2, tmp_path, 20)
    assert {h["name"] for h in record["hardest"]} == {"d", "h"}
    assert {"d", "h"} < {one["name"] for one in record["series"]}
    assert (len(record["series"]), record["of"]) == (3, 8)


@pytest.mark.parametrize(("level", "rows"), [(1e6, 400), (1e8, 400)])
def test_high_levels_keep_their_digits_on_the_page_and_in_the_file(tmp_path: Path, level: float, rows: int) -> None:
    y = level + 0.7 * np.random.default_rng(0).normal(size=rows)
    record = record_of(series_of(y), 1, tmp_path, 80)
    frame = pd.read_csv(tmp_path / "forecast.csv")
    np.testing.assert_allclose(frame["actual"], y[-80:], rtol=0, atol=1e-6 * 0.7)
    right = np.mean(np.diff(y)[-80:] ** 2)
    assert np.mean((frame["actual"] - frame["forecast"]) ** 2) == pytest.approx(right, rel=1e-5)
    (one,) = views.forecast_view(record, 7)["series"]
    error = (unpack(one["actual"])[-80:] - unpack(one["forecast"])).astype(np.float64)
    assert np.mean(error**2) == pytest.approx(right, rel=1e-5)
    assert float(one["mse"]) == pytest.approx(right, rel=1e-4)


def test_the_page_has_room_for_all_series_of_a_panel_with_short_horizons() -> None:
    rooms = [drawn_forecasts._selectable(horizon, levels) for horizon, levels in ((13, 0), (48, 0), (48, 2), (336, 0))]
    assert rooms == [500, 430, 283, 100]


@pytest.mark.slow
def test_full_page_of_a_large_run_stays_below_its_limit(tmp_path: Path) -> None:
    """100 series of 500 windows of 24 steps, whose times differ."""
    rng = np.random.default_rng(0)
    frames = [
        daily(rng.normal(size=560), start=str(pd.Timestamp("2000-01-01") + pd.Timedelta(days=k))).assign(shop=f"s{k}")
        for k in range(drawn_forecasts.LEAST_SERIES)
    ]
    record = record_of(series_of(pd.concat(frames), id="shop", target="y"), 24, tmp_path, 523)
    size = len(json.dumps(views.forecast_view(record, 7)))
    assert size + len(plotly_source().encode()) < 5_750_000


def test_autocorrelation_against_numpy_and_with_holes() -> None:
    residuals = np.random.default_rng(0).normal(size=200)
    centred = residuals - residuals.mean()
    found = autocorrelation(residuals, 5)
    assert found is not None
    oracle = [float(centred[:-k] @ centred[k:] / (centred @ centred)) for k in range(1, 6)]
    assert found["values"] == pytest.approx(oracle, abs=1e-4)
    wavy = np.sin(np.arange(200) * np.pi / 6)
    wavy[::17] = np.nan
    seasonal = autocorrelation(wavy, 12)
    assert seasonal is not None
    assert seasonal["values"][11] > 0.8
    assert seasonal["values"][5] < -0.8
    assert autocorrelation(np.zeros(50), 5) is None


def test_distribution_counts_every_residual() -> None:
    residuals = np.append(np.random.default_rng(0).normal(size=500), [np.nan, 40.0])
    found = distribution(residuals)
    assert found is not None
    assert sum(found["counts"]) == 501
    assert found["high"] == 40
    assert distribution(np.full(9, 2.0)) is None
    assert distribution(1 + 1e-16 * np.random.default_rng(0).normal(size=99)) is None
