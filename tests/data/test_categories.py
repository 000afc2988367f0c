"""Covariates that are words or do not change within a series: how they are read, learned, saved and used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from series import TINY, daily, panel, series_of, wave

import lstm_tune
from lstm_tune.config import Config
from lstm_tune.data.categories import MOST_CATEGORIES
from lstm_tune.data.split import make_split
from lstm_tune.errors import DataError, LstmTuneWarning, RunError
from lstm_tune.models.categories import CategoryEmbedding
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.training.task import build_task, make_trainer

OPTIONS: dict[str, Any] = {"target": "y", "id": "shop", "horizon": 2, "folds": 1, "retrain_seeds": 1, "n_trials": 1}
COLUMNS: dict[str, Any] = {"past": "weather", "future": "holiday", "static": ["size", "town"]}


def shops() -> pd.DataFrame:
    """Three shops of different size in two towns; holidays raise the sales, most days have none."""
    frame = panel(wave(100), 3 * wave(90, seed=1), 9 * wave(95, seed=2)).reset_index(drop=True)
    rng = np.random.default_rng(0)
    frame["weather"] = np.where(rng.random(len(frame)) < 0.5, "sun", "rain")
    frame["holiday"] = pd.Series(pd.NA, index=frame.index, dtype="string")
    frame.loc[frame.index % 9 == 4, "holiday"] = "feast"
    frame["y"] += 2.0 * (frame["holiday"] == "feast").fillna(False).astype(float)
    frame["size"] = frame["shop"].map({"a": 10.0, "b": 30.0, "c": 90.0})
    frame["town"] = frame["shop"].map({"a": "Ulm", "b": "Köln", "c": "Ulm"})
    return frame


def test_words_are_sorted_codes_and_an_empty_cell_is_a_word_of_its_own() -> None:
    data = series_of(shops(), target="y", id="shop", **COLUMNS)
    assert data.categories == {"weather": ("rain", "sun"), "holiday": ("", "feast"), "town": ("Köln", "Ulm")}
    assert data.category_sizes == (3, 3, 0, 3)
    assert data.future_names == ("holiday", "size", "town")
    assert data.static_names == ("size", "town")
    first = shops().sort_values(["shop", "date"], kind="stable")
    assert data.past[:, 0].tolist() == (1.0 + (first["weather"] == "sun")).tolist()
    assert data.future[:, 1].tolist() == first["size"].tolist()


def test_words_of_test_rows_alone_are_unknown_and_change_no_code() -> None:
    frame = daily(wave(100), mood=np.where(np.arange(100) % 2, "good", "bad"))
    frame.loc[95:, "mood"] = "awful"  # sorts before the others
    data = series_of(frame, target="y", past="mood", split=(60, 20, 20))
    assert data.categories == {"mood": ("bad", "good")}
    assert data.past[:4, 0].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert data.past[95:, 0].tolist() == [0.0] * 5


def test_text_of_numbers_stays_numbers_and_marked_numbers_are_categories() -> None:
    frame = daily(
        wave(60), a=[str(i % 7) for i in range(60)], b=pd.Categorical(np.arange(60) % 3), c=np.arange(60) % 2 > 0
    )
    data = series_of(frame, target="y", past=["a", "b", "c"])
    assert data.categories == {"b": ("0", "1", "2")}
    assert data.past[:3].tolist() == [[0, 1, 0], [1, 2, 1], [2, 3, 0]]
    frame.loc[5, "a"] = "x"
    with pytest.raises(DataError, match="column 'a' holds text \\(first 'x'"):
        series_of(frame, target="y", past="a")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"size": lambda f: np.arange(len(f))},
            "'size' is named as static, but changes in series 'a' and 2 more; name",
        ),
        (
            {"town": lambda f: np.arange(len(f)).astype(str) + "x"},
            "'town' is named as static, but changes in series 'a'",
        ),
        ({"weather": lambda f: ""}, "'weather' holds no value at all"),
    ],
)
def test_bad_columns_are_one_line(change: dict[str, Any], words: str) -> None:
    frame = shops()
    for name, values in change.items():
        frame[name] = values(frame)
    with pytest.raises(DataError, match=words) as error:
        series_of(frame, target="y", id="shop", **COLUMNS)
    assert "\n" not in str(error.value)


def test_too_many_words_are_refused() -> None:
    rows = MOST_CATEGORIES + 200
    frame = daily(wave(rows), start="1900-01-01", code=[f"c{i}" for i in range(rows)])
    with pytest.raises(DataError, match="column 'code' has 10,200 different words in the train rows"):
        series_of(frame, target="y", past="code", split=None)


def test_a_static_value_is_that_of_all_rows_of_its_series() -> None:
    frame = shops()
    frame.loc[frame.index % 2 == 0, ["size", "town"]] = None
    plain, filled = (series_of(f, target="y", id="shop", **COLUMNS).future for f in (shops(), frame))
    assert torch.equal(plain, filled)


def test_numbers_train_to_the_same_bits_whether_categories_exist_or_not() -> None:
    shape = Shape(horizon=2, past=1, future=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = LSTMForecaster(Config.from_params(TINY), shape).state_dict()
    assert not [name for name in state if "categories" in name]


def test_the_unknown_is_trained_by_dropping_and_by_nothing_else() -> None:
    embedding = CategoryEmbedding((0, 4))
    embedding.dropout.generator = torch.Generator().manual_seed(0)
    rows = torch.stack([torch.arange(8.0), 1 + torch.arange(8.0) % 3], dim=1).expand(4000, -1, -1)
    out = embedding(rows)
    assert torch.equal(out[:, :, 0], rows[:, :, 0])
    unknown = (out[:, :, 1:] == embedding.tables[0].weight[0]).all(2)
    assert torch.equal(unknown.any(1), unknown.all(1))  # in whole windows
    assert 0.03 < unknown[:, 0].double().mean() < 0.07
    assert torch.equal(embedding.eval()(rows)[0, :, 1:], embedding.tables[0].weight[rows[0, :, 1].long()])


def test_a_category_that_matters_is_learned() -> None:
    frame = shops()
    mse = []
    for columns in ({}, {"future": "holiday"}):
        data = series_of(frame, target="y", id="shop", **columns)
        task = build_task(data, make_split(data, (0.7, 0.15, 0.15), 2), 2)
        trainer = make_trainer(task, 0, Config.from_params(TINY | {"hidden_units": 16, "window_norm": "last"}), 0)
        for _ in range(12):
            trainer.run_epoch()
        mse.append(task.validate(0, trainer.result))
    assert mse[1] < 0.6 * mse[0]


def test_a_saved_model_reads_words_as_it_was_trained_and_goes_on(tmp_path: Path) -> None:
    frame, out = shops(), tmp_path / "run"
    result = lstm_tune.tune(frame, **OPTIONS, **COLUMNS, space=TINY | {"lookback": 12}, out=out)
    config = json.loads((out / "model" / "config.json").read_text())
    assert config["data"]["categories"] == {
        "weather": ["rain", "sun"],
        "holiday": ["", "feast"],
        "town": ["Köln", "Ulm"],
    }
    assert config["data"]["static"] == ["size", "town"]
    model = lstm_tune.load(out / "model")
    plan = pd.concat([frame, _plan(frame)], ignore_index=True)
    ahead, loaded = (m.predict(plan) for m in (result.model, model))
    pd.testing.assert_frame_equal(ahead, loaded)
    feast = plan.assign(holiday=plan["holiday"].mask(plan["y"].isna(), "feast"))
    assert not np.allclose(model.predict(feast)["y"], ahead["y"])
    strange = plan.assign(weather=plan["weather"].mask(plan["shop"] == "a", "hail"), town="Bonn")
    with pytest.warns(LstmTuneWarning, match=r"'town' holds 1 word that the model was not trained on \('Bonn'\)"):
        assert np.isfinite(model.predict(strange)["y"]).all()
    refitted = model.refit(frame)
    assert refitted.spec.categories == model.spec.categories
    assert model.backtest(frame, n_windows=2, refit=0).frame["LSTM"].notna().all()
    config["data"]["categories"]["town"] = ["Köln"]
    (out / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError):
        lstm_tune.load(out / "model")


def _plan(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows to forecast: holidays are known, nothing else is."""
    last = frame.groupby("shop")["date"].max()
    return pd.DataFrame(
        [
            {"shop": shop, "date": day + pd.Timedelta(days=step), "holiday": ""}
            for shop, day in last.items()
            for step in (1, 2)
        ]
    )


def test_static_columns_alone_need_no_plan() -> None:
    frame = shops()
    model = lstm_tune.tune(frame, **OPTIONS, static=["size", "town"], space=TINY).model
    assert len(model.predict(frame)) == 6


@pytest.mark.slow
def test_ten_thousand_categories_stay_small(tmp_path: Path) -> None:
    n = 2_500
    frame = pd.DataFrame({"date": pd.date_range("2000-01-01", periods=4 * n), "y": wave(4 * n)})
    frame["item"] = [f"item {i:05}" for i in range(4 * n)]
    model = lstm_tune.tune(frame, past="item", split=(9_900, 50, 50), n_trials=1, space=TINY | {"epochs": 1}).model
    model.save(tmp_path / "model")
    assert sum(p.stat().st_size for p in (tmp_path / "model").iterdir()) < 64e6
