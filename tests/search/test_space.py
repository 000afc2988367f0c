from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_tune.config import PLAIN, RULES, Config
from lstm_tune.errors import SpaceError
from lstm_tune.search.space import Choice, Fixed, Range, Space, _preset_folder, load_space, presets, space_from_mapping
from lstm_tune.training.limits import Limits

PRESETS = ("classic", "default", "quick", "thorough")
AMPLE = Limits(max_lookback=10_000, positive=True, period=24, max_batch_size=10_000, several_series=True)
SCARCE = Limits(max_lookback=41, positive=False, period=None, max_batch_size=100)
SGD_ALONE = {"low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}}


class RandomTrial:
    """Chooses at random, and keeps which parameters it was asked for."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.params: dict[str, Any] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return self._kept(name, self.random.randrange(low, high + 1, step))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = self.random.uniform(low, high)
        return self._kept(name, value if step is None else low + step * int((value - low) / step))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._kept(name, self.random.choice(choices))

    def _kept(self, name: str, value: Any) -> Any:
        self.params[name] = value
        return value


class FirstTrial:
    """Replays values, and refuses to be asked for any other parameter."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.fixed = optuna.trial.FixedTrial(dict(params))

    def config(self, space: Space) -> Config:
        config = space.suggest(self.fixed)
        assert set(self.fixed.distributions) == set(self.fixed._params)
        return config


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


# Reading


def test_each_way_of_writing_a_parameter_is_read() -> None:
    space = space_from_mapping(
        {
            "lookback": {"low": 8, "high": 336, "log": True},
            "optimizer": ["adam", "sgd"],
            "momentum": SGD_ALONE,
            "weight_decay": [0, 1e-4],
            "head_units": {"choices": [0, 32], "when": {"optimizer": ["adam", "sgd"]}},
            "epochs": 30,
        }
    )
    assert space.parameters == {
        "lookback": Range(low=8, high=336, log=True),
        "optimizer": Choice(values=("adam", "sgd")),
        "momentum": Range(low=0.0, high=0.99, when={"optimizer": ("sgd",)}),
        "weight_decay": Choice(values=(0.0, 1e-4)),
        "head_units": Choice(values=(0, 32), when={"optimizer": ("adam", "sgd")}),
        "epochs": Fixed(value=30),
    }


def test_a_file_and_a_mapping_of_the_same_content_agree(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffdescription = 'short'\nlayers = [1, 2]\n[[first]]\nlayers = 2\n")
    space = load_space(path)
    twin = space_from_mapping({"description": "short", "layers": [1, 2], "first": [{"layers": 2}]}, name="mine")
    assert (space.name, space.source, space.description) == ("mine", str(path), "short")
    assert (space.parameters, space.first) == (twin.parameters, twin.first)
    assert load_space(str(path)) == space


def test_whole_numbers_are_kept_whole_and_numbers_become_floats() -> None:
    space = space_from_mapping({"layers": {"low": 1, "high": 3}, "dropout": {"low": 0, "high": 0.5, "step": 0.1}})
    assert [type(space.parameters[name].low) for name in ("layers", "dropout")] == [int, float]


def test_conditions_may_come_before_the_parameter_they_refer_to() -> None:
    space = space_from_mapping({"layers": [1, 2], "momentum": SGD_ALONE, "loss": "mae", "optimizer": ["adam", "sgd"]})
    assert list(space.parameters) == ["layers", "loss", "optimizer", "momentum"]


def test_a_range_or_choice_of_one_value_is_fixed() -> None:
    space = space_from_mapping({"layers": {"low": 2, "high": 2}, "optimizer": ["sgd"]})
    assert space.parameters == {"layers": Fixed(value=2), "optimizer": Fixed(value="sgd")}


def test_the_upper_bound_is_moved_to_the_grid_of_step() -> None:
    space = space_from_mapping(
        {"lookback": {"low": 8, "high": 100, "step": 16}, "dropout": {"low": 0, "high": 0.3, "step": 0.1}}
    )
    assert (space.parameters["lookback"].high, space.parameters["dropout"].high) == (88, 0.3)


FAULTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown parameter": ("lookbak = 20", ("lookbak = 20", "no such parameter", "did you mean lookback?")),
    "unknown parameter unlike any": ("zzz = 20", ("zzz = 20", "no such parameter", "known: ")),
    "unknown key": ("layers = { low = 1, hig = 3 }", ("layers.hig = 3", "no such key", "did you mean high?")),
    "low above high": ("layers = { low = 3, high = 1 }", ("layers.low = 3", "not be above high, 1", "swap")),
    "high missing": ("layers = { low = 3 }", ("layers = {'low': 3}", "high is missing")),
    "empty table": ("layers = {}", ("layers = {}", "low is missing")),
    "log from zero": (
        "dropout = { low = 0, high = 0.5, log = true }",
        ("dropout.low = 0.0", "above 0 where log is true"),
    ),
    "log not a truth value": ("layers = { low = 1, high = 3, log = 1 }", ("layers.log = 1", "true or false")),
    "log with step": (
        "lookback = { low = 20, high = 40, log = true, step = 2 }",
        ("lookback.step = 2", "cannot stand beside log"),
    ),
    "step of zero": ("lookback = { low = 20, high = 40, step = 0 }", ("lookback.step = 0", "whole number above 0")),
    "step above the span": ("lookback = { low = 20, high = 40, step = 21 }", ("lookback.step = 21", "at most", "20")),
    "step of a half": ("lookback = { low = 20, high = 40, step = 0.5 }", ("lookback.step = 0.5", "a whole number")),
    "step of a truth value": ("dropout = { low = 0, high = 0.5, step = true }", ("dropout.step = True", "a number")),
    "no choices": ("optimizer = []", ("optimizer = []", "has no values")),
    "no choices in a table": ("optimizer = { choices = [] }", ("optimizer.choices = []", "has no values")),
    "choices not a list": ('optimizer = { choices = "sgd" }', ("optimizer.choices = 'sgd'", "must be a list")),
    "repeated choice": ("layers = [1, 2, 1]", ("layers = 1", "more than once")),
    "the same number twice": ("dropout = [0, 0.0]", ("dropout = 0.0", "more than once")),
    "choices beside bounds": ("layers = { choices = [1], low = 1 }", ("layers.low = 1", "cannot stand beside choices")),
    "number outside its rule": ("dropout = 1.0", ("dropout = 1.0", "a number of at least 0 and below 1")),
    "bound outside its rule": ("layers = { low = 0, high = 3 }", ("layers.low = 0", "at least 1 and of at most 8")),
    "choice outside its rule": ("layers = [1, 9]", ("layers = 9", "at most 8")),
    "word outside its rule": ('optimizer = ["adm"]', ("optimizer = 'adm'", "one of adam, adamw", "did you mean adam?")),
    "mixed types": ('layers = [1, "two"]', ("layers = 'two'", "must be a whole number")),
    "broken whole number": ("layers = { low = 1, high = 2.5 }", ("layers.high = 2.5", "must be a whole number")),
    "bounds for words": ("loss = { low = 1, high = 2 }", ("loss = {'low'", "takes words", "mse, mae, huber")),
    "truth value as number": ("layers = true", ("layers = True", "must be a whole number")),
    "truth value as bound": ("dropout = { low = false, high = 0.5 }", ("dropout.low = False", "must be a number")),
    "not a number": ("dropout = { low = nan, high = 0.5 }", ("dropout.low = nan", "must be a number")),
    "infinite bound": ("weight_decay = { low = 0, high = inf }", ("weight_decay.high = inf", "must be a number")),
    "number beyond floats": ("lookback = 1" + "0" * 400, ("lookback = 1000", "...", "must be a whole number")),
    "nested list": ("layers = [[1, 2]]", ("layers = [1, 2]", "must be a whole number")),
    "date": ("layers = 2024-01-01", ("layers = datetime.date(2024, 1, 1)", "must be a whole number")),
    "description not text": ("description = 3\nlayers = 1", ("description = 3", "must be text")),
    "nothing at all": ("description = 'empty'", ("names no parameter", "give at least one")),
    "condition not a table": (
        'momentum = { low = 0, high = 0.9, when = "sgd" }',
        ("momentum.when = 'sgd'", "must be a table"),
    ),
    "condition on unknown": (
        'momentum = { low = 0, high = 0.9, when = { optimiser = "sgd" } }',
        ("momentum.when.optimiser = 'sgd'", "did you mean optimizer?"),
    ),
    "condition on absent": (
        'momentum = { low = 0, high = 0.9, when = { optimizer = "sgd" } }',
        ("momentum.when.optimizer = ['sgd']", "optimizer is not in this space"),
    ),
    "condition on itself": (
        "layers = { low = 1, high = 3, when = { layers = 2 } }",
        ("layers.when.layers = [2]", "condition of itself"),
    ),
    "condition on no value": (
        'optimizer = ["adam", "sgd"]\nmomentum = { low = 0, high = 0.9, when = { optimizer = [] } }',
        ("momentum.when.optimizer = []", "has no values"),
    ),
    "condition on an impossible value": (
        'optimizer = ["adam", "sgd"]\nmomentum = { low = 0, high = 0.9, when = { optimizer = "adagrad" } }',
        ("momentum.when.optimizer = 'adagrad'", "one of adam"),
    ),
    "condition on a value never taken": (
        'optimizer = ["adam", "adamw"]\nmomentum = { low = 0, high = 0.9, when = { optimizer = "sgd" } }',
        ("momentum.when.optimizer = 'sgd'", "never takes this value", "adam, adamw"),
    ),
    "condition on another fixed value": (
        'optimizer = "adam"\nmomentum = { low = 0, high = 0.9, when = { optimizer = "sgd" } }',
        ("momentum.when.optimizer = 'sgd'", "never takes this value", "takes adam"),
    ),
    "conditions in a circle": (
        "epochs = 3\nlayers = { low = 1, high = 3, when = { patch = 2 } }\n"
        "patch = { low = 1, high = 3, when = { layers = 2 } }",
        ("layers.when.patch = [2]", "circle: layers -> patch -> layers"),
    ),
    "patch above every lookback": (
        "lookback = [8, 16]\npatch = [1, 24]",
        ("patch = 24", "above the largest lookback, 16", "raise lookback"),
    ),
    "patch above the plain LSTM's lookback": ("patch = 21", ("patch = 21", "above the largest lookback, 20")),
    "first not tables": ("first = 3\nlayers = 1", ("first = 3", "[[first]]")),
    "first of unknown": ("layers = 1\n[[first]]\nlayer = 1", ("[[first]] table 1, layer = 1", "did you mean layers?")),
    "first of absent": (
        "layers = 1\n[[first]]\nlayers = 1\n[[first]]\nepochs = 5",
        ("[[first]] table 2, epochs = 5", "not in this space", "above the first [[first]]"),
    ),
    "first outside its rule": ("layers = 1\n[[first]]\nlayers = 0", ("[[first]] table 1, layers = 0", "at least 1")),
    "first outside the bounds": (
        "layers = { low = 1, high = 2 }\n[[first]]\nlayers = 3",
        ("[[first]] table 1, layers = 3", "outside this space: 1 to 2"),
    ),
    "first against a fixed value": (
        "layers = 1\n[[first]]\nlayers = 2",
        ("[[first]] table 1, layers = 2", "outside this space: 1"),
    ),
    "first off the grid": (
        "lookback = { low = 8, high = 24, step = 8 }\n[[first]]\nlookback = 20",
        ("[[first]] table 1, lookback = 20", "outside this space"),
    ),
    "first of an inactive parameter": (
        'optimizer = ["adam", "sgd"]\nmomentum = { low = 0, high = 0.9, when = { optimizer = "sgd" } }\n'
        "[[first]]\nmomentum = 0.5",
        ("[[first]] table 1, momentum = 0.5", "no effect, because optimizer is adam", "drop it"),
    ),
    "invalid TOML": ("layers = 1\nepochs = = 3", ("not valid TOML", "line 2, column 10")),
    "a key twice": ("layers = 1\nlayers = 2\n", ("not valid TOML", "line 2")),
    "a key of several lines": ('"lay\\ners" = 1', ("'lay\\ners' = 1", "no such parameter")),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_faulty_file_is_refused_with_file_key_value_and_rule(kind: str, tmp_path: Path) -> None:
    text, parts = FAULTS[kind]
    path = written(tmp_path, text)
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert [part for part in parts if part not in message] == [], message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"gone\.toml: no such file"):
        load_space(tmp_path / "gone.toml")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"a directory; name a \.toml file in it"):
        load_space(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"layers = 1 # \xff\xfe")
    with pytest.raises(SpaceError, match=r"mine\.toml: not a text file in UTF-8 \(byte 13\)"):
        load_space(path)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpaceError, match=r"'defualt': no such preset; did you mean default\?.*classic, default, quick"):
        load_space("defualt")


@pytest.mark.parametrize("mapping", [None, [], 3])
def test_what_is_no_mapping_is_refused(mapping: Any) -> None:
    with pytest.raises(SpaceError, match="space custom: a space must be a table of parameters"):
        space_from_mapping(mapping)


# Suggesting


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(PRESETS), seed=st.integers(0, 2**32), scarce=st.booleans())
def test_a_suggested_configuration_lies_within_the_space(name: str, seed: int, scarce: bool) -> None:
    space = load_space(name).cut(SCARCE if scarce else AMPLE)[0]
    trial = RandomTrial(seed)
    params = space.suggest(trial).params()
    for parameter, value in params.items():
        spec = space.parameters.get(parameter)
        if spec is None or not all(params[parent] in allowed for parent, allowed in spec.when.items()):
            assert parameter not in trial.params
            assert value == getattr(PLAIN, parameter)
        else:
            resolved = parameter == "patch"  # made to fit lookback and max_steps
            assert spec.admits(trial.params.get(parameter, value) if resolved else value)
            assert (parameter in trial.params) == (not isinstance(spec, Fixed))
    if scarce:
        assert params["lookback"] <= 41
        assert params["patch"] <= 20
        assert params["batch_size"] <= 100
        assert (params["transform"], params["difference"] == "seasonal", params["skip"] == "seasonal") == (
            "none",
            False,
            False,
        )


def test_what_depends_on_an_inactive_parameter_is_inactive() -> None:
    space = space_from_mapping(
        {
            "optimizer": ["adam", "sgd"],
            "momentum": {"choices": [0.5, 0.9], "when": {"optimizer": "sgd"}},
            "layers": {"choices": [2, 3], "when": {"momentum": 0.9}},
        }
    )
    assert space.suggest(optuna.trial.FixedTrial({"optimizer": "adam"})) == Config()
    params = {"optimizer": "sgd", "momentum": 0.9, "layers": 3}
    assert space.suggest(optuna.trial.FixedTrial(params)) == Config.from_params(params)


@pytest.mark.parametrize("name", PRESETS)
def test_optuna_samples_a_preset_without_a_warning(name: str) -> None:
    space = load_space(name)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=5))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(lambda trial: space.suggest(trial).learning_rate, n_trials=12)
    assert all(trial.state.name == "COMPLETE" for trial in study.trials)


# What is tried first


@pytest.mark.parametrize("name", ["classic", "default", "thorough"])
def test_a_preset_admits_the_plain_lstm(name: str) -> None:
    space = load_space(name)
    config = FirstTrial(space.enqueued()[0]).config(space)
    budget = {name: value for name, value in config.params().items() if name in ("epochs", "patience")}
    assert config == Config.from_params({**PLAIN.params(), **budget})


def test_the_quick_preset_takes_the_nearest_to_the_plain_lstm() -> None:
    first = load_space("quick").enqueued()[0]
    assert (first["lookback"], first["hidden_units"], first["window_norm"]) == (24, 50, "last")


@pytest.mark.parametrize("limits", [AMPLE, SCARCE])
@pytest.mark.parametrize("name", PRESETS)
def test_enqueued_params_give_the_same_configuration_in_a_study(name: str, limits: Limits) -> None:
    space = load_space(name).cut(limits)[0]
    study = optuna.create_study()
    for params in space.enqueued():
        study.enqueue_trial(params)
        trial = study.ask()
        assert space.suggest(trial) == FirstTrial(params).config(space)
        assert trial.params == params


def test_the_default_preset_tries_its_best_known_after_the_plain_lstm() -> None:
    space = load_space("default")
    plain, *rest = (FirstTrial(params).config(space) for params in space.enqueued())
    assert plain == replace(PLAIN, epochs=60, patience=4)
    assert [(config.lookback, config.patch, config.window_norm, config.skip) for config in rest] == [
        (512, 24, "last", "linear"),
        (24, 1, "last", "ets"),
        (24, 1, "last", "linear"),
        (24, 1, "last", "ets"),
        (336, 24, "standard", "linear"),
        (168, 12, "last", "seasonal"),
        (336, 12, "last", "linear"),
        (720, 48, "last", "none"),
        (48, 1, "none", "linear"),
        (168, 8, "standard", "none"),
    ]


def test_a_patch_is_at_most_the_lookback_and_long_enough_for_max_steps() -> None:
    space = space_from_mapping({"lookback": [4, 96], "patch": [1, 8], "max_steps": 24})
    resolved = {(96, 1): 4, (96, 8): 8, (4, 1): 1, (4, 8): 4}
    for (lookback, patch), expected in resolved.items():
        assert FirstTrial({"lookback": lookback, "patch": patch}).config(space).patch == expected
    assert Space.from_dict(space.to_dict()) == space


@pytest.mark.parametrize("key", ["max_steps", "epoch_samples"])
@pytest.mark.parametrize("value", [0, -3, 1.5, "many", True])
def test_bounds_of_a_space_are_whole_numbers_of_at_least_1(key: str, value: object) -> None:
    with pytest.raises(SpaceError, match=rf"{key}.*at least 1"):
        space_from_mapping({"lookback": [4, 8], key: value})


def test_epoch_samples_survive_saving() -> None:
    space = space_from_mapping({"lookback": [4, 8], "epoch_samples": 500})
    assert space.epoch_samples == 500
    assert Space.from_dict(space.to_dict()) == space


def test_enqueued_values_are_moved_into_the_space_and_kept_once() -> None:
    space = space_from_mapping(
        {
            "lookback": {"low": 8, "high": 16, "step": 4},
            "hidden_units": [16, 64],
            "batch_size": {"low": 64, "high": 128},
            "optimizer": ["rmsprop", "sgd"],
            "momentum": SGD_ALONE,
            "layers": 2,
            "first": [{"lookback": 16}, {"lookback": 12, "optimizer": "sgd"}, {}],
        }
    )
    plain = {"lookback": 16, "hidden_units": 64, "batch_size": 64, "optimizer": "rmsprop"}
    sgd = {"lookback": 12, "hidden_units": 64, "batch_size": 64, "optimizer": "sgd", "momentum": 0.9}
    assert space.enqueued() == (plain, sgd)


# Cutting to the data


def test_one_series_has_no_loss_in_units_of_its_windows_unless_a_space_asks_for_it_alone() -> None:
    one = replace(AMPLE, several_series=False)
    default, notes = load_space("default").cut(one)
    assert notes == ()
    assert all(default.suggest(optuna.trial.FixedTrial(params)).loss_scale == "series" for params in default.enqueued())
    _, notes = space_from_mapping({"loss_scale": ["series", "window"]}).cut(one)
    assert notes[0].startswith("loss_scale: series, window cut to series: there is one series")
    alone, notes = space_from_mapping({"loss_scale": "window"}).cut(one)
    assert (alone.suggest(optuna.trial.FixedTrial({})).loss_scale, notes) == ("window", ())


def test_ample_data_cut_nothing() -> None:
    for name in PRESETS:
        space = load_space(name)
        assert space.cut(AMPLE) == (space, ())


def test_each_cut_is_described_in_a_sentence() -> None:
    notes = load_space("default").cut(SCARCE)[1]
    assert notes[0] == "lookback: 8 to 720 cut to 8 to 41: the training rows allow no more"
    assert [note.split(":")[0] for note in notes] == [
        "lookback",
        "patch",
        "transform",
        "difference",
        "skip",
        "batch_size",
    ]
    assert notes[1].startswith("patch: 1, 4, 8, 12, 24, 48 cut to 1, 4, 8, 12: ")
    assert notes[2].startswith("transform: none, log cut to none: the target is not above 0")
    assert notes[5] == "batch_size: 32, 64, 128, 256 cut to 32, 64, 100: there are only 100 training windows"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_the_smallest_data(name: str) -> None:
    least = Limits(max_lookback=1, positive=False, period=None, max_batch_size=1)
    space = load_space(name).cut(least)[0]
    for params in space.enqueued():
        config = FirstTrial(params).config(space)
        assert (config.lookback, config.patch, config.batch_size) == (1, 1, 1)


def test_listed_lookbacks_above_the_limit_are_dropped_and_one_left_is_fixed() -> None:
    space, notes = space_from_mapping({"lookback": [24, 48, 96]}).cut(SCARCE)
    assert space.parameters == {"lookback": Fixed(value=24)}
    assert notes == ("lookback: 24, 48, 96 cut to 24: the training rows allow no more",)


def test_a_cut_range_stays_on_the_grid_of_its_step() -> None:
    space = space_from_mapping({"lookback": {"low": 8, "high": 104, "step": 16}}).cut(SCARCE)[0]
    assert space.parameters == {"lookback": Range(low=8, high=40, step=16)}


def test_patches_fit_into_the_longest_window_left() -> None:
    space = space_from_mapping({"lookback": [8, 64], "patch": [1, 8, 16]}).cut(SCARCE)[0]
    assert space.parameters == {"lookback": Fixed(value=8), "patch": Choice(values=(1, 8))}


def test_defaults_of_the_plain_lstm_are_cut_too() -> None:
    few = Limits(max_lookback=12, positive=True, period=None, max_batch_size=10)
    space, notes = space_from_mapping({"layers": [1, 2]}).cut(few)
    config = space.suggest(optuna.trial.FixedTrial({"layers": 2}))
    assert (config.lookback, config.batch_size) == (12, 10)
    assert notes[0] == "lookback: 20 cut to 12: the training rows allow no more"
    assert len(notes) == 2


def test_a_parameter_whose_condition_cannot_hold_is_left_out_with_all_that_depends_on_it() -> None:
    space, notes = space_from_mapping(
        {
            "skip": ["none", "linear", "seasonal"],
            "layers": {"choices": [1, 2], "when": {"skip": "seasonal"}},
            "dropout": {"low": 0, "high": 0.5, "when": {"layers": 2}},
            "loss": {"choices": ["mae", "mse"], "when": {"skip": ["linear", "seasonal"]}},
            "first": [{"skip": "seasonal", "layers": 2, "dropout": 0.1, "loss": "mae"}],
        }
    ).cut(SCARCE)
    assert space.parameters == {
        "skip": Choice(values=("none", "linear")),
        "loss": Choice(values=("mae", "mse"), when={"skip": ("linear",)}),
    }
    assert space.first == ({"skip": "none"},)
    assert "layers: left out: its condition cannot hold any more" in notes


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"lookback": 96}, r"lookback = 96: the training rows allow no more; lower it to 41 at most"),
        ({"lookback": [96, 48]}, r"lookback = 96, 48: the training rows"),
        ({"lookback": 40, "patch": 24}, r"patch = 24: .* too short for more; lower it to 20 at most"),
        ({"transform": "log"}, r"transform = log: the target is not above 0 everywhere.*; use none"),
        ({"difference": "seasonal"}, r"difference = seasonal: the data show no season; use none"),
        ({"skip": ["seasonal"]}, r"skip = seasonal: the data show no season; use none"),
    ],
)
def test_what_the_data_forbid_altogether_is_refused(mapping: dict[str, Any], said: str) -> None:
    with pytest.raises(SpaceError, match="^space mine: " + said):
        space_from_mapping(mapping, name="mine").cut(SCARCE)


def test_a_conditional_lookback_is_refused_where_the_data_forbid_the_plain_value() -> None:
    space = space_from_mapping({"layers": [1, 2], "lookback": {"choices": [4, 8], "when": {"layers": 2}}})
    few = Limits(max_lookback=12, positive=True, period=None, max_batch_size=100)
    with pytest.raises(SpaceError, match=r"lookback = 4, 8: is 20 if its condition does not hold.*drop the cond"):
        space.cut(few)


def test_a_fixed_batch_size_is_lowered_to_the_windows_there_are() -> None:
    assert space_from_mapping({"batch_size": 128}).cut(SCARCE)[0].parameters == {"batch_size": Fixed(value=100)}


# Grids, edges, keeping


def test_a_grid_spans_each_range_on_its_own_scale() -> None:
    space = space_from_mapping(
        {
            "lookback": {"low": 10, "high": 1000, "log": True},
            "layers": {"low": 1, "high": 2},
            "dropout": {"low": 0, "high": 0.5},
            "batch_size": {"low": 16, "high": 64, "step": 16},
            "optimizer": ["adam", "sgd"],
            "epochs": 3,
        }
    )
    assert space.grid() == {
        "lookback": [10, 100, 1000],
        "layers": [1, 2],
        "dropout": [0.0, 0.25, 0.5],
        "batch_size": [16, 48, 64],
        "optimizer": ["adam", "sgd"],
    }
    assert space.grid(points=1)["lookback"] == [100]


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_of_a_grid_is_admitted(name: str) -> None:
    space = load_space(name)
    for parameter, values in space.grid(points=7).items():
        assert all(RULES[parameter].admits(value) and space.parameters[parameter].admits(value) for value in values)
        assert len(set(values)) == len(values)


def test_edges_are_the_active_numbers_on_a_bound_that_could_be_wider() -> None:
    space = load_space("default")
    best = Config(
        lookback=700,  # within 1% of the logarithmic range
        learning_rate=5e-5,
        hidden_units=64,
        layers=1,  # no fewer exist
        dropout=0.0,  # no less exists
        momentum=0.99,  # inactive: the optimizer is adam
        batch_size=256,
        patch=48,
        outlier_clip=5,  # a switch
    )
    assert space.edges(best) == (
        ("lookback", "high", 720),
        ("patch", "high", 48),
        ("learning_rate", "low", 5e-5),
        ("batch_size", "high", 256),
    )
    assert ("momentum", "high", 0.99) in space.edges(Config(optimizer="sgd", momentum=0.99))


@pytest.mark.parametrize("limits", [AMPLE, SCARCE])
@pytest.mark.parametrize("name", PRESETS)
def test_a_space_comes_back_from_json(name: str, limits: Limits) -> None:
    space = load_space(name).cut(limits)[0]
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space


def test_a_condition_on_what_became_fixed_comes_back_from_json() -> None:
    space = space_from_mapping(
        {
            "optimizer": ["adam", "sgd"],
            "momentum": {"choices": [0.5], "when": {"optimizer": "sgd"}},
            "loss": {"choices": ["mse", "mae"], "when": {"optimizer": "adam"}},
            "dropout": {"low": 0, "high": 0.5, "step": 0.1, "when": {"momentum": 0.5}},
        }
    )
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@pytest.mark.parametrize("damaged", [{}, [], {"parameters": 3}, {"parameters": {"layers": 0}}])
def test_a_damaged_saved_space_is_refused(damaged: Any) -> None:
    with pytest.raises(SpaceError, match=r"^saved space: "):
        Space.from_dict(damaged)


# Presets


def test_the_presets_are_these_four() -> None:
    assert tuple(presets()) == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_what_it_is_for_and_names_no_path_in_its_source(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert space.source == f"preset {name}"
    assert re.fullmatch(r"[A-Z].{20,90}[^.]", space.description)


def test_presets_lie_inside_an_installed_package_and_beside_it_in_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "lstm_tune"
    package.mkdir()
    assert _preset_folder(package) == tmp_path / "search_spaces"
    (package / "search_spaces").mkdir()
    assert _preset_folder(package) == package / "search_spaces"


def test_a_preset_wins_over_a_file_of_its_name_unless_the_path_is_spelt_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "classic").write_text("layers = 3")
    monkeypatch.chdir(tmp_path)
    assert load_space("classic").source == "preset classic"
    assert load_space("./classic").parameters == {"layers": Fixed(value=3)}
    assert load_space(Path("classic")).parameters == {"layers": Fixed(value=3)}


def test_default_and_thorough_begin_with_the_same_configurations() -> None:
    assert load_space("default").first == load_space("thorough").first
