"""Whether calendar columns pay: real series with time stamps, tuned without and with `calendar=True`.

    python benchmarks/quality/calendar_columns.py [--only nottem,births] [--trials 3] [--rows 1500]

The same space, trials and seed; the ratio is the test MSE with the calendar over that without it, below 1 if it pays,
of the saved model and of its trained networks alone. The series take turns: one to choose, one to check. The last line
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

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine
from pool import chosen

import lstm_tune
from lstm_tune.report.environment import versions
from lstm_tune.report.result import Result

NAMES = "elecdaily,births,nottem,usmelec,gasoline,auscafe,ausbeer,a10"


def scores(result: Result) -> tuple[float, float]:
    """Return the scaled test MSE of the saved model and of its trained networks alone."""
    alone = result.summary.network_alone
    whole = result.test.mse_scaled
    return whole, whole if alone.test_mse_scaled is None else alone.test_mse_scaled


def main() -> None:
    """Run the studies and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", default=NAMES, help="series of the pool, comma-separated")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1500, help="of each series, the newest ones")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    began = time.monotonic()
    ratios: dict[str, tuple[float, float]] = {}
    print(f"{'series':16}{'rows':>6}{'without':>10}{'with':>10}{'ratio':>8}{'networks alone':>16}", flush=True)
    for series, frame in chosen(given.only):
        options = {"horizon": series.horizon, "n_trials": given.trials, "space": "quick", "retrain_seeds": 1, "seed": 0}
        options |= {"precision": "fp32", "target": "value", "try_advice": 0}
        data = frame.tail(given.rows).reset_index(drop=True)
        off, on = (scores(lstm_tune.tune(data, calendar=calendar, **options)) for calendar in (False, True))
        ratios[series.name] = on[0] / off[0], on[1] / off[1]
        own, alone = ratios[series.name]
        print(f"{series.name:16}{len(data):6}{off[0]:10.4f}{on[0]:10.4f}{own:8.3f}{alone:16.3f}", flush=True)
    halves = {"choose": [*ratios][::2], "check": [*ratios][1::2]}
    found = {half: [geometric([ratios[n][k] for n in names]) for k in (0, 1)] for half, names in halves.items()}
    for half, (own, alone) in found.items():
        print(f"{half:16}{own:34.3f}{alone:16.3f}")
    print(f"{len(ratios)} series, {given.trials} trials of quick, {time.monotonic() - began:.0f} s")
    print(json.dumps({"ratios": ratios, "means": found, "machine": machine(), "versions": versions()}))


def geometric(values: list[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


if __name__ == "__main__":
    main()
