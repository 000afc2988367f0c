"""Changes of a space: widened by what is advised, the best configuration and its changes first; written as TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lstm_tune.config import Config
from lstm_tune.search.space import Space, load_space, presets, space_from_mapping
from lstm_tune.search.space_changes import with_changes
from lstm_tune.search.space_toml import to_toml

BEST = Config(lookback=48, window_norm="last", learning_rate=2e-3).params()


def tried(space: Space) -> list[Config]:
    """The configurations that a study of this space tries first, with the parameters that it fixes."""
    return [space._resolved({**_fixed(space), **params}) for params in space.enqueued()]


def _fixed(space: Space) -> dict[str, Any]:
    return {name: p.value for name, p in space.parameters.items() if hasattr(p, "value")}


def test_the_most_promising_change_is_tried_first_and_the_plain_one_after_all_changes() -> None:
    space = with_changes(load_space("quick"), BEST, [{"lookback": 1008}, {"loss": "huber"}])
    longer, best, robust, both, plain = tried(space)[:5]
    assert plain == tried(load_space("quick"))[0]
    assert len(tried(space)) == len(tried(load_space("quick"))) + 4
    assert (best.lookback, best.loss, best.window_norm) == (48, "mse", "last")
    assert (longer.lookback, longer.loss) == (1008, "mse")
    assert (robust.lookback, robust.loss) == (48, "huber")
    assert (both.lookback, both.loss) == (1008, "huber")


@pytest.mark.parametrize(
    ("given", "value", "held"),
    [
        ({"low": 8, "high": 64, "log": True}, 100, {"low": 8, "high": 100, "log": True}),
        ({"low": 8, "high": 64, "step": 8}, 4, {"low": 4, "high": 64}),
        ([16, 32], 64, [16, 32, 64]),
        (32, 64, [32, 64]),
        (32, 32, 32),
    ],
)
def test_each_kind_of_parameter_is_widened(given: Any, value: int, held: Any) -> None:
    space = with_changes(space_from_mapping({"hidden_units": given}), {}, [{"hidden_units": value}])
    assert space.parameters["hidden_units"].plain() == held


def test_a_parameter_that_the_space_does_not_name_becomes_a_choice() -> None:
    space = with_changes(space_from_mapping({"epochs": 3}), {}, [{"transform": "log"}, {"dropout": 0.5}])
    assert space.parameters["transform"].plain() == ["none", "log"]
    assert space.parameters["dropout"].plain() == [0.2, 0.5]


@pytest.mark.parametrize("name", presets())
def test_a_changed_space_is_the_same_after_it_was_written_and_read(name: str, tmp_path: Path) -> None:
    space = with_changes(load_space(name), BEST, [{"lookback": 1008, "skip": "ets"}, {"outlier_clip": 5.0}])
    path = tmp_path / "advice.toml"
    path.write_text(to_toml(space, ["A comment", "", 'with "quotes"']), encoding="utf-8")
    read = load_space(path)
    assert {**read.to_dict(), "name": "", "source": ""} == {**space.to_dict(), "name": "", "source": ""}
