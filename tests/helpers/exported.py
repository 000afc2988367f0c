"""What the module that `to_onnx` exports forecasts, given raw values, stamps and the numbers of the series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from law_studies import Kind
from oracle import Finished

import lstm_tune
from lstm_tune.models.raw_module import RawForecaster


def check_exported(kind: Kind, run: Finished) -> None:
    """Every third test window is forecast as in `forecast.csv`."""
    csv = pd.read_csv(run.folder / "forecast.csv")
    written = csv["forecast"].to_numpy().reshape(-1, run.horizon)
    model = lstm_tune.load(run.folder)
    module = RawForecaster(model.network, model.shape, model.spec).eval()
    known = len(kind.columns.get("future", ())) + len(kind.columns.get("static", ()))
    compared = 0
    for i, given in _inputs(run, model.lookback, known):
        with torch.inference_mode():
            found = module(**{name: torch.from_numpy(given[name].copy())[None] for name in module.inputs})
        close = pytest.approx(written[i], rel=2e-6, abs=1e-6 * run.sd.min())
        assert found[0, :, run.test[i].channel].numpy() == close
        compared += 1
    assert compared >= 8


def _inputs(run: Finished, context: int, known: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for i, w in list(enumerate(run.test))[::3]:
        series, ahead = run.table.series[w.series], slice(w.row - context, w.row + run.horizon)
        rows = slice(w.row - context, w.row)
        yield (
            i,
            {
                "history": series.values[:, rows].T,
                "past": series.past[rows],
                "future": series.future[ahead, :known],
                "time": series.times[ahead].astype("datetime64[ns]").view(np.int64),
                "series": np.array(w.series),
            },
        )
