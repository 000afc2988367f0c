"""The options of `tune`: one list in four places, one form, and one clear line for each wrong value."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from series import TINY, daily, wave

import lstm_tune
from lstm_tune.cli import tune_command
from lstm_tune.data.split_rule import SplitRule
from lstm_tune.errors import UsageError
from lstm_tune.pipeline.options import TuneOptions, show_storage

NAMES = {field.name for field in fields(TuneOptions)}


def test_function_and_record_have_the_same_options_and_defaults() -> None:
    function = inspect.signature(lstm_tune.tune).parameters
    assert set(function) - {"data", "callbacks", "progress"} == NAMES
    assert {name: function[name].default for name in NAMES} == {f.name: f.default for f in fields(TuneOptions)}


def test_command_line_has_the_same_options() -> None:
    command = set(inspect.signature(tune_command.tune).parameters) - {"context", "data", "config", "quiet", "as_json"}
    renamed = {"trials": "n_trials", "study": "study_name"}
    assert {renamed.get(name, name) for name in command} == NAMES


def test_options_take_one_form() -> None:
    options = TuneOptions(
        target="y", past=["a", 1], future=0, horizon=np.int64(3), timeout="1m30s", out="runs/x", split=[8, 1, 1]
    )
    assert (options.target, options.past, options.future) == (("y",), ("a", "1"), ("0",))
    assert (options.horizon, options.seconds, options.folder) == (3, 90.0, Path("runs/x"))
    assert type(options.horizon) is int
    assert options.split == SplitRule(kind="rows", numbers=(8, 1, 1))


def test_without_a_limit_the_defaults_hold() -> None:
    options = TuneOptions()
    assert (options.trials, options.seconds, options.patience) == (50, 600.0, 12)
    for limited in (TuneOptions(n_trials=5), TuneOptions(timeout=5)):
        assert limited.patience is None
        assert None in (limited.trials, limited.seconds)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": 1.5}, "target must be a column's name, or a list of names, but is 1.5"),
        ({"target": [["a"]]}, "target must be a column's name"),
        ({"past": print}, "past must be a column's name"),
        ({"future": b"y"}, "future must be a column's name"),
        ({"time": 3}, "time must be text, but is 3"),
        ({"id": 1.5}, "id must be a column's name, or a list of names, but is 1.5"),
        ({"decimal": 0}, "decimal must be text"),
        ({"horizon": 3.5}, "horizon must be a whole number, but is 3.5"),
        ({"horizon": True}, "horizon must be a whole number, but is True"),
        ({"horizon": None}, "horizon must be a whole number, but is None"),
        ({"folds": "many"}, "folds must be a whole number, but is 'many'"),
        ({"seed": None}, "seed must be a whole number, but is None"),
        ({"seed": 2**31}, "seed must be from 0 to 2147483647"),
        ({"n_trials": 2.0}, "n_trials must be a whole number"),
        ({"retrain_seeds": 0}, "retrain_seeds must be at least 1, but is 0"),
        ({"workers": "two"}, "workers must be auto or from 0 to 64, but is 'two'"),
        ({"workers": -1}, "workers must be auto or from 0 to 64, but is -1"),
        ({"timeout": "soon"}, "timeout must be a time such as 90s"),
        ({"timeout": [1]}, "timeout must be seconds, or a time such as 90s"),
        ({"timeout": True}, "timeout must be above 0"),
        ({"split": 0.7}, "split must be three row counts or three fractions"),
        ({"split": ["a", "b", "c"]}, "split must be three row counts"),
        ({"space": 5}, "space must be a preset's name"),
        ({"storage": 5}, "storage must be a URL, the path of a journal file, or an Optuna storage, but is 5"),
        ({"calendar": "yes"}, "calendar must be True or False, but is 'yes'"),
        ({"resume": 1}, "resume must be True or False, but is 1"),
        ({"out": 5}, "out must be a folder, but is 5"),
        ({"device": 0}, "device must be text"),
        ({"study_name": 7}, "study_name must be text"),
        ({"sampler": "foo"}, "sampler must be one of tpe, random, gp, cmaes, grid, but is 'foo'"),
        ({"pruner": "foo"}, "pruner must be one of median, none, halving, hyperband, wilcoxon, but is 'foo'"),
    ],
    ids=str,
)
def test_wrong_value_is_refused_in_one_line_that_names_it(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        TuneOptions(**options)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_numbers_of_numpy_are_numbers_everywhere() -> None:
    frame = daily(wave(160))
    one = np.int64(1)
    options: dict[str, Any] = {"target": "y", "horizon": np.int64(3), "folds": np.int32(1)}
    space = TINY | {"epochs": one, "learning_rate": np.float32(1e-3), "batch_size": [np.int64(16), 32]}
    result = lstm_tune.tune(frame, **options, space=space, n_trials=one, retrain_seeds=one, seed=np.uint8(3))
    assert result.record["data"]["horizon"] == 3
    assert lstm_tune.diagnose(frame, target="y", horizon=np.int64(3)).data["horizon"] == 3
    study = optuna.create_study()
    study.optimize(lstm_tune.Objective(frame, space, **options, seed=np.int64(0)), n_trials=1)
    assert study.best_value > 0
    assert lstm_tune.Config(lookback=np.int64(4), dropout=np.float32(0.5)).params()["lookback"] == 4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: lstm_tune.diagnose(daily(wave()), target="y", horizon="3"), "horizon must be a whole number"),
        (lambda: lstm_tune.diagnose(daily(wave()), target=0), "unknown column '0' as target"),
        (lambda: lstm_tune.diagnose(daily(wave()), target="y", past=1.5), "past must be a column's name"),
        (lambda: lstm_tune.Objective(daily(wave()), target="y", seed=None), "seed must be a whole number"),
        (
            lambda: lstm_tune.tune(daily(wave()), target="y", progress=print),
            "progress must be an object with the methods",
        ),
        (lambda: lstm_tune.tune(daily(wave()), target="y", callbacks=5), "callbacks must be a function, or a list"),
        (lambda: lstm_tune.tune(daily(wave()), target="y", callbacks=["x"]), "callbacks must be a function, or a list"),
        (lambda: lstm_tune.Objective(daily(wave()), target="y", horizon=2.5), "horizon must be a whole number"),
        (lambda: lstm_tune.explain(".", seeds="three"), "seeds must be a whole number"),
        (lambda: lstm_tune.explain(".", timeout="soon"), "timeout must be a time such as 90s"),
        (lambda: lstm_tune.load(5), "the run must be a folder, but is 5"),
    ],
)
def test_wrong_argument_of_every_function_is_one_line(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def command(data: str | None = "d.csv", **options: Any) -> str | None:
    return TuneOptions(**options).command(data, workers=1, precision="fp32")


def test_command_repeats_what_was_asked_for() -> None:
    asked = {"target": ["a b", "c,d"], "horizon": 24, "split": (8640, 2880, 2880), "space": "quick", "n_trials": 5}
    asked |= {
        "timeout": 59.2,
        "calendar": False,
        "folds": 3,
        "past": (),
        "study_name": None,
        "out": "x",
        "resume": True,
    }
    assert command("my data.csv", **asked) == (
        "lstm-tune tune 'my data.csv' --target 'a b' --target '\"c,d\"' --horizon 24 --no-calendar "
        "--split 8640,2880,2880 --space quick --trials 5 --timeout 60s --workers 1 --seed 0 --precision fp32"
    )
    assert "--split 0.6,0.2,0.2" in str(command(split=(0.6, 0.2, 0.2)))
    assert "--study mine" in str(command(study_name="mine"))


def test_command_is_left_out_if_a_command_line_cannot_say_it() -> None:
    assert command(sampler=optuna.samplers.RandomSampler()) is None
    assert command(space={"epochs": 1}) is None
    assert command(None) is None  # a frame lives in Python


def test_command_never_holds_a_password() -> None:
    url = "mysql://u:secret@h/s"
    assert show_storage(url) == "mysql://u:***@h/s"
    assert "secret" not in str(command(storage=url))
    assert "mysql" in str(command(storage=url))
