"""How often prediction intervals hold: studies of simulated series whose noise is known.

    python benchmarks/quality/intervals.py --series 200 --trials 4

Each series is a season plus autoregressive noise, its parameters drawn anew. It is tuned with `level=[80, 95]` in a
small space, and the coverage on the test rows is averaged over the series, for the model and for each baseline. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import optuna

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine

import lstm_tune
from lstm_tune.report.environment import versions

LEVELS = (80, 95)
SPACE = {
    "lookback": [8, 16],
    "hidden_units": [8, 16],
    "skip": ["none", "last", "linear"],
    "window_norm": ["none", "last"],
    "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
    "dropout": 0.0,
    "epochs": 4,
    "patience": 2,
    "epoch_samples": 256,
}


def simulate(seed: int, rows: int) -> np.ndarray:
    """Return a season of 6 to 14 rows plus autoregressive noise, (rows,)."""
    rng = np.random.default_rng(seed)
    period, strength, memory = rng.integers(6, 15), rng.uniform(0, 2), rng.uniform(0, 0.8)
    noise = rng.normal(size=rows + 50)
    for t in range(1, rows + 50):
        noise[t] += memory * noise[t - 1]
    return 10 + strength * np.sin(2 * np.pi * np.arange(rows) / period) + noise[50:]


def main() -> None:
    """Run the studies and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--horizon", type=int, default=3)
    parser.add_argument("--trials", type=int, default=4)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    began = time.monotonic()
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    held = 0
    for seed in range(options.series):
        result = lstm_tune.tune(
            simulate(seed, options.rows),
            horizon=options.horizon,
            n_trials=options.trials,
            space=SPACE,
            level=LEVELS,
            seed=seed,
            retrain_seeds=2,
            precision="fp32",
        )
        scores = result.test.intervals
        assert scores is not None
        for name, levels in scores.items():
            for level, score in levels.items():
                found[name, level].append((score.coverage, score.width, score.winkler))
        low, high = scores["model"]["80"].coverage_ci95
        held += low <= 0.8 <= high
    means = {key: np.mean(values, axis=0) for key, values in found.items()}
    print(f"{options.series} series of {options.rows} rows, {options.horizon} ahead, {time.monotonic() - began:.0f} s")
    print(f"{'forecast':18}{'level':>7}{'coverage':>10}{'sd':>7}{'width':>8}{'Winkler':>9}")
    for (name, level), (coverage, width, winkler) in means.items():
        spread = float(np.std([c for c, _, _ in found[name, level]]))
        print(f"{name:18}{level:>7}{coverage:10.3f}{spread:7.3f}{width:8.3f}{winkler:9.3f}")
    print(f"the 95% interval of the model's coverage holds 80% in {held} of {options.series} series")
    figures = {f"{name} {level}": [round(float(v), 4) for v in mean] for (name, level), mean in means.items()}
    print(
        json.dumps(
            {"series": options.series, "held": held, "figures": figures, "machine": machine(), "versions": versions()}
        )
    )


if __name__ == "__main__":
    main()
