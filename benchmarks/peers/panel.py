"""Forecasts of a panel by neuralforecast, in the interpreter of its own environment: the worker of `panels.py`.

    PYTHON benchmarks/peers/panel.py TRAIN.parquet OUT.parquet '{"horizon": 13, "freq": 1, "season": 1, "steps": 1000}'

It reads the rows to train on (unique_id, ds, y) and writes what NHITS and LSTM forecast for the rows after them, with
their defaults but for the input: seven seasons or five horizons, and each window scaled by itself.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pandas as pd


def forecast(train: pd.DataFrame, job: dict[str, Any]) -> pd.DataFrame:
    """Return the forecasts of the rows after the train rows, in long format."""
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM, NHITS

    shared = {
        "h": job["horizon"],
        "input_size": max(7 * job["season"] if job["season"] > 1 else 0, 5 * job["horizon"]),
        "max_steps": job["steps"],
        "scaler_type": "robust",
        "random_seed": 1,
        "start_padding_enabled": True,
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "logger": False,
    }
    lstm = {name: value for name, value in shared.items() if name != "start_padding_enabled"}
    model = NeuralForecast(models=[NHITS(**shared), LSTM(**lstm)], freq=job["freq"])
    model.fit(train)
    ahead = model.predict()
    ahead = ahead.reset_index() if "unique_id" not in ahead.columns else ahead
    ahead["step"] = ahead.groupby("unique_id").cumcount() + 1
    return ahead[["unique_id", "ds", "step", "NHITS", "LSTM"]]


if __name__ == "__main__":
    source, target, text = sys.argv[1:]
    forecast(pd.read_parquet(source), json.loads(text)).to_parquet(target)
