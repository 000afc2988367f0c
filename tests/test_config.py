"""The entries of the parameters: complete, consistent, and told in words."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any

import pytest

from lstm_tune.ablation.steps import STAGES
from lstm_tune.config import CELL_LABELS, PARAMETERS, PLAIN, RULES, Config, ParameterInfo


@pytest.mark.parametrize("name", PARAMETERS)
def test_entry_is_complete_and_admits_its_own_default(name: str) -> None:
    info, default = PARAMETERS[name], getattr(PLAIN, name)
    assert info.rule.admits(default)
    assert info.rule.kind is typing.get_type_hints(Config)[name]
    assert (info.rule.kind is str) == bool(info.rule.words)
    assert info.help
    assert not info.help.endswith(".")
    assert info.step in {group.name for stage in STAGES for group in stage}


def test_every_field_is_an_entry_and_has_its_place_in_the_params() -> None:
    assert list(PARAMETERS) == [field.name for field in dataclasses.fields(Config)] == list(PLAIN.params())
    assert PLAIN.cell in CELL_LABELS


def test_table_of_the_search_spaces_holds_the_entries() -> None:
    page = Path(__file__).parents[1] / "search_spaces" / "README.md"
    if not page.exists():
        pytest.skip("not in a checkout")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| `(.+)` \| (.+) \|$", page.read_text("utf-8"), re.MULTILINE)
    assert rows == [(name, values_of(info), str(getattr(PLAIN, name)), info.help) for name, info in PARAMETERS.items()]


def values_of(info: ParameterInfo) -> str:
    if info.rule.words:
        return ", ".join(f"`{word}`" for word in info.rule.words)
    return info.rule.describe() + (f", in {info.unit}" if info.unit else "")


@pytest.mark.parametrize(("name", "word"), [(n, word) for n, rule in RULES.items() for word in rule.words])
def test_every_choice_can_be_described(name: str, word: str) -> None:
    config = Config.from_params({name: word})
    assert config.describe().startswith(f"{CELL_LABELS[config.cell]} 1×50, lookback 20")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "LSTM 1×50, lookback 20, dropout 0.2, adam 0.001, batch 32"),
        (
            {"layers": 2, "hidden_units": 64, "lookback": 96, "patch": 8, "window_norm": "last", "dropout": 0.0},
            "LSTM 2×64, lookback 96 in patches of 8, windows minus their last value, adam 0.001, batch 32",
        ),
        (
            {"transform": "log", "difference": "seasonal", "skip": "linear", "loss": "huber", "schedule": "cosine"},
            "LSTM 1×50, lookback 20, log, seasonal differences, corrects ridge regression, dropout 0.2, "
            "adam 0.001, cosine schedule, huber loss, batch 32",
        ),
        (
            {"head_units": 8, "cell_activation": "relu", "outlier_clip": 4.0, "weight_decay": 0.01, "skip": "last"},
            "LSTM 1×50, lookback 20, corrects the last value, head of 8 units, tanh, dropout 0.2, "
            "adam 0.001, weight decay 0.01, inputs cut at 4 sd, relu cell, batch 32",
        ),
    ],
    ids=range(4),
)
def test_configuration_is_described_in_words(params: dict[str, Any], words: str) -> None:
    assert Config.from_params(params).describe() == words
