"""The saved model: written, read, damaged, and fed with frames."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
import resource
import shutil
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from series import TINY, daily, net, panel, series_of, wave

from lstm_tune.config import Config
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError, LstmTuneError, LstmTuneWarning, RunError
from lstm_tune.evaluation.conformal import Intervals
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.training.saved_model import DataSpec, ForecastModel
from lstm_tune.utils.text import counted

HORIZON = 3


def model_of(data: SeriesSet, *params: dict[str, Any]) -> ForecastModel:
    """An untrained ensemble, fitted on the first 100 rows, one member for each of `params`."""
    shape = Shape(
        horizon=HORIZON,
        channels=data.n_channels,
        past=data.past.shape[1],
        future=data.future.shape[1],
        period=7,
        smoothing=16,
    )
    windows = Windows(data, HORIZON)
    members = []
    for seed, own in enumerate(params or ({}, {"lookback": 5, "skip": "linear"})):
        member = net(Config.from_params(TINY | own), shape, seed)
        if member.future_output is not None:
            torch.nn.init.normal_(member.future_output[-1].weight)  # type: ignore[index, union-attr, arg-type]
        member.fit_statistics(windows, ((0, 100),))
        members.append(member)
    return ForecastModel(MeanForecaster(members).eval(), shape, DataSpec.of(data), TargetScale.of(windows, ((0, 100),)))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model_of(series_of(daily(wave()))).save(tmp_path / "model")
    return tmp_path / "model"


# ---- save and load


@pytest.mark.parametrize(
    "params",
    [
        ({},),
        ({"layers": 2, "head_units": 3, "patch": 4}, {"transform": "log", "difference": "seasonal"}),
        ({"skip": "linear", "outlier_clip": 2.0, "window_norm": "standard"},) * 3,
        ({"cell_activation": "relu", "skip": "seasonal"},),
        ({"skip": "ets", "window_norm": "last"}, {"skip": "ets", "difference": "seasonal"}),
    ],
    ids=str,
)
def test_loaded_model_forecasts_the_same_to_the_bit(tmp_path: Path, params: tuple[dict[str, Any], ...]) -> None:
    frame = daily(wave(), p=wave(seed=1), z=wave(seed=2))
    model = model_of(series_of(frame, target=["y", "z"], past="p", calendar=True), *params)
    model.save(tmp_path)
    loaded = ForecastModel.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.predict(frame), model.predict(frame), check_exact=True)
    assert (loaded.shape, loaded.spec, loaded.scale) == (model.shape, model.spec, model.scale)
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor), name
    assert not loaded.network.training
    loaded.save(tmp_path / "again")
    for file in ("weights.safetensors", "config.json", "manifest.json"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / file).read_bytes()


def test_loading_draws_no_random_number(saved: Path) -> None:
    before = torch.get_rng_state()
    ForecastModel.load(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_folder_holds_weights_configuration_and_manifest_and_no_pickle(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == ["config.json", "manifest.json", "weights.safetensors"]
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["schema"] == 1
    for name in ("config.json", "weights.safetensors"):
        content = (saved / name).read_bytes()
        assert manifest["files"][name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert json.loads((saved / "config.json").read_text())["schema"] == 1
    assert not (saved / "weights.safetensors").read_bytes().startswith((b"PK", b"\x80"))


def flip(path: Path, byte: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)


def sealed(folder: Path) -> None:
    """Write the manifest anew, so that the files' own checks are what refuses them."""
    names = [p.name for p in folder.iterdir() if p.name != "manifest.json" and p.is_file()]
    contents = {name: (folder / name).read_bytes() for name in names}
    files = {n: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in contents.items()}
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": files}))


def edited(file: str = "config.json", **changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        for key, value in changes.items():
            content[key] = content[key] | value if isinstance(value, dict) and value else value
        (folder / file).write_text(json.dumps(content))
        if file == "config.json":
            sealed(folder)

    return edit


def cut(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:100])


def without(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def renamed(old: str, new: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / old).rename(folder / new)


def with_other_weights(folder: Path) -> None:
    model_of(series_of(daily(wave())), {"hidden_units": 5}).save(folder / "other")
    (folder / "weights.safetensors").write_bytes((folder / "other" / "weights.safetensors").read_bytes())


def grown(name: str) -> Callable[[Path], None]:
    """A file that claims a terabyte and takes no room."""

    def grow(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.truncate(2**40)

    return grow


def with_head(head: Any) -> Callable[[Path], None]:
    """Weights with another head, and a manifest that vouches for them."""

    def write(folder: Path) -> None:
        text = json.dumps(head).encode()
        (folder / "weights.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
        sealed(folder)

    return write


def with_other_type(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"', 1))
    sealed(folder)


DAMAGES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "no config": ("config.json is missing", without("config.json")),
    "no weights": ("weights.safetensors is missing", without("weights.safetensors")),
    "no manifest": ("manifest.json is missing", without("manifest.json")),
    "cut config": ("config.json is damaged: it has 100 bytes", cut("config.json")),
    "cut weights": ("weights.safetensors is damaged", cut("weights.safetensors")),
    "cut manifest": ("manifest.json is damaged", cut("manifest.json")),
    "one bit of the weights": ("its SHA-256", lambda folder: flip(folder / "weights.safetensors")),
    "one bit of the config": ("its SHA-256", lambda folder: flip(folder / "config.json", 30)),
    "one bit of the manifest": ("manifest.json", lambda folder: flip(folder / "manifest.json", 60)),
    "renamed weights": ("weights.safetensors is missing", renamed("weights.safetensors", "model.safetensors")),
    "config in the place of the weights": (
        "weights.safetensors is damaged",
        lambda folder: shutil.copy(folder / "config.json", folder / "weights.safetensors"),
    ),
    "other weights": ("weights.safetensors", with_other_weights),
    "binary config": ("config.json is damaged", lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\0")),
    "weights of a terabyte": ("weights.safetensors is damaged", grown("weights.safetensors")),
    "config of a terabyte": ("config.json is damaged", grown("config.json")),
    "manifest of a terabyte": ("manifest.json is damaged", grown("manifest.json")),
    "manifest of another schema": ("schema 2", edited("manifest.json", schema=2)),
    "manifest without files": ("says nothing of config.json", edited("manifest.json", files=[])),
    "schema": ("schema 2", edited(schema=2)),
    "no members": ("members", edited(members=[])),
    "too many members": ("members", edited(members=[{}] * 1001)),
    "unknown parameter": ("unknown parameter 'magic'", edited(members=[{"magic": 1}] * 2)),
    "wrong parameter": ("lookback must be", edited(members=[{"lookback": -1}] * 2)),
    "far too many units": ("hidden_units must be", edited(members=[TINY | {"hidden_units": 10**9}] * 2)),
    "far too long a lookback": ("lookback must be at most", edited(members=[TINY | {"lookback": 10**15}] * 2)),
    "a linear skip of a terabyte": (
        "weight members.0.skip_weight has not",
        edited(members=[TINY | {"lookback": 10**7, "skip": "linear"}] * 2, shape={"horizon": 10**5}),
    ),
    "other sizes": ("has not the shape", edited(members=[TINY | {"hidden_units": 4000}] * 2)),
    "other shape": ("has not the shape", edited(shape={"horizon": 4})),
    "shape of another kind": ("width", edited(shape={"width": 4})),
    "shape in words": ("horizon must be a whole number", edited(shape={"horizon": "three"})),
    "negative shape": ("horizon must be a whole number", edited(shape={"horizon": -3})),
    "huge shape": ("channels must be a whole number", edited(shape={"channels": 10**18})),
    "more channels": ("finite numbers|hold 9 numbers|do not fit", edited(shape={"channels": 9})),
    "no data": ("config.json is damaged", edited(data=None)),
    "data of another kind": ("something unknown", edited(data={"x": 1})),
    "columns in numbers": ("must be text", edited(data={"targets": [1]})),
    "a frequency that is none": ("unknown frequency", edited(data={"calendar": True, "freq": "fortnight"})),
    "an origin of two columns": ("must hold 1 numbers", edited(data={"origin": [0.0, 1.0]})),
    "an origin of a covariate that is not there": ("must hold 0 numbers", edited(data={"covariate_origin": [1.0]})),
    "no scale": ("config.json is damaged", edited(scale={})),
    "an endless scale": ("Infinity is no JSON", edited(scale={"sd": [float("inf")]})),
    "weights in words": ("finite numbers", edited(weights=["1", "1"])),
    "nested without end": (
        "config.json is damaged",
        lambda folder: ((folder / "config.json").write_text("[" * 100_000), sealed(folder)),
    ),
    "a head that names no weight": ("holds other weights", with_head({})),
    "a head that is a list": ("is damaged", with_head([1])),
    "weights of another type": ("has not the shape", with_other_type),
}


@pytest.mark.parametrize(("says", "damage"), DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_model_is_refused_with_one_line(saved: Path, says: str, damage: Callable[[Path], Any]) -> None:
    damage(saved)
    with pytest.raises(RunError, match=says) as caught:
        ForecastModel.load(saved)
    assert "\n" not in str(caught.value)
    assert str(saved) in str(caught.value)
    assert "run tune again" in str(caught.value)


def test_no_memory_is_taken_for_a_model_that_is_refused(saved: Path) -> None:
    edited(members=[TINY | {"hidden_units": 4096, "layers": 8}] * 2, shape={"horizon": 10**7})(saved)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RunError, match="holds other weights"):
        ForecastModel.load(saved)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB; the weights would take 330 GB


def test_save_that_fails_leaves_the_model_that_was_there(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p.name: p.read_bytes() for p in saved.iterdir()}
    full = OSError(28, "No space left on device")

    def write(path: Path, content: bytes) -> int:
        if path.name.startswith(".manifest"):
            raise full
        return len(content)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space left"):
        model_of(series_of(daily(wave())), {"hidden_units": 5}).save(saved)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before


# ---- predict


def forecast(model: ForecastModel, data: Any) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The forecast, and what was said about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = model.predict(data)
    return frame, tuple(str(warning.message) for warning in caught)


def test_forecast_follows_the_last_row_in_the_units_of_the_frame() -> None:
    frame = daily(1e7 + wave(noise=0.0))
    model = model_of(series_of(frame), {"skip": "seasonal"})
    for member in model.network.members:
        torch.nn.init.zeros_(member.output.weight)  # type: ignore[union-attr, arg-type]
        torch.nn.init.zeros_(member.output.bias)  # type: ignore[union-attr, arg-type]
    ahead = model.predict(frame)
    assert list(ahead) == ["time", "series", "step", "y"]
    assert ahead["time"].tolist() == list(pd.date_range("2024-06-09", periods=3))
    assert ahead["step"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(ahead["y"], frame["y"].to_numpy()[-7:-4], atol=1e-3)


def test_forecast_needs_no_more_than_the_lookback() -> None:
    frame = daily(wave())
    model = model_of(series_of(frame))
    assert model.lookback == 8
    whole = model.predict(frame)
    pd.testing.assert_frame_equal(model.predict(frame.tail(8)), whole)
    assert forecast(model, frame.tail(8))[1] == ()


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_short_series_is_continued_into_the_past_by_its_season_or_first_row_and_this_is_reported(rows: int) -> None:
    frame = daily(wave())
    model = model_of(series_of(frame))
    assert model.shape.period == 7
    short = frame.tail(rows)
    y = short["y"].to_numpy()
    longer = np.concatenate([np.repeat(y[:1], 8 - rows), y])
    if rows == 7:  # a whole season: the day before is like the one a week later
        longer = np.concatenate([y[-1:], y])
    start = short["date"].iloc[-1] - pd.Timedelta(days=7)
    ahead, notes = forecast(model, short)
    pd.testing.assert_frame_equal(ahead, model.predict(daily(longer, start=str(start.date()))))
    given = f"the data have {counted(rows, 'row')}"
    assert notes == (f"{given}, but the model looks back on 8: they were continued into the past",)


@pytest.mark.parametrize("value", [7.0, 0.0])
def test_the_interval_of_a_constant_series_does_not_depend_on_the_other_series_of_the_data(value: float) -> None:
    flat = np.full(120, value)
    data = series_of(panel(wave(120), flat, 1e4 * wave(120, seed=1)), target="y", id="shop")
    model = model_of(data)
    model.scale = TargetScale.of(Windows(data, HORIZON), tuple(itertools.pairwise(data.offsets)))
    widths = torch.ones(1, 3, 1)
    model.intervals = Intervals(windows=100, levels=(0.9,), widths=widths, own_scale=True, folds=1, share=0.1)
    new = panel(wave(120, seed=2), flat, 1e6 * wave(120, seed=1), flat, flat[:1])
    files = [new, new[new["shop"] != "a"], new[new["shop"].isin(["b", "d", "e"])], new[new["shop"] == "b"]]
    found = [model.predict(frame, level=90).set_index("series") for frame in files]
    for series in ("b", "d", "e"):  # trained on, new, and new with a single row
        ends = [one.loc[series, ["y", "y-lo-90", "y-hi-90"]].to_numpy() for one in found if series in one.index]
        for other in ends[1:]:
            np.testing.assert_allclose(other, ends[0], rtol=1e-6, err_msg=series)
    assert found[0].loc["b", "y-hi-90"].to_numpy() - found[0].loc["b", "y"].to_numpy() == pytest.approx(
        model.scale.own_sd[1], rel=1e-5
    )


def test_each_series_is_forecast_alone() -> None:
    a, b = wave(120), 10 * wave(100, seed=1)
    model = model_of(series_of(panel(a, b), target="y", id="shop"))
    both = model.predict(panel(a, b))
    assert both["series"].tolist() == ["a"] * 3 + ["b"] * 3
    assert both["time"].tolist() == [*pd.date_range("2024-04-30", periods=3), *pd.date_range("2024-04-10", periods=3)]
    alone = model.predict(panel(a))
    np.testing.assert_allclose(both["y"].head(3), alone["y"], rtol=1e-6)
    short, notes = forecast(model, panel(a, b[:5]))
    assert short["series"].tolist() == ["a"] * 3 + ["b"] * 3
    assert notes == ("series 'b' has 5 rows, but the model looks back on 8: they were continued into the past",)


def test_every_target_gets_a_column() -> None:
    frame = daily(wave(), z=100 + wave(seed=1))
    model = model_of(series_of(frame, target=["y", "z"]))
    assert list(model.predict(frame)) == ["time", "series", "step", "y", "z"]
    with pytest.raises(LstmTuneError, match="z"):
        model.predict(frame.drop(columns="z"))


def test_targets_with_the_names_of_other_columns_are_told_apart() -> None:
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=150)})
    targets = ["series", "step", "step_forecast", "ds"]
    for seed, name in enumerate(targets):
        frame[name] = wave(150, seed=seed)
    data = series_of(frame, target=targets)
    forecast = model_of(data, {"skip": "last"}, {}).predict(frame)
    named = ["series_forecast", "step_forecast_forecast", "step_forecast", "ds"]
    assert list(forecast.columns) == ["time", "series", "step", *named]
    assert forecast["step"].tolist() == [1, 2, 3]
    plain = model_of(data, {"skip": "last"}, {}).predict(
        frame.rename(columns={"series": "a", "step": "b"}).assign(series=frame["series"], step=frame["step"])
    )
    assert plain[named].equals(forecast[named])


def test_scored_value_that_decides_the_mse_by_itself_is_named() -> None:
    frame = daily(wave(160))
    model = model_of(series_of(frame))
    frame.loc[150, "y"] = 9.969e36
    with pytest.warns(
        LstmTuneWarning, match=r"1 value of 'y' lies a million .* \(2024-05-30: 9.969e\+36\): it decides"
    ):
        scores = model.evaluate(frame)
    assert all(np.isfinite(score.mse) for score in scores.values())


def test_known_future_covariates_at_the_end_are_used() -> None:
    frame = daily(wave(), f=wave(seed=1))
    model = model_of(series_of(frame, target="y", future="f"))
    rows = [daily([np.nan] * 3, start="2024-06-09", f=[x, x, x]) for x in (0.0, 9.0)]
    low, high = (model.predict(pd.concat([frame, ahead])) for ahead in rows)
    assert low["time"].tolist() == list(pd.date_range("2024-06-09", periods=3))
    assert bool((low["y"] != high["y"]).all())
    with pytest.raises(DataError, match="needs 3 rows of known f after the last target, but there are 0"):
        model.predict(frame)


def test_calendar_of_the_rows_ahead_is_worked_out() -> None:
    frame = daily(wave())
    model = model_of(series_of(frame, calendar=True))
    assert model.shape.future == 4
    assert model.spec.future == ()
    later = frame.assign(date=frame["date"] + pd.Timedelta(days=1))
    assert bool((model.predict(frame)["y"] != model.predict(later)["y"]).all())


def test_arrays_and_series_are_taken_where_the_model_has_one_column() -> None:
    y = wave()
    model = model_of(series_of(y))
    np.testing.assert_array_equal(model.predict(y)["y"], model.predict(pd.Series(y))["y"])
    assert model.predict(y)["time"].tolist() == [160, 161, 162]


def test_other_frequency_and_other_columns_are_refused() -> None:
    model = model_of(series_of(daily(wave())))
    hourly = pd.DataFrame({"date": pd.date_range("2024", periods=60, freq="h"), "y": wave(60)})
    with pytest.raises(DataError, match="frequency 'D', but these have 'h'"):
        model.predict(hourly)
    with pytest.raises(LstmTuneError) as caught:
        model.predict(np.stack([wave(), wave()], axis=1))
    assert "\n" not in str(caught.value)


def test_units_of_the_training_data_are_kept_for_other_data() -> None:
    y = 1e8 + wave()
    model = model_of(series_of(daily(y)))
    assert model.spec.origin[0] > 0
    small = model.read(daily(wave()))
    assert small.origin == model.spec.origin
    np.testing.assert_allclose(small.values[0] + model.spec.origin[0], wave(), atol=10)
    np.testing.assert_allclose(model.predict(daily(y))["y"], 1e8 + 5, atol=10)


def test_forecast_that_is_no_number_is_refused() -> None:
    y = wave()
    model = model_of(series_of(daily(y)), {"window_norm": "standard"})
    y[-2:] = 1e30
    with pytest.raises(DataError, match="is no finite number: the last 8 rows hold values far outside"):
        model.predict(daily(y))


# ---- evaluate


def test_evaluation_scores_model_and_naive_forecasts_on_the_same_windows() -> None:
    y = wave()
    model = model_of(series_of(daily(y)))
    scores = model.evaluate(daily(y))
    assert set(scores) == {"model", "persistence", "seasonal_naive"}
    assert {s.windows for s in scores.values()} == {160 - 8 - HORIZON + 1}
    naive = np.mean([(y[r : r + 3] - y[r - 1]) ** 2 for r in range(8, 158)])
    assert scores["persistence"].mse == pytest.approx(naive, rel=1e-4)
    with pytest.raises(DataError, match="takes 8 rows to look back on and 3 to score"):
        model.evaluate(daily(y[:10]))


def test_series_set_is_taken_as_it_is() -> None:
    data = series_of(daily(wave()))
    model = model_of(data)
    assert model.read(data) is data
    assert dataclasses.asdict(model.spec)["targets"] == ("y",)


def test_seasonal_naive_forecast_is_the_one_of_the_study_if_the_lookback_is_shorter_than_the_season() -> None:
    """Law 9: a lookback of 3 rows and a season of 7 leave the season 7 rows."""
    y = wave()
    model = model_of(series_of(daily(y)), {"lookback": 3})
    assert (model.lookback, model.shape.period) == (3, 7)
    scores = model.evaluate(daily(y))
    naive = np.mean([(y[r : r + 3] - y[r - 7 : r - 4]) ** 2 for r in range(7, 158)])
    assert scores["seasonal_naive"].mse == pytest.approx(naive, rel=1e-4)
    assert {s.windows for s in scores.values()} == {160 - 7 - HORIZON + 1}
    assert set(model.evaluate(daily(y[:9]))) == {"model", "persistence"}  # no window has a season before it


# ---- other data, read as those that the model was tuned on


def plan(start: str, rows: int, values: list[float]) -> pd.DataFrame:
    return daily([np.nan] * rows, start=start, f=values)


def test_plans_may_end_on_different_days_and_what_has_no_plan_is_named() -> None:
    one, two = daily(wave(100), f=wave(100, seed=1)), daily(wave(90), f=wave(90, seed=1))
    model = model_of(series_of(pd.concat([one.assign(s="a"), two.assign(s="b")]), target="y", future="f", id="s"))
    ahead = [plan("2024-04-10", 9, [0.0] * 9).assign(s="a"), plan("2024-03-31", 3, [0.0] * 3).assign(s="b")]
    rows = [one.assign(s="a"), two.assign(s="b"), *ahead]
    both, notes = forecast(model, pd.concat(rows))
    assert both["series"].tolist() == ["a"] * 3 + ["b"] * 3
    assert both["time"].iloc[0] == pd.Timestamp("2024-04-10")
    assert not any("not forecast" in note for note in notes)
    short, notes = forecast(model, pd.concat([*rows[:3], ahead[1].head(2)]))
    assert short["series"].unique().tolist() == ["a"]
    assert (
        "series 'b' was not forecast: the forecast needs 3 rows of known f after the last target, but there are 2"
        in notes
    )


def test_plan_with_a_hole_is_refused_with_the_place_of_the_hole() -> None:
    frame = daily(wave(), f=wave(seed=1))
    model = model_of(series_of(frame, target="y", future="f"))
    says = "f is missing at 2024-06-10, and at 1 places of the rows to forecast; add rows with these values"
    with pytest.raises(DataError, match=re.escape(says)):
        model.predict(pd.concat([frame, plan("2024-06-09", 3, [1.0, np.nan, 1.0])]))
    skipped = plan("2024-06-09", 3, [1.0, 1.0, 1.0]).drop(index=1)
    with pytest.raises(DataError, match=r"f is missing at 2024-06-10|needs 3 rows"):
        model.predict(pd.concat([frame, skipped]))
    whole = model.predict(pd.concat([frame, plan("2024-06-09", 5, [1.0, 1.0, 1.0, np.nan, 1.0])]))
    assert len(whole) == 3  # what lies beyond the horizon does not matter


def test_rows_at_the_end_without_a_target_are_the_rows_to_forecast() -> None:
    frame = daily(wave())
    model = model_of(series_of(frame))
    appended = pd.concat([frame, daily([np.nan] * 7, start="2024-06-09")])
    pd.testing.assert_frame_equal(model.predict(appended), model.predict(frame))


@pytest.mark.parametrize("rows", [1, 2, 9, 40])
def test_constant_window_is_forecast(rows: int) -> None:
    model = model_of(series_of(daily(wave())))
    forecast = model.predict(daily(np.full(rows, 5.0)))
    assert len(forecast) == 3
    assert np.isfinite(forecast["y"]).all()


def test_model_of_a_series_with_an_unnamed_index_reads_its_own_csv(tmp_path: Path) -> None:
    for name in ("y", None):
        y = pd.Series(wave(), index=pd.date_range("2024-01-01", periods=160), name=name)
        model = model_of(series_of(y))
        y.to_csv(tmp_path / "own.csv")
        daily(wave()).to_csv(tmp_path / "other.csv", index=False)
        for file in ("own.csv", "other.csv"):
            forecast = model.predict(tmp_path / file)
            assert forecast["time"].iloc[0] == pd.Timestamp("2024-06-09")
            np.testing.assert_allclose(forecast.iloc[:, -1], model.predict(y).iloc[:, -1], rtol=1e-5)


def test_business_days_are_business_days_to_the_model_though_a_week_looks_like_days() -> None:
    days = pd.bdate_range("2024-01-01", periods=160)
    model = model_of(series_of(pd.DataFrame({"date": days, "y": wave()})))
    assert model.spec.freq == "B"
    week = pd.DataFrame({"date": pd.date_range("2024-09-02", periods=5), "y": wave(5)})
    assert model.predict(week)["time"].tolist() == list(pd.bdate_range("2024-09-09", periods=3))
    with pytest.raises(DataError, match="frequency 'B', but these have 'W-MON'"):
        model.predict(pd.DataFrame({"date": pd.date_range("2024-01-01", periods=9, freq="W-MON"), "y": wave(9)}))


def test_opening_hours_are_kept_by_the_model() -> None:
    hours = pd.date_range("2024-01-01", periods=24 * 60, freq="h")
    hours = hours[(hours.day_of_week < 5) & (hours.hour >= 9) & (hours.hour < 16)][:160]
    model = model_of(series_of(pd.DataFrame({"time": hours, "y": wave()})))
    assert model.spec.freq == "h[Mon-Fri 09:00-15:00]"
    friday = pd.DataFrame({"time": pd.date_range("2024-09-06 09:00", periods=7, freq="h"), "y": wave(7)})
    expected = pd.to_datetime(["2024-09-09 09:00", "2024-09-09 10:00", "2024-09-09 11:00"])
    assert model.predict(friday)["time"].tolist() == list(expected)


def test_decimal_mark_is_the_one_that_the_model_was_tuned_with(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=160)
    tuned = pd.DataFrame({"date": days, "y": [f"{v:.2f}".replace(".", ",") for v in wave()]})
    model = model_of(series_of(tuned))
    assert model.spec.formats["y"].decimal == ","
    model.save(tmp_path / "model")
    again = ForecastModel.load(tmp_path / "model")
    assert again.spec == model.spec
    newer = tuned.assign(y=[f"{v:.3f}".replace(".", ",") for v in 1.111 + 0 * wave()])
    assert again.read(newer).values[0, 0] == pytest.approx(1.111)
    assert again.read(newer, thousands=",").values[0, 0] == pytest.approx(1111)
    assert again.read(tuned.assign(y=[f"{v:.2f}" for v in wave()])).values[0, 0] == pytest.approx(wave()[0], abs=0.01)


def test_model_saved_before_there_were_more_keys_is_loaded(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    config["data"] |= {"id": None}
    for key in ("step", "formats"):
        del config["data"][key]
    (saved / "config.json").write_text(json.dumps(config))
    sealed(saved)
    spec = ForecastModel.load(saved).spec
    assert (spec.id, spec.step, spec.formats) == ((), None, {})


def test_counted_time_goes_on_and_another_step_is_refused() -> None:
    seconds = np.round(np.arange(160) * 0.02, 2)
    frame = pd.DataFrame({"time": seconds, "y": wave()})
    model = model_of(series_of(frame, target="y"))
    assert model.spec.step == 0.02
    assert model.predict(frame.sample(frac=1, random_state=0))["time"].tolist() == [3.2, 3.22, 3.24]
    with pytest.raises(DataError, match=r"0\.02 apart, but these are 0\.04 apart"):
        model.predict(pd.DataFrame({"time": 2 * seconds, "y": wave()}))


def test_times_in_a_zone_are_forecast_in_it() -> None:
    hours = pd.date_range("2024-03-30", periods=160, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"time": hours, "y": wave()})
    model = model_of(series_of(frame, target="y"))
    ahead = model.predict(frame)["time"]
    assert str(ahead.iloc[0]) == str(hours[-1] + pd.Timedelta(hours=1))
    text = model.predict(frame.assign(time=hours.astype(str)))["time"]
    assert [str(t) for t in text] == [str(t) for t in ahead]
    utc = model.predict(frame.assign(time=hours.tz_convert("UTC").tz_localize(None).astype(str) + "Z"))["time"]
    assert str(utc.iloc[0]) == "2024-04-05 15:00:00+00:00"


def test_several_id_columns_are_joined() -> None:
    rows = [daily(wave(60, seed=i)).assign(store=s, item=i) for s in ("1", "2") for i in (7, 8)]
    model = model_of(series_of(pd.concat(rows), target="y", id=["store", "item"]))
    assert model.spec.id == ("store", "item")
    assert model.predict(pd.concat(rows))["series"].unique().tolist() == ["1/7", "1/8", "2/7", "2/8"]
    other = pd.concat(rows).rename(columns={"store": "shop"})
    assert len(model.predict(other, id=["shop", "item"])) == 12


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["members.0.center", "members.0.scale", "members.0.output.weight"])
def test_model_with_weights_that_are_no_numbers_is_refused(tmp_path: Path, name: str, value: float) -> None:
    model = model_of(series_of(daily(wave())))
    with torch.no_grad():
        model.network.state_dict()[name].fill_(value)
    model.save(tmp_path)
    with pytest.raises(RunError, match=f"{name} holds {value}"):
        ForecastModel.load(tmp_path)


def test_model_with_a_scale_of_nothing_is_refused(tmp_path: Path) -> None:
    model = model_of(series_of(daily(wave())))
    with torch.no_grad():
        model.network.state_dict()["members.0.scale"].zero_()
    model.save(tmp_path)
    with pytest.raises(RunError, match=r"members\.0\.scale holds 0"):
        ForecastModel.load(tmp_path)
