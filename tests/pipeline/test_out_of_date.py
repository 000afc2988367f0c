"""Warnings that a model is out of date: shifts and larger errors are said, what is as before is not."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from series import daily, panel, wave

import lstm_tune
from lstm_tune.diagnosis.channel import Channel
from lstm_tune.diagnosis.shift_checks import train_test_shift
from lstm_tune.errors import LstmTuneWarning
from lstm_tune.pipeline import out_of_date as module
from lstm_tune.pipeline.out_of_date import _level_shift, error_of_test, out_of_date, read_result
from lstm_tune.utils.escaping import shell

pytestmark = pytest.mark.usefixtures("short_epochs")
SPACE: dict[str, Any] = {"lookback": 9, "hidden_units": 4, "epochs": 3, "patience": 3, "learning_rate": 0.01}
OPTIONS: dict[str, Any] = {"target": "y", "split": (220, 30, 50), "space": SPACE, "n_trials": 1, "retrain_seeds": 1}
OPTIONS |= {"folds": 1}
LONG = wave(400, noise=0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "run"
    lstm_tune.tune(daily(LONG[:300]), out=folder, **OPTIONS)
    return folder


def reasons_of(run: Path, frame: pd.DataFrame) -> tuple[str, ...]:
    model = lstm_tune.load(run)
    return out_of_date(model, error_of_test(read_result(run)), model.read(frame))


def test_rows_as_before_raise_no_word(run: Path) -> None:
    assert reasons_of(run, daily(LONG)) == ()
    assert reasons_of(run, daily(LONG[:300])) == ()
    assert reasons_of(run, daily(LONG[:250])) == ()


def test_a_shift_of_the_level_is_reported_with_its_time_and_size(run: Path) -> None:
    shifted = LONG.copy()
    shifted[300:] += 2 * LONG[:250].std()
    found = reasons_of(run, daily(shifted))
    assert found[0].startswith("since 2024-10-27 y lies ")
    assert "standard deviations higher than in the rows that the model was trained on" in found[0]
    assert "its squared errors on the newest 100 windows are" in found[-1]


def test_rows_that_the_run_has_tested_itself_raise_no_word_and_newer_ones_do(run: Path) -> None:
    shifted = LONG.copy()
    shifted[250:] += 2 * LONG[:250].std()
    assert reasons_of(run, daily(shifted[:300])) == ()
    ahead = pd.concat([daily(shifted[:300]), daily(shifted)[300:].assign(y=np.nan)])
    assert reasons_of(run, ahead) == ()
    assert "y lies" in reasons_of(run, daily(shifted[:310]))[0]


def autoregression(seed: int, memory: float = 0.8, rows: int = 460) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=rows + 100)
    for t in range(1, len(noise)):
        noise[t] += memory * noise[t - 1]
    return noise[100:] * np.sqrt(1 - memory**2)


def test_a_shift_of_two_deviations_is_seen_in_a_few_rows_that_depend_on_each_other() -> None:
    missed = 0
    for seed in range(10):
        values = autoregression(seed)
        options: dict[str, Any] = {"target": "y", "series": "", "train": 320, "val": 80, "horizon": 1}
        options["observed"] = np.ones(460, dtype=bool)
        assert not _level_shift(Channel(values=values, **options))
        values[400:] += 2
        shifted = Channel(values=values, **options)
        missed += train_test_shift(shifted) is None
        assert train_test_shift(shifted) is not None or 1 < _level_shift(shifted) < 3
    assert missed  # so that the second look is of use


def test_larger_errors_alone_are_reported(run: Path) -> None:
    louder = LONG.copy()
    louder[300:] = 5 + 3 * (LONG[300:] - 5)
    found = reasons_of(run, daily(louder))
    assert any("squared errors on the newest 100 windows" in reason for reason in found)


def test_a_random_walk_that_goes_on_is_not_out_of_date(tmp_path: Path) -> None:
    walk = np.cumsum(np.random.default_rng(3).normal(size=400))
    options = OPTIONS | {"space": SPACE | {"window_norm": "last", "skip": "last"}}
    lstm_tune.tune(daily(walk[:300]), out=tmp_path / "run", **options)
    found = reasons_of(tmp_path / "run", daily(walk))
    assert not [reason for reason in found if "squared errors" in reason]


def test_data_without_the_trained_rows_tell_nothing(run: Path) -> None:
    late = daily(LONG[300:] + 9, start="2024-10-27")
    assert reasons_of(run, late) == ()


def test_new_rows_without_values_tell_nothing(run: Path) -> None:
    assert reasons_of(run, daily(np.where(np.arange(400) < 252, LONG, np.nan))) == ()


def test_a_run_without_its_result_is_judged_by_the_rows_alone(run: Path, tmp_path: Path) -> None:
    shifted = LONG.copy()
    shifted[250:] += 2 * LONG[:250].std()
    shutil.copytree(run / "model", tmp_path / "model")
    found = reasons_of(tmp_path, daily(shifted))
    assert len(found) == 1
    assert "lies" in found[0]


def test_a_series_of_a_panel_is_named(tmp_path: Path) -> None:
    options = OPTIONS | {"id": "shop", "space": SPACE}
    lstm_tune.tune(panel(LONG[:300], wave(300, seed=1, noise=0.5)), out=tmp_path / "run", **options)
    other = wave(400, seed=1, noise=0.5)
    other[300:] += 5
    found = reasons_of(tmp_path / "run", panel(LONG, other))
    assert [reason for reason in found if " b lies " in reason]
    assert not [reason for reason in found if " a lies " in reason]
    tested = panel(LONG[:300], other[:300] + 5 * (np.arange(300) >= 250))
    assert reasons_of(tmp_path / "run", tested) == ()
    alone = tested[tested["shop"] == "b"]
    assert reasons_of(tmp_path / "run", alone) == ()
    newer = panel(LONG, other)
    assert reasons_of(tmp_path / "run", newer[newer["shop"] == "b"][:340])


def test_a_model_in_python_warns_when_it_forecasts_or_scores_what_shows_it(run: Path) -> None:
    shifted = LONG.copy()
    shifted[300:] += 2 * LONG[:250].std()
    late = daily(shifted)
    result = lstm_tune.tune(daily(LONG[:300]), **OPTIONS)
    for model in (lstm_tune.load(run), result.model):
        for use in (model.predict, model.evaluate):
            with pytest.warns(LstmTuneWarning) as told:
                use(late)
            (said,) = [str(w.message) for w in told if "out of date" in str(w.message)]
            assert "may be out of date: since 2024-10-27 y lies" in said
            assert said.endswith("to train it on the newest rows: model.refit(frame)")
        model.predict(daily(LONG))  # pytest turns a warning into an error, so there is none
        assert model.refit(late).watch is None


def test_commands_say_so_on_stderr_with_the_command_to_refit(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shifted = LONG.copy()
    shifted[300:] += 2 * LONG[:250].std()
    daily(shifted).to_csv("new.csv", index=False)
    daily(LONG).to_csv("same.csv", index=False)
    shutil.copytree(run, "run")
    for command in ("predict", "evaluate"):
        status, out, err = command_line(command, "run", "new.csv")
        assert status == 0
        assert "may be out of date: since" in err
        assert "lstm-tune refit run new.csv" in err
        assert "out of date" not in out
        assert "out of date" not in command_line(command, "run", "same.csv")[2]
    status, out, _ = command_line("evaluate", "run", "new.csv", "--json")
    assert status == 0
    assert "model" in json.loads(out)
    status, out, _ = command_line("refit", "run", "new.csv")
    assert (status, out.partition(" on ")[0]) == (0, "1 network was trained again")
    assert "out of date" not in command_line("predict", "run-refit", "new.csv")[2]


def test_the_command_to_refit_names_an_example_and_a_sheet_as_they_were_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.xlsx").touch()
    monkeypatch.setattr(module, "out_of_date", lambda *_: ("it is",))
    model = lstm_tune.load(run)
    data = model.read(daily(LONG))
    watch = module._Watch(model, None, Path("run"))
    for path in ("example:sunspots", "new.xlsx#Sheet 2"):
        (said,) = watch(dataclasses.replace(data, path=path))
        assert said.endswith(f"newest rows: lstm-tune refit run {shell(path)}")
    for path in ("DataFrame", "array"):
        assert watch(dataclasses.replace(data, path=path))[0].endswith("newest rows: model.refit(frame)")
