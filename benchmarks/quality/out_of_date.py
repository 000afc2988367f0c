"""How often a model is called out of date: stationary continuations of a series, and shifted ones.

    python benchmarks/quality/out_of_date.py --series 200

A model without training (a network that corrects ridge regression, at its start) is fitted to each series (white noise,
autoregressions, a season with noise) and scored on its test rows. The rows that follow are as the old ones, or their
level is moved by two standard deviations. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine

from lstm_tune.config import Config
from lstm_tune.data.load import load_series
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.score import TargetScale, score
from lstm_tune.evaluation.significance import TimeBlocks, interval
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.models.trained_rows import TrainedRows
from lstm_tune.pipeline.out_of_date import error_of_test, out_of_date, read_result
from lstm_tune.training.saved_model import ForecastModel

TRAINED, TEST = 320, 80  # rows of the study
KINDS = {"white noise": (0.0, 0.0), "AR(0.5)": (0.5, 0.0), "AR(0.8)": (0.8, 0.0), "season": (0.3, 1.5)}


def simulate(kind: str, seed: int, rows: int) -> np.ndarray:
    """Return a stationary series of spread 1 about its season, (rows,)."""
    memory, strength = KINDS[kind]
    noise = np.random.default_rng(seed).normal(size=rows + 100)
    for t in range(1, len(noise)):
        noise[t] += memory * noise[t - 1]
    noise *= np.sqrt(1 - memory**2)
    return 10 + noise[100:] + strength * np.sin(2 * np.pi * np.arange(rows) / 12)


def save_run(values: np.ndarray, period: int, folder: Path) -> ForecastModel:
    """Fit a model to the trained rows of a series and write its test score into a run folder."""
    series = load_series(values)
    windows, rows, test = Windows(series, 1), ((0, TRAINED),), ((TRAINED, TRAINED + TEST),)
    shape, scale = Shape(horizon=1, period=period), TargetScale.of(windows, rows)
    network = LSTMForecaster(Config(skip="linear", lookback=12, hidden_units=4), shape)
    network.fit_statistics(windows, rows)
    trained = TrainedRows.of(series, rows, scale)
    model = ForecastModel(MeanForecaster([network]).eval(), shape, DataSpec.of(series), scale, trained)
    positions = windows.positions(test, 0, reach_back=True)
    found = score(model.network, windows, positions, scale)
    sure = interval(found, TimeBlocks.of(windows, positions, test, period))
    unit = scale.sd[0] ** 2
    record = {
        "schema": 1,
        "test": {"mse": found.mse[0], "mse_scaled": found.mse_scaled, "ci95": [end * unit for end in sure]},
        "data": {"series": 1, "split": {"test": {"rows": TEST}}},
    }
    (folder / "result.json").write_text(json.dumps(record))
    return model


def main() -> None:
    """Run the simulation and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=200, help="continuations, of all kinds together")
    parser.add_argument("--new", type=int, default=60, help="rows after the test rows")
    options = parser.parse_args()
    began = time.monotonic()
    each, old = options.series // len(KINDS), TRAINED + TEST
    counted = {}
    for kind, (_, strength) in KINDS.items():
        alarms = seen = 0
        for seed in range(each):
            values = simulate(kind, seed, old + options.new)
            shifted = values.copy()
            shifted[old:] += 2 * values[:TRAINED].std()
            with tempfile.TemporaryDirectory() as folder:
                model = save_run(values[:old], 12 if strength else 1, Path(folder))
                test = error_of_test(read_result(Path(folder)))
                alarms += bool(out_of_date(model, test, model.read(values)))
                seen += bool(out_of_date(model, test, model.read(shifted)))
        counted[kind] = {"continuations": each, "false_alarms": alarms, "shifts_seen": seen}
        print(f"{kind:12} {each:4} continuations: {alarms} false alarms, {seen} shifts of two sd seen", flush=True)
    print(f"{options.new} new rows after {old}, {time.monotonic() - began:.0f} s")
    print(json.dumps({"new": options.new, "kinds": counted, "machine": machine()}))


if __name__ == "__main__":
    main()
