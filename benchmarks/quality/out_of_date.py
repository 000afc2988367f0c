"""How often a model is said to be out of date: stationary continuations of a series, and shifted ones.

    python benchmarks/quality/out_of_date.py --series 200

A small model is tuned on each series (white noise, autoregressions, a season with noise). The rows that follow are as
the old ones, or their level is moved by two standard deviations. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import optuna

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine

import lstm_tune
from lstm_tune.pipeline.out_of_date import out_of_date

OLD = 400  # rows that the study has; 320 of them are trained on
SPACE = {"lookback": 12, "hidden_units": 8, "epochs": 3, "patience": 2, "epoch_samples": 256, "skip": ["none", "last"]}
KINDS = {"white noise": (0.0, 0.0), "AR(0.5)": (0.5, 0.0), "AR(0.8)": (0.8, 0.0), "season": (0.3, 1.5)}


def simulate(kind: str, seed: int, rows: int) -> np.ndarray:
    """Return a stationary series of spread 1 about its season, (rows,)."""
    memory, strength = KINDS[kind]
    noise = np.random.default_rng(seed).normal(size=rows + 100)
    for t in range(1, len(noise)):
        noise[t] += memory * noise[t - 1]
    noise *= np.sqrt(1 - memory**2)
    return 10 + noise[100:] + strength * np.sin(2 * np.pi * np.arange(rows) / 12)


def main() -> None:
    """Run the simulation and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=200, help="continuations, of all kinds together")
    parser.add_argument("--new", type=int, default=60, help="rows after those of the study")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    began = time.monotonic()
    each = options.series // len(KINDS)
    found = {}
    for kind in KINDS:
        alarms = seen = 0
        for seed in range(each):
            values = simulate(kind, seed, OLD + options.new)
            with tempfile.TemporaryDirectory() as folder:
                result = lstm_tune.tune(
                    values[:OLD], n_trials=2, space=SPACE, seed=seed, retrain_seeds=1, folds=1, out=Path(folder) / "run"
                )
                alarms += bool(out_of_date(result.model, Path(folder) / "run", result.model.read(values)))
                values[OLD:] += 2 * values[:OLD].std()
                seen += bool(out_of_date(result.model, Path(folder) / "run", result.model.read(values)))
        found[kind] = {"continuations": each, "false_alarms": alarms, "shifts_seen": seen}
        print(f"{kind:12} {each:4} continuations: {alarms} false alarms, {seen} shifts of two sd seen", flush=True)
    print(f"{options.new} new rows after {OLD}, {time.monotonic() - began:.0f} s")
    print(json.dumps({"new": options.new, "kinds": found, "machine": machine()}))


if __name__ == "__main__":
    main()
