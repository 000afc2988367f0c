"""`predict` prints every digit that float32 holds, and no exponent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from series import TINY, daily, wave

import lstm_tune

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("level", [3.31e8, 1e-7])
def test_forecasts_of_any_size_keep_their_digits(
    level: float, tmp_path: Path, short_epochs: None, command_line: CommandLine
) -> None:
    y = level + 20 * wave(120, level=0) if level > 1 else level * wave(120)
    daily(y).to_csv(tmp_path / "y.csv", index=False)
    lstm_tune.tune(
        tmp_path / "y.csv", horizon=7, space=TINY, n_trials=1, retrain_seeds=1, folds=1, out=tmp_path / "run"
    )
    status, printed, _ = command_line("predict", str(tmp_path / "run"), str(tmp_path / "y.csv"))
    assert status == 0
    rows = printed.splitlines()[1:]
    assert len({row.rpartition(",")[2] for row in rows}) == 7
    assert not any("e" in row for row in rows)
    forecast = [float(row.rpartition(",")[2]) for row in rows]
    expected = lstm_tune.load(tmp_path / "run").predict(tmp_path / "y.csv")["y"]
    np.testing.assert_array_equal(forecast, expected)
    target = tmp_path / "out.csv"
    assert command_line("predict", str(tmp_path / "run"), str(tmp_path / "y.csv"), "--out", str(target))[0] == 0
    assert target.read_text() == printed
