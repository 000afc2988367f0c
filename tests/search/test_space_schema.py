"""The JSON Schema of search spaces agrees with the checks of a space."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_tune.config import RULES
from lstm_tune.errors import SpaceError
from lstm_tune.search.space import presets
from lstm_tune.search.space_file import check_space
from lstm_tune.search.space_schema import space_schema

VALIDATOR = jsonschema.Draft202012Validator(space_schema())


def test_it_is_a_schema_and_plain_json() -> None:
    schema = json.loads(json.dumps(space_schema(), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == {*RULES, "description", "max_steps", "epoch_samples", "first"}


@pytest.mark.parametrize("name", presets())
def test_presets_are_valid(name: str) -> None:
    VALIDATOR.validate(tomllib.loads(presets()[name].read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "text",
    [
        "lookbck = 3",
        "lookback = 0",
        "lookback = 1.5",
        "lookback = []",
        "lookback = [3, 3]",
        "lookback = { low = 3 }",
        "lookback = { low = 3, high = 9, lg = true }",
        "lookback = { low = 3, high = 9, choices = [3] }",
        'optimizer = "adm"',
        "optimizer = { low = 1, high = 2 }",
        "dropout = 1.0",
        "learning_rate = 0",
        "epochs = true",
        "max_steps = 0\nlookback = 3",
        'momentum = { low = 0.0, high = 0.5, when = { optimiser = "sgd" } }\noptimizer = ["sgd", "adam"]',
        "lookback = 3\n[[first]]\nlookbak = 3",
    ],
)
def test_what_is_wrong_by_itself_is_refused_by_both(text: str) -> None:
    mapping = tomllib.loads(text)
    assert not VALIDATOR.is_valid(mapping)
    with pytest.raises(SpaceError):
        check_space(mapping, "x.toml")


def values(name: str) -> st.SearchStrategy[Any]:
    """Anything that a file may say of a parameter, most often something near to its rule."""
    rule = RULES[name]
    one = st.one_of(
        st.sampled_from(rule.words) if rule.words else st.integers(-1, 9),
        st.floats(-1, 2, allow_nan=False),
        st.sampled_from(["adam", "none", True]),
    )
    table = st.fixed_dictionaries(
        {}, optional={"low": one, "high": one, "log": st.booleans(), "choices": st.lists(one)}
    )
    return st.one_of(one, st.lists(one, max_size=3), table)


@given(st.sampled_from(sorted(RULES)).flatmap(lambda name: st.fixed_dictionaries({name: values(name)})))
def test_whatever_a_study_takes_the_schema_takes(mapping: dict[str, Any]) -> None:
    try:
        check_space(mapping, "x.toml")
    except SpaceError:
        return
    VALIDATOR.validate(mapping)
