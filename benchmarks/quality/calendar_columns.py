"""Whether calendar columns pay: networks on real series with time stamps, without and with them.

    python benchmarks/quality/calendar_columns.py [--only nottem,births] [--rows 600]

Two configurations of the space `quick` are trained on the train rows of each series, without and with the calendar.
Figures are ratios of the test MSE to that without it, below 1 if it pays: "always", and "chosen", if the lower
validation score decides, as in a search over the parameter. The series take turns: one to choose, one to check. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine
from pool import PoolSeries, chosen

from lstm_tune.data.load import load_series
from lstm_tune.data.split import make_split
from lstm_tune.data.split_rule import DEFAULT_SPLIT
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.score import quick_mse_scaled
from lstm_tune.report.environment import versions
from lstm_tune.search.space import space_from_mapping
from lstm_tune.search.task_objective import TaskObjective, Trained
from lstm_tune.training.task import build_task

NAMES = "elecdaily,nottem,births,usmelec,gasoline,auscafe,flights,a10,hyndsight,ausbeer"
SHARED = {"lookback": 48, "hidden_units": 32, "learning_rate": 1e-3, "batch_size": 64, "epochs": 30, "patience": 3}
SHARED |= {"schedule": "cosine", "weight_average": 0.99}
CONFIGS = ({"window_norm": "last", "skip": "linear"}, {"window_norm": "standard", "skip": "none"})


def scores(series: PoolSeries, frame: pd.DataFrame, calendar: bool) -> list[tuple[float, float]]:
    """Return (validation score, scaled test MSE) of each configuration."""
    data = load_series(frame, target="value", calendar=calendar)
    split = make_split(data, DEFAULT_SPLIT, series.horizon)
    task = build_task(data, split, series.horizon, folds=1)
    windows = Windows(data, series.horizon)
    positions = windows.positions(split.test, 0, reach_back=True)
    found = []

    def remember(trial: Trained) -> None:
        found.append(quick_mse_scaled(trial.models[0], windows, positions, task.scale))

    values = []
    for config in CONFIGS:
        objective = TaskObjective(task, space_from_mapping(SHARED | config), seed=0, on_trained=remember)
        study = optuna.create_study()
        study.optimize(objective, n_trials=1)
        values.append(study.best_value)
    return list(zip(values, found, strict=True))


def main() -> None:
    """Train the networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", default=NAMES, help="series of the pool, comma-separated")
    parser.add_argument("--rows", type=int, default=600, help="of each series, the newest ones")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    began = time.monotonic()
    ratios: dict[str, list[float]] = {}
    print(f"{'series':12}{'rows':>6}   always, chosen: with a linear skip; without", flush=True)
    for series, frame in chosen(given.only):
        data = frame.tail(given.rows).reset_index(drop=True)
        off, on = (scores(series, data, calendar) for calendar in (False, True))
        ratios[series.name] = []
        for (val_off, test_off), (val_on, test_on) in zip(off, on, strict=True):
            ratios[series.name] += [test_on / test_off, (test_on if val_on < val_off else test_off) / test_off]
        print(f"{series.name:12}{len(data):6}" + "".join(f"{x:9.3f}" for x in ratios[series.name]), flush=True)
    halves = {"choose": [*ratios][::2], "check": [*ratios][1::2]}
    found = {half: geometric([ratios[name] for name in names]) for half, names in halves.items() if names}
    for half, means in found.items():
        print(f"{half:18}" + "".join(f"{x:9.3f}" for x in means))
    print(f"{len(ratios)} series, {time.monotonic() - began:.0f} s")
    print(json.dumps({"ratios": ratios, "means": found, "machine": machine(), "versions": versions()}))


def geometric(rows: list[list[float]]) -> list[float]:
    """Return the geometric mean of each column."""
    return [float(x) for x in np.exp(np.mean(np.log(rows), axis=0))]


if __name__ == "__main__":
    main()
