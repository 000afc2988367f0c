"""Runs that the tests of the report share; nothing may write to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from series import TINY, daily, panel, wave

from lstm_tune.pipeline import tune as api
from lstm_tune.report.result import Result
from lstm_tune.training import trainer

SPACE = TINY | {"lookback": [4, 8, 12], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
HOSTILE = '</script><script>alert("x")</script> <img src=http://evil.example/x onerror=alert(1)> & \'"'


def tune_quickly(data: Any, **options: Any) -> Result:
    """Tune with one seed and epochs of 128 windows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "MIN_SAMPLES_PER_EPOCH", 128)
        return api.tune(data, retrain_seeds=1, **options)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `result` is saved."""
    return tmp_path_factory.mktemp("runs") / "one"


@pytest.fixture(scope="session")
def result(folder: Path) -> Result:
    """A finished study of one series, three steps ahead, with a missing value among the test rows."""
    y = wave()
    y[-3] = np.nan
    return tune_quickly(daily(y), space=SPACE, horizon=3, n_trials=9, out=folder)


@pytest.fixture(scope="session")
def run(result: Result, folder: Path) -> Path:
    """The run folder of `result`."""
    return folder


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series, one of a hostile name, and one trial alone."""
    folder = tmp_path_factory.mktemp("runs") / "many"
    frame = panel(wave(), wave(seed=1)).replace({"shop": {"a": HOSTILE}})
    tune_quickly(frame, target="y", id="shop", space=TINY, n_trials=1, out=folder)
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """The files of `run` that the page is made from."""
    for name in ("result.json", "report.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    return tmp_path
