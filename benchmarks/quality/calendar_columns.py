"""Whether calendar columns pay: networks on real series with time stamps, without and with them.

    python benchmarks/quality/calendar_columns.py --keep FILE.json [--only nottem,births] [--rows 600]

Two configurations of the space `quick` are trained on the train rows of each series, without and with the calendar.
Figures are ratios of the test MSE to that without it, below 1 if it pays: "always", and "chosen", if the lower
validation score decides, as in a search over the parameter. The series take turns: one to choose, one to check. Each is
printed, and kept in the file, when it is done; what the file holds of the same rows is not trained again. The last line
is JSON.
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
from lstm_tune.utils.atomic_files import write_json

NAMES = "elecdaily,nottem,births,usmelec,gasoline,auscafe,flights,a10,hyndsight,ausbeer"
COLUMNS = ("skip: always", "skip: chosen", "no skip: always", "no skip: chosen")
LOOKBACK = 48  # rows, fewer if the train rows are few
SHARED = {"hidden_units": 32, "learning_rate": 1e-3, "batch_size": 64, "epochs": 30, "patience": 3}
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
    shared = SHARED | {"lookback": min(LOOKBACK, task.limits.max_lookback)}
    for config in CONFIGS:
        objective = TaskObjective(task, space_from_mapping(shared | config), seed=0, on_trained=remember)
        study = optuna.create_study()
        study.optimize(objective, n_trials=1)
        values.append(study.best_value)
    return list(zip(values, found, strict=True))


def main() -> None:
    """Train the networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", default=NAMES, help="series of the pool, comma-separated")
    parser.add_argument("--rows", type=int, default=600, help="of each series, the newest ones")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE.json", help="holds what is done, rewritten after each series"
    )
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    began = time.monotonic()
    ratios: dict[str, list[float]] = {}
    kept = json.loads(given.keep.read_text()) if given.keep is not None and given.keep.is_file() else {}
    print(f"{'series':16}{'rows':>6}" + "".join(f"{name:>18}" for name in COLUMNS), flush=True)
    for series, frame in chosen(given.only):
        data = frame.tail(given.rows).reset_index(drop=True)
        key = f"{series.name}-{len(data)}"
        if key not in kept:
            kept[key] = ratios_of(series, data)
            if given.keep is not None:
                given.keep.parent.mkdir(parents=True, exist_ok=True)
                write_json(given.keep, kept)
        ratios[series.name] = kept[key]
        print(row(series.name, len(data), kept[key]), flush=True)
    names = [*ratios]
    found = {"choose": names[::2], "check": names[1::2], "all": names}
    means = {half: geometric([ratios[name] for name in some]) for half, some in found.items() if some}
    for half, values in means.items():
        print(row(f"{half} (mean)", len(found[half]), values))
    for word, sign in (("gain", -1), ("lose", 1)):  # by more than 1%
        counts = [sum(sign * (x - 1) > 0.01 for x in column) for column in zip(*ratios.values(), strict=True)]
        print(f"{word + ' over 1%':16}{'':6}" + "".join(f"{n:18}" for n in counts))
    print(f"{len(ratios)} series, {time.monotonic() - began:.0f} s")
    print(json.dumps({"ratios": ratios, "means": means, "machine": machine(), "versions": versions()}))


def ratios_of(series: PoolSeries, data: pd.DataFrame) -> list[float]:
    """Return the figures of one series, as `COLUMNS` names them."""
    off, on = (scores(series, data, calendar) for calendar in (False, True))
    found = []
    for (val_off, test_off), (val_on, test_on) in zip(off, on, strict=True):
        found += [test_on / test_off, (test_on if val_on < val_off else test_off) / test_off]
    return found


def row(name: str, count: int, values: list[float]) -> str:
    """Return a line of the table."""
    return f"{name:16}{count:6}" + "".join(f"{x:18.3f}" for x in values)


def geometric(rows: list[list[float]]) -> list[float]:
    """Return the geometric mean of each column."""
    return [float(x) for x in np.exp(np.mean(np.log(rows), axis=0))]


if __name__ == "__main__":
    main()
