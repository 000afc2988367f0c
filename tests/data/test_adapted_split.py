"""The split that nobody named leaves room for the horizon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from series import TINY, panel, wave

import lstm_tune
from lstm_tune.data.adapted_split import adapt_rule, load_and_split
from lstm_tune.data.load import load_series
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split_rule import DEFAULT_SPLIT, SplitRule, cut_rows
from lstm_tune.errors import DataError, LstmTuneWarning


def monthly(n: int = 105) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    y = 100 + 10 * np.sin(np.arange(n) * 2 * np.pi / 12) + rng.normal(size=n)
    return pd.DataFrame({"month": pd.date_range("2015-01", periods=n, freq="MS"), "y": y})


def sizes(rows: list[int], rule: SplitRule) -> list[tuple[int, int, int]]:
    return [cut_rows(rule, (0, n), None).counts[0] for n in rows]


@pytest.mark.parametrize(
    ("rows", "horizon", "parts"),
    [
        (105, 12, (57, 24, 24)),  # two horizons to validate on and two to test on
        (60, 12, (36, 12, 12)),  # with two horizons each less than half would be left to train on
        (40, 12, (16, 12, 12)),
        (114, 12, (66, 24, 24)),
        (120, 12, None),  # a tenth is one horizon
        (37, 12, None),  # nothing fits: the usual refusal explains it
        (500, 1, None),
    ],
)
def test_parts_of_few_rows_hold_the_horizon(rows: int, horizon: int, parts: tuple[float, float, float] | None) -> None:
    rule = adapt_rule(sizes([rows], DEFAULT_SPLIT), horizon)
    assert (rule and rule.numbers) == parts


@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), st.integers(1, 60))
def test_adapted_parts_hold_a_horizon_and_take_all_rows(rows: list[int], horizon: int) -> None:
    rule = adapt_rule(sizes(rows, DEFAULT_SPLIT), horizon)
    if rule is None:
        return
    longest = max(rows)
    train, val, test = sizes([longest], rule)[0]
    assert min(val, test) >= horizon
    assert train >= horizon + 2
    assert val >= 0.1 * longest - 1
    a, b, _ = sizes([longest], DEFAULT_SPLIT)[0]
    assert min(b, longest - a - b) < horizon or a < horizon + 2


def test_monthly_rows_are_tuned_a_year_ahead_and_it_is_reported(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "space": TINY | {"epochs": 1, "lookback": 4},
        "n_trials": 1,
        "retrain_seeds": 1,
        "folds": 1,
    }
    with pytest.warns(LstmTuneWarning, match="of 105 rows 57 are trained on, 24 validated and 24 tested on"):
        result = lstm_tune.tune(monthly(), horizon=12, out=tmp_path / "run", **options)
    split = {name: part["rows"] for name, part in result.record["data"]["split"].items()}
    assert split == {"train": 57, "val": 24, "test": 24}
    assert result.record["settings"]["split"] == [57, 24, 24]
    assert lstm_tune.tune(monthly(), horizon=12, out=tmp_path / "run", resume=True, **options).test == result.test
    with pytest.raises(DataError, match="must hold at least 14, 12 and 12 rows at horizon 12"):
        lstm_tune.tune(monthly(), horizon=12, split=DEFAULT_SPLIT, **options)


def test_series_are_loaded_again_if_rows_that_had_a_say_become_test_rows() -> None:
    loaded: list[tuple[SplitRule, SeriesSet]] = []

    def load(rule: SplitRule) -> SeriesSet:
        loaded.append((rule, load_series(monthly(), target="y")))
        return loaded[-1][1]

    cut = load_and_split(load, None, 12)
    assert [rule for rule, _ in loaded] == [DEFAULT_SPLIT, cut.rule]
    assert cut.rule != DEFAULT_SPLIT
    assert cut.series is loaded[-1][1]


def test_series_of_a_panel_are_cut_alike() -> None:
    frame = panel(wave(100), wave(105, seed=1), wave(60, seed=2))
    options: dict[str, Any] = {
        "space": TINY | {"epochs": 1, "lookback": 4},
        "n_trials": 1,
        "retrain_seeds": 1,
        "folds": 1,
    }
    result = lstm_tune.tune(frame, target="y", id="shop", horizon=12, **options)
    assert result.record["data"]["split"]["val"]["rows"] >= 2 * 12
    assert any("the usual split leaves less" in note for note in result.record["data"]["notes"])


def test_diagnose_adapts_too(tmp_path: Path, command_line: Any) -> None:
    monthly().to_csv(tmp_path / "m.csv", index=False)
    status, out, err = command_line("diagnose", str(tmp_path / "m.csv"), "--horizon", "12", "--json")
    assert status == 0
    assert json.loads(out)["data"]["split"]["test"]["rows"] == 24
    assert "the usual split leaves less than the horizon of 12 rows" in err
