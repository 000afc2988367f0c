"""What an input is worth: forecasts by formula, whose use of each input is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from series import daily, series_of
from torch import Tensor

from lstm_tune.data.windows import Batch, Windows
from lstm_tune.evaluation.input_importance import Input, ScoredRows, importance_frame, input_importance, inputs_of
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.evaluation.significance import TimeBlocks, relative_change

RNG = np.random.default_rng(0)
ROWS = 600
X, U = RNG.normal(size=ROWS), RNG.normal(size=ROWS)
NOISE = 0.5 * RNG.normal(size=ROWS)
Y = 10 + 2 * np.roll(X, 1) + NOISE
SCORED = ((400, ROWS),)


class Formula:
    """Forecasts 10 + 2 x of the row before, whatever else it sees."""

    context = 12

    def __call__(self, batch: Batch) -> Tensor:
        return 10 + 2 * batch.past[:, -1:, 0]


class LastValue:
    """Forecasts the newest row."""

    context = 12

    def __call__(self, batch: Batch) -> Tensor:
        return batch.history[:, -1:]


def measured(forecaster: Formula | LastValue, y: np.ndarray = Y) -> pd.DataFrame:
    data = series_of(daily(y, x=X, u=U), target="y", past=["x", "u"])
    windows = Windows(data, 1)
    scale = TargetScale.of(windows, ((0, 400),))
    part = ScoredRows(forecaster=forecaster, windows=windows, rows=SCORED, scale=scale)
    found = input_importance(inputs_of(["x", "u"], [], 0, (0, 0), forecaster.context, 1), [part], 1)
    return importance_frame(found)


def test_a_covariate_is_worth_what_other_values_of_it_would_cost() -> None:
    found = measured(Formula())
    assert found.index.tolist() == ["x", "u", "newest row", "rows 2 to 7", "older rows"]
    assert found.columns.tolist() == ["importance", "stdev", "p_value", "n", "p99_low", "p99_high"]
    scored = np.arange(400, ROWS)
    mse = np.mean((Y[scored] - 10 - 2 * X[scored - 1]) ** 2)
    others = X[11 : ROWS - 1]  # the newest row of every window
    without = np.mean((Y[scored][:, None] - 10 - 2 * others) ** 2)
    assert found.loc["x", "importance"] == pytest.approx(without / mse - 1, rel=0.1)
    assert found.loc["x", "p_value"] < 0.001
    assert found.loc["x", "p99_low"] > 0
    for name in ("u", "newest row", "rows 2 to 7", "older rows"):
        assert found.loc[name, ["importance", "stdev", "p99_low", "p99_high"]].tolist() == [0, 0, 0, 0]
        assert found.loc[name, "p_value"] == 1


def test_of_the_lookback_the_rows_that_are_used_are_worth_something_alone() -> None:
    walk = np.cumsum(RNG.normal(size=ROWS)) + 1000
    found = measured(LastValue(), walk)
    assert found.loc["newest row", "importance"] > 0.5
    assert found.loc[["x", "u", "rows 2 to 7", "older rows"], "importance"].abs().max() == 0
    # The level of the window is kept: else each row of a wandering series would be worth hundreds of times the MSE.
    assert found.loc["newest row", "importance"] < 20


def test_standard_error_and_interval_are_those_of_a_t_test_over_blocks_of_time() -> None:
    rng = np.random.default_rng(1)
    old, more = rng.exponential(size=80), rng.exponential(size=80)
    blocks = TimeBlocks.cut(np.arange(80), 10)
    change, error, n = relative_change(old + more, old, np.ones(80), blocks)
    sums = [x.reshape(8, 10).sum(1) for x in (more, old)]
    ratio = sums[0].sum() / sums[1].sum()
    assert (change, n) == (pytest.approx(ratio), 8)
    residual = (sums[0] - ratio * sums[1]) / sums[1].mean()  # of a ratio of sums (Cochran 1977, 6.4)
    assert error == pytest.approx(residual.std(ddof=1) / 8**0.5)
    found = measured(Formula()).loc["x"]
    reach = stats.t.ppf(0.995, found["n"] - 1) * found["stdev"] / found["n"] ** 0.5
    assert found["p99_high"] - found["importance"] == pytest.approx(reach)
    t = found["importance"] * found["n"] ** 0.5 / found["stdev"]
    assert found["p_value"] == pytest.approx(stats.t.sf(t, found["n"] - 1))


def test_the_lookback_is_looked_at_up_to_what_the_model_sees() -> None:
    def lookback(context: int, period: int) -> list[tuple[str, int, int]]:
        return [(i.name, i.first, i.end) for i in inputs_of([], [], 0, (0, 0), context, period)]

    newest, week = ("newest row", 0, 1), ("rows 2 to 7", 1, 7)
    assert lookback(1, 1) == [newest]
    assert lookback(5, 24) == [newest, ("rows 2 to 7", 1, 5)]
    assert lookback(20, 7) == [newest, week, ("older rows", 7, 20)]
    assert lookback(48, 24) == [newest, week, ("rows 8 to 24 (one season)", 7, 24), ("older rows", 24, 48)]
    assert inputs_of(["p"], ["f", "g"], 2, (3, 4), 1, 1)[1:5] == [
        Input(name="f", kind="future", first=0, end=1),
        Input(name="g", kind="future", first=1, end=2),
        Input(name="holidays", kind="calendar", first=4, end=7),  # behind two static columns
        Input(name="calendar", kind="calendar", first=7, end=11),
    ]


def test_a_series_that_is_replaced_takes_values_of_its_own_alone() -> None:
    frame = pd.concat(daily(Y[:300] + k, x=X[:300] + k, shop=name) for k, name in ((0, "a"), (1000, "b")))
    data = series_of(frame, target="y", past=["x"], id="shop")
    windows = Windows(data, 1)
    rows = ((200, 300), (500, 600))

    class Own(Formula):
        def __call__(self, batch: Batch) -> Tensor:
            level = 1000.0 * (batch.group % 2)[:, None]
            return 10 + level + 2 * (batch.past[:, -1:, 0] - level)

    part = ScoredRows(
        forecaster=Own(), windows=windows, rows=rows, scale=TargetScale.of(windows, ((0, 200), (300, 500)))
    )
    found = importance_frame(input_importance(inputs_of(["x"], [], 0, (0, 0), 12, 1), [part], 1))
    assert 5 < found.loc["x", "importance"] < 100  # an x of the other series would cost 10 million times the MSE
