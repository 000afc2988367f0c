"""How often a finding warns of nothing: `diagnose`, or a whole study, of clean series.

    python benchmarks/quality/false_alarms.py --series 200 [--trials 4]

The series are stationary: autoregressions, moving averages and a weak season, 200 to 1,000 rows. Whatever is found of
severity warn or high is counted by its code. With `--trials` each series has a study of the quick space of its own, and
the findings are those on data, training, forecasts and search. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import optuna

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

from common import machine

import lstm_tune
from lstm_tune.errors import LstmTuneWarning

# Coefficients of the values before, and of the noise before, of each kind.
KINDS: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = (
    ((0.3,), ()),
    ((0.5,), ()),
    ((0.8,), ()),
    ((0.6,), (0.4,)),
    ((*[0.0] * 11, 0.5), ()),
    ((1.2, -0.5), ()),
)
_BEFORE = 300  # rows that are left out at the beginning
_FIRST_SEED = 10_000  # the tests look at the first seeds


def clean(seed: int) -> np.ndarray:
    """Return a stationary series of 200 to 1,000 rows."""
    draw = np.random.default_rng(_FIRST_SEED + seed)
    memory, noises = KINDS[seed % len(KINDS)]
    noise = draw.normal(size=int(draw.integers(200, 1000)) + _BEFORE)
    y = noise.copy()
    for t in range(_BEFORE // 10, len(y)):
        y[t] += sum(a * y[t - 1 - lag] for lag, a in enumerate(memory))
        y[t] += sum(b * noise[t - 1 - lag] for lag, b in enumerate(noises))
    return np.asarray(20 + 3 * y[_BEFORE:])


def alarms(values: np.ndarray, trials: int, seed: int) -> set[tuple[str, str]]:
    """Return (code, severity) of what is found beyond information."""
    if trials:
        result = lstm_tune.tune(values, space="quick", n_trials=trials, seed=seed, retrain_seeds=2, try_advice=0)
        found = result.to_dict()["findings"]
    else:
        found = lstm_tune.diagnose(values).to_dict()["findings"]
    return {(f["code"], f["severity"]) for f in found if f["severity"] != "info"}


def main() -> None:
    """Count the alarms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--trials", type=int, default=0, help="of a study of each series; 0: diagnose alone")
    options = parser.parse_args()
    warnings.simplefilter("ignore", LstmTuneWarning)  # that the rows are numbered
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    began, counted, done = time.monotonic(), Counter[tuple[str, str]](), 0
    for seed in range(options.series):
        counted.update(alarms(clean(seed), options.trials, seed))
        done += 1
        if not done % 20:
            print(f"{done} of {options.series}, {time.monotonic() - began:.0f} s: {dict(counted)}", flush=True)
    for (code, severity), many in sorted(counted.items()):
        print(f"{code:28} {severity:5} {many:4} of {done}: {many / done:.1%}")
    print(f"{done} stationary series, {options.trials} trials each, {time.monotonic() - began:.0f} s")
    shown = {f"{code}:{severity}": many for (code, severity), many in counted.items()}
    print(json.dumps({"series": done, "trials": options.trials, "alarms": shown, "machine": machine()}))


if __name__ == "__main__":
    main()
