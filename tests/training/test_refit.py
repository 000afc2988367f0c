"""A model trained again: the same rows give the same weights, other rows are checked, nothing after them is read."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from law_studies import LEARNED, unequal
from series import daily, panel, wave

import lstm_tune
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError, LstmTuneWarning, RunError, UsageError
from lstm_tune.search.space import space_from_mapping
from lstm_tune.training.refit import refit_network
from lstm_tune.training.saved_model import ForecastModel

pytestmark = pytest.mark.usefixtures("short_epochs")
FRAME = daily(wave(160) + np.abs(np.random.default_rng(0).normal(size=160)))  # no simple forecast is exact
ROWS = (100, 28, 32)
MIXED: dict[str, Any] = LEARNED | {
    "schedule": ["plateau", "cosine"],
    "weight_average": [0.0, 0.9],
    "dropout": 0.2,
    "skip": ["none", "last"],
    "transform": ["none", "log"],
}


def model_of(frame: Any, **options: Any) -> ForecastModel:
    given: dict[str, Any] = {"target": "y", "horizon": 3, "split": ROWS, "folds": 1, "n_trials": 6, "space": MIXED}
    given |= {"retrain_seeds": 2, "sampler": "random", "pruner": "none"}
    model: ForecastModel = lstm_tune.tune(frame, **(given | options)).model
    return model


@pytest.fixture(scope="module")
def model() -> ForecastModel:
    found = model_of(FRAME)
    assert all(one.epochs for one in found.known_recipe().networks)
    return found


def same_weights(one: ForecastModel, other: ForecastModel) -> bool:
    first, second = one.network.state_dict(), other.network.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_rows_of_the_training_give_the_same_weights_to_the_bit(model: ForecastModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    for again in (model.refit(FRAME[:128]), ForecastModel.load(tmp_path).refit(FRAME[:128])):
        assert same_weights(again, model)
        assert again.network.weights == model.network.weights
        assert again.recipe == model.recipe
        assert again.trained == model.trained


def test_members_without_training_are_fitted_again_to_the_bit() -> None:
    model = model_of(FRAME, space=MIXED | {"skip": ["none", "linear"]})
    assert {bool(one.epochs) for one in model.known_recipe().networks} == {True, False}
    assert {m.config.skip for m in model.network.members} == {"none", "linear", "pretrained"}
    assert same_weights(model.refit(FRAME[:128]), model)


def test_a_refit_of_a_panel_with_two_targets_gives_the_same_weights() -> None:
    frame = unequal(160, 140)
    model = model_of(frame, target=["y", "z"], id="shop", past=["p"], future=["f"], calendar=True, split=(90, 20, 30))
    part = frame.groupby("shop", sort=False).head(110)
    assert same_weights(model.refit(part), model)


def test_more_rows_give_other_weights_and_are_remembered_as_trained(model: ForecastModel) -> None:
    again = model.refit(FRAME)
    assert not same_weights(again, model)
    with pytest.warns(LstmTuneWarning, match="all .* windows lie in rows that the model was trained on"):
        again.evaluate(FRAME)
    assert again.scale == model.scale


def test_passes_over_the_rows_stay_as_many(model: ForecastModel) -> None:
    recipe = model.known_recipe()
    assert recipe.samples_of(2 * recipe.windows) == 2 * recipe.samples


def test_the_factors_of_the_plateau_schedule_are_repeated(model: ForecastModel) -> None:
    known, windows = model.known_recipe(), Windows(model.read(FRAME[:128]), 3)
    twice = tuple(dataclasses.replace(one, epochs=2, factors=(1.0, 1.0)) for one in known.networks)
    recipe = dataclasses.replace(known, networks=twice)
    halved = dataclasses.replace(
        recipe, networks=tuple(dataclasses.replace(one, factors=(0.5,) * one.epochs) for one in recipe.networks)
    )
    networks = [refit_network(model.network, r, model.shape, windows, ((0, 128),)).network for r in (recipe, halved)]
    plateau = [i for i, one in enumerate(model.network.members) if one.config.schedule == "plateau"]
    assert plateau
    for i in plateau:
        one, other = (torch.cat([p.flatten() for p in network.members[i].parameters()]) for network in networks)
        assert not torch.equal(one, other)


def test_rows_outside_of_the_given_ones_change_nothing(model: ForecastModel) -> None:
    series = model.read(FRAME)
    values = series.values.clone()
    values[:, 128:] = 1e6 * torch.randn(1, 32)
    other = dataclasses.replace(series, values=values)
    networks = [
        refit_network(model.network, model.known_recipe(), model.shape, Windows(data, 3), ((0, 128),)).network
        for data in (series, other)
    ]
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(torch.equal(states[0][name], tensor) for name, tensor in model.network.state_dict().items())


def test_the_number_of_threads_changes_nothing(model: ForecastModel) -> None:
    series = model.read(FRAME)
    networks = [
        refit_network(
            model.network, model.known_recipe(), model.shape, Windows(series, 3), ((0, 150),), threads=n
        ).network
        for n in (1, 3)
    ]
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_networks_with_logarithms_are_left_out_if_a_value_is_not_positive(model: ForecastModel) -> None:
    logs = [m.config.transform == "log" for m in model.network.members]
    assert any(logs)
    assert not all(logs)
    frame = FRAME.assign(y=FRAME["y"].where(FRAME.index != 5, -0.5))
    with pytest.warns(LstmTuneWarning, match=f"{sum(logs)} of {len(logs)} networks take logarithms"):
        again = model.refit(frame)
    assert len(again.network.members) == logs.count(False)
    kept = np.array([w for w, log in zip(model.network.weights, logs, strict=True) if not log])
    assert again.network.weights == pytest.approx((kept / kept.sum()).tolist())
    assert len(again.known_recipe().networks) == logs.count(False)


def test_too_few_rows_and_constant_rows_are_refused_in_one_line(model: ForecastModel) -> None:
    with pytest.raises(DataError, match=r"needs \d+ rows in a row to be trained on, but the longest series has 10"):
        model.refit(FRAME[:10])
    with pytest.raises(DataError, match="target 'y' has fewer than two different values"):
        model.refit(daily(np.full(80, 5.0)))


def test_a_device_that_is_not_there_is_refused(
    model: ForecastModel, run_folder: Path, monkeypatch: pytest.MonkeyPatch, command_line: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="torch finds no CUDA device here"):
        model.refit(FRAME, device="cuda")
    with pytest.raises(UsageError, match="device must be auto, cpu or cuda, but is 'tpu'"):
        model.refit(FRAME, device="tpu")
    status, _, err = command_line("refit", "run", "data.csv", "--device", "cuda")
    assert status == 2
    assert "torch finds no CUDA device here" in err


def test_a_model_of_an_earlier_version_is_refused(model: ForecastModel) -> None:
    old = ForecastModel(model.network, model.shape, model.spec, model.scale)
    with pytest.raises(RunError, match=r"did not keep how it was trained.*run tune again"):
        old.refit(FRAME)


# ---- the command, and --first


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("data.csv", index=False)
    FRAME[:128].to_csv("old.csv", index=False)
    options: dict[str, Any] = {
        "target": "y",
        "horizon": 3,
        "split": ROWS,
        "folds": 1,
        "n_trials": 2,
        "retrain_seeds": 1,
    }
    lstm_tune.tune("data.csv", space=LEARNED, out="run", **options)
    return tmp_path / "run"


def test_the_command_writes_a_run_folder_that_other_commands_take(run_folder: Path, command_line: Any) -> None:
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    status, out, _ = command_line("refit", "run", "old.csv")
    assert status == 0
    assert "on 128 rows (2024-01-01 to 2024-05-07)" in out
    new = run_folder.parent / "run-refit"
    assert (new / "model/weights.safetensors").read_bytes() == before[run_folder / "model/weights.safetensors"]
    assert {path: path.read_bytes() for path in before} == before
    for command in (
        ["predict", "run-refit", "data.csv"],
        ["evaluate", "run-refit", "data.csv"],
        ["report", "run-refit"],
    ):
        assert command_line(*command)[0] == 0
    assert "trained again on 128 rows of old.csv" in (new / "report.html").read_text()
    status, out, _ = command_line("refit", "run-refit", "data.csv", "--out", "third")
    assert status == 0
    assert "on 160 rows" in out
    status, _, err = command_line("refit", "run", "data.csv", "--out", "third")
    assert (status, err.count("\n")) == (2, 1)
    assert "holds a run already" in err
    assert command_line("refit", "run", "data.csv")[0] == 0
    assert (run_folder.parent / "run-refit-2" / "result.json").exists()


def test_a_new_study_begins_with_the_best_configurations_of_another(run_folder: Path, command_line: Any) -> None:
    options: dict[str, Any] = {"target": "y", "horizon": 3, "folds": 1, "n_trials": 4, "retrain_seeds": 1}
    record = json.loads((run_folder / "result.json").read_text())
    plain = space_from_mapping(LEARNED).enqueued()[0]
    found = {"lookback": 9, "skip": "last", "window_norm": "last"}
    assert found.items() != plain.items()
    record["best"]["params"] |= found
    (run_folder / "result.json").write_text(json.dumps(record))
    space = LEARNED | {"hidden_units": [3, 4]}
    result = lstm_tune.tune(FRAME, space=space, first=run_folder, **options)
    tried = [trial.settings for trial in result.trials]
    assert not found.items() <= tried[0].items()
    assert found.items() <= tried[1].items()
    assert found.items() <= result.summary.settings["space"]["first"][0].items()
    json.dumps(result.to_dict())
    shutil.rmtree(run_folder)
    with pytest.raises(RunError, match="is missing; name a run folder"):
        lstm_tune.tune(FRAME, space=space, first=run_folder, **options)


def test_what_another_study_has_chosen_does_not_count_as_known() -> None:
    space = space_from_mapping(LEARNED | {"first": [{"lookback": 5}]})
    more = space.with_first([{"lookback": 9}, {"lookback": 5}, {"skip": "last"}])
    assert more.enqueued()[: space.n_known] == space.enqueued()
    assert more.n_known == space.n_known == 2
    assert len(more.enqueued()) == 4
    assert more.to_dict()["first"] == [{"lookback": 5}, {"lookback": 9}, {"lookback": 5}, {"skip": "last"}]


def test_panels_take_refits_with_a_new_series(model: ForecastModel) -> None:
    both = model_of(panel(wave(160), wave(160, seed=1)), id="shop", n_trials=2)
    again = both.refit(panel(wave(160), wave(160, seed=1), wave(90, seed=2)))
    assert set(again.predict(panel(wave(160), wave(160, seed=1), wave(90, seed=2)))["series"]) == {"a", "b", "c"}
