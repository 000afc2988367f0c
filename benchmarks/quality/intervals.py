"""How often prediction intervals hold: studies of simulated series whose noise is known, or of real ones.

    python benchmarks/quality/intervals.py --series 200 --trials 4
    python benchmarks/quality/intervals.py --real twelve --trials 2

Each simulated series is a season plus autoregressive noise, its parameters drawn anew. It is tuned with
`level=[80, 95]` in a small space, and the coverage on the test rows is averaged over the series, for the model and for
each baseline. A real series is one of `pool.py`, tuned in the space `quick`; of real ones the table also has the mean
distance of the coverage from the level, and the width over that of ridge regression, which differ from series to
series. Below it is what chance alone makes of that distance on as many windows: of intervals that know the true
distribution, and of these conformal ones, calibrated on as many windows, if nothing ever changed; see `by_chance`. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path
from statistics import NormalDist

import numpy as np
import optuna
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine
from pool import SERIES, chosen

import lstm_tune
from lstm_tune.evaluation.conformal import AGEING, weighted_quantiles
from lstm_tune.evaluation.interval_score import IntervalScore
from lstm_tune.report.environment import versions

LEVELS = (80, 95)
TWELVE = tuple(series.name for series in SERIES[:12])
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


def by_chance(
    windows: int, horizon: int, calibrated: int, blocks: int, repeats: int = 400
) -> dict[str, list[np.ndarray]]:
    """Return how far the coverage of good intervals is from its level by chance, {level: [known, conformal]} (R,) each.

    Forecasts are optimal ones of a random walk, whose errors h ahead are sums of h shocks: neighbouring windows share
    them, as they do in any series. "Known" intervals have the true width of each step; "conformal" ones are made as
    `evaluation.conformal` makes them, of the errors of windows before the test rows.

    Args:
        windows: test windows.
        horizon: rows of a window.
        calibrated: windows that conformal intervals are made of.
        blocks: that these come from.
        repeats: R, simulations.
    """
    rng = np.random.default_rng(0)
    found: dict[str, list[np.ndarray]] = {str(level): [np.zeros(repeats), np.zeros(repeats)] for level in LEVELS}
    age = np.arange(calibrated)[::-1] * blocks // calibrated
    weights, steps = torch.from_numpy(AGEING**age), np.arange(1, horizon + 1)
    for i in range(repeats):
        path = np.concatenate([[0.0], rng.normal(size=calibrated + windows + horizon - 1)]).cumsum()
        start = np.arange(calibrated + windows)[:, None]
        errors = np.abs(path[start + steps] - path[start]) / np.sqrt(steps)
        before, after = errors[:calibrated], errors[calibrated:]
        widths = weighted_quantiles(torch.from_numpy(before), weights, [level / 100 for level in LEVELS]).numpy()
        for k, level in enumerate(LEVELS):
            known, made = found[str(level)]
            known[i] = abs((after <= NormalDist().inv_cdf(0.5 + level / 200)).mean() - level / 100)
            made[i] = abs((after <= widths[:, k]).mean() - level / 100)
    return found


def real(only: str, trials: int) -> None:
    """Run studies of real series and print the table.

    Args:
        only: names, comma-separated, or "twelve".
        trials: of each study.
    """
    began = time.monotonic()
    found: dict[str, dict[str, dict[str, IntervalScore]]] = {}
    chance: dict[str, dict[str, list[np.ndarray]]] = {}
    for series, frame in chosen(",".join(TWELVE) if only == "twelve" else only):
        options = {"horizon": series.horizon, "n_trials": trials, "space": "quick", "retrain_seeds": 1, "seed": 0}
        options |= {"try_advice": 0, "precision": "fp32", "target": "value"}  # advice would not change the intervals
        result = lstm_tune.tune(frame, level=LEVELS, **options)
        found[series.name] = result.test.intervals
        made = result.model.intervals
        assert made is not None
        chance[series.name] = by_chance(result.test.windows, series.horizon, made.windows, made.folds)
        own = {level: round(score.coverage, 3) for level, score in found[series.name]["model"].items()}
        print(f"{series.name:16}{own} {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"{len(found)} real series, {trials} trials of quick, {time.monotonic() - began:.0f} s")
    print(f"{'forecast':18}{'level':>7}{'coverage':>10}{'miss':>7}{'width / ridge':>15}")
    figures = {}
    for name, level in itertools.product(next(iter(found.values())), map(str, LEVELS)):
        scores = [(one[name][level], one["ridge"][level]) for one in found.values() if name in one]
        covered = np.array([own.coverage for own, _ in scores])
        miss = float(np.abs(covered - float(level) / 100).mean())
        width = float(np.exp(np.mean([np.log(own.width / ridge.width) for own, ridge in scores])))
        figures[f"{name} {level}"] = [round(x, 4) for x in (float(covered.mean()), miss, width)]
        print(f"{name:18}{level:>7}{covered.mean():10.3f}{miss:7.3f}{width:15.3f}")
    for level, (kind, place) in itertools.product(map(str, LEVELS), (("known", 0), ("conformal", 1))):
        mean = np.mean([one[level][place] for one in chance.values()], axis=0)
        figures[f"chance, {kind} {level}"] = [
            round(float(x), 4) for x in (mean.mean(), *np.quantile(mean, (0.05, 0.95)))
        ]
        low, high = np.quantile(mean, (0.05, 0.95))
        print(
            f"by chance, {kind:10}{level:>4}{'':10}{mean.mean():7.3f}  ({low:.3f} to {high:.3f} in 90% of simulations)"
        )
    print(json.dumps({"series": [*found], "figures": figures, "machine": machine(), "versions": versions()}))


def main() -> None:
    """Run the studies and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", metavar="NAMES", help="real series, comma-separated; twelve: the first of the pool")
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--horizon", type=int, default=3)
    parser.add_argument("--trials", type=int, default=4)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    if options.real is not None:
        real(options.real, options.trials)
        return
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
