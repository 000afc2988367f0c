"""Many series of different size and length: the tuned LSTM beside simple forecasts and, if asked for, a peer.

    python benchmarks/quality/panels.py --only sizes --trials 8 [--m4 m4_weekly.parquet] [--tourism tourism.csv]
        [--peer neuralforecast --steps 1000]

Panels: `m4` (a file of the 359 weekly series of the M4 competition, columns unique_id, ds, y), `tourism` (quarterly
overnight trips in Australia, columns date_time, Region, State, Purpose, Trips), and three that are simulated: `sizes`
(daily, sizes over six decades, 30 to 3,000 rows, a third of the series intermittent), `hours` (a day and a week) and
`quarters` (short, most without a season). The last H rows of each series are the test rows, the H before them the
validation rows, and all forecasts are scored by the package's own code: MASE and RMSSE with the season of the panel,
each the mean over the series. The peer's NHITS and LSTM are trained on the rows before the test rows, in an environment
of its own. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "peers")]
from common import busy, machine
from environments import PeerError, add_envs_argument, interpreter, last_line

import lstm_tune
from lstm_tune.evaluation.given_forecasts import read_given
from lstm_tune.evaluation.metrics import NaiveErrors, over_series
from lstm_tune.evaluation.score import Forecaster, TargetScale, score
from lstm_tune.models.baselines import naive_baselines
from lstm_tune.report.environment import versions
from lstm_tune.report.result import Result

SHOWN = ("mase", "rmsse", "smape", "wape")
PEER = Path(__file__).parents[1] / "peers" / "panel.py"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Panel:
    """Series in long format (unique_id, ds, y), and the protocol."""

    frame: pd.DataFrame
    horizon: int
    season: int  # of MASE and RMSSE
    freq: str | int
    options: dict[str, Any] = field(default_factory=dict)


def sizes(rng: np.random.Generator, series: int) -> Panel:
    """Daily series: a week, a wandering level, sizes over six decades; a third of them sells on few days."""
    parts = []
    for i in range(series):
        n = int(np.exp(rng.uniform(np.log(30), np.log(3000))))
        week = 1 + 0.5 * rng.random() * np.sin(2 * np.pi * (np.arange(n) + rng.integers(7)) / 7)
        level = np.exp(0.02 * rng.normal(size=n).cumsum())
        y = week * level * np.exp(0.2 * rng.normal(size=n))
        if i % 3 == 0:
            y = rng.poisson(y * rng.uniform(0.1, 0.6)).astype(float)
        y *= 10.0 ** rng.uniform(-3, 3)
        dates = pd.date_range(end="2024-12-31", periods=n, freq="D")
        parts.append(pd.DataFrame({"unique_id": f"S{i:04}", "ds": dates, "y": y}))
    return Panel(frame=pd.concat(parts, ignore_index=True), horizon=7, season=7, freq="D")


def hours(rng: np.random.Generator, series: int) -> Panel:
    """Hourly series of 700 to 1,000 rows with a day and a week, sizes over three decades."""
    parts = []
    for i in range(series):
        n = int(rng.integers(700, 1001))
        t = np.arange(n) + rng.integers(168)
        day = np.sin(2 * np.pi * (t % 24) / 24 + rng.uniform(0, 6)) + 0.5 * np.sin(4 * np.pi * (t % 24) / 24)
        noise = rng.normal(size=n)
        for k in range(1, n):
            noise[k] += 0.8 * noise[k - 1]
        y = 10.0 ** rng.uniform(0, 3) * (5 + day * (1 - 0.6 * (t % 168 >= 120)) + 0.2 * noise)
        dates = pd.date_range(end="2024-03-31 23:00", periods=n, freq="h")
        parts.append(pd.DataFrame({"unique_id": f"H{i:04}", "ds": dates, "y": y}))
    return Panel(frame=pd.concat(parts, ignore_index=True), horizon=48, season=24, freq="h")


def quarters(rng: np.random.Generator, series: int) -> Panel:
    """Quarterly series of 40 to 80 rows on a wandering level; a quarter of them has a season."""
    parts = []
    for i in range(series):
        n = int(rng.integers(40, 81))
        y = 20 + rng.normal(size=n).cumsum() + 4 * (i % 4 == 0) * (np.arange(n) % 4 == i % 3) + rng.normal(size=n)
        dates = pd.date_range("2004-01-01", periods=n, freq="QS")
        parts.append(pd.DataFrame({"unique_id": f"Q{i:04}", "ds": dates, "y": y * 10.0 ** rng.uniform(0, 2)}))
    return Panel(frame=pd.concat(parts, ignore_index=True), horizon=8, season=4, freq="QS")


def m4(path: Path) -> Panel:
    """Return the weekly series of the M4 competition; MASE with lag 1, as there."""
    return Panel(frame=pd.read_parquet(path), horizon=13, season=1, freq=1)


def tourism(path: Path) -> Panel:
    """Return the overnight trips: 304 series."""
    frame = pd.read_csv(path, parse_dates=["date_time"])
    frame["unique_id"] = frame[["Region", "State", "Purpose"]].agg("/".join, axis=1)
    frame = frame.rename(columns={"date_time": "ds", "Trips": "y"})[["unique_id", "ds", "y"]]
    return Panel(frame=frame, horizon=8, season=4, freq="QS")


def forecast_by_peer(panel: Panel, options: argparse.Namespace, folder: Path) -> Path:
    """Let the peer forecast the test rows, trained on the rows before them; return its file."""
    rest = panel.frame.groupby("unique_id").cumcount(ascending=False) >= panel.horizon
    panel.frame[rest].to_parquet(folder / "train.parquet")
    job = {"horizon": panel.horizon, "freq": panel.freq, "steps": options.steps, "season": panel.season}
    out = folder / "peer.parquet"
    python = interpreter(options.peer, options.envs)
    with (folder / "log").open("w+") as log:
        command = [str(python), str(PEER), str(folder / "train.parquet"), str(out), json.dumps(job)]
        if subprocess.run(command, stdout=log, stderr=log, check=False).returncode:
            raise PeerError(f"the peer failed: {last_line(log)}")
    return out


def score_all(result: Result, panel: Panel, peer: Path | None) -> dict[str, dict[str, float]]:
    """Return {forecast: {metric: mean over the series}} on the test rows."""
    windows, positions = result.windows, result.test_positions
    scale = TargetScale.of(windows, result.split.train)
    naive = NaiveErrors.of(windows.data, result.split.train, panel.season)
    forecasters: dict[str, Forecaster] = {"tuned LSTM": result.model.network, **result.baselines}
    forecasters |= {
        f"{name}, season {panel.season}": forecaster
        for name, forecaster in naive_baselines(panel.horizon, panel.season).items()
        if name == "seasonal_naive"
    }
    if peer is not None:
        forecasters |= read_given(peer, windows, positions).forecasters()
    found = {}
    for name, forecaster in forecasters.items():
        one = score(forecaster, windows, positions, scale, each=False, naive=naive)
        found[name] = {metric: values[0] for metric, values in over_series(one.metrics).items() if metric in SHOWN}
        found[name]["mse_scaled"] = one.mse_scaled
    return found


def show(name: str, scores: dict[str, dict[str, float]], seconds: float, trials: int) -> None:
    """Print the table of a panel."""
    print(f"\n{name}: {seconds:.0f} s, {trials} trials; load {busy()}")
    print(f"{'':26}" + "".join(f"{metric:>12}" for metric in (*SHOWN, "mse_scaled")))
    for forecast, one in scores.items():
        print(f"{forecast:26}" + "".join(f"{one[metric]:12.4f}" for metric in (*SHOWN, "mse_scaled")), flush=True)


def main() -> int:
    """Run the studies and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help="panels, comma-separated; default: all that have their data")
    parser.add_argument("--m4", type=Path, metavar="FILE")
    parser.add_argument("--tourism", type=Path, metavar="FILE")
    parser.add_argument("--series", type=int, default=120, help="of each simulated panel")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--timeout", default="15m")
    parser.add_argument("--metric", default="mse")
    parser.add_argument("--workers", default="auto", type=lambda text: text if text == "auto" else int(text))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", choices=["neuralforecast"])
    parser.add_argument("--steps", type=int, default=1000, help="training steps of the peer")
    add_envs_argument(parser)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(options.seed)
    panels = {f.__name__: f(rng, options.series) for f in (sizes, hours, quarters)}
    panels |= {f.__name__: f(path) for f, path in ((m4, options.m4), (tourism, options.tourism)) if path}
    chosen = options.only.split(",") if options.only else list(panels)
    if unknown := [name for name in chosen if name not in panels]:
        parser.error(f"no such panel, or no file for it: {', '.join(unknown)}")
    found = {}
    for name in chosen:
        panel = panels[name]
        with tempfile.TemporaryDirectory() as folder:
            try:
                peer = forecast_by_peer(panel, options, Path(folder)) if options.peer else None
            except PeerError as error:
                print(error, file=sys.stderr)
                return 2
            began = time.monotonic()
            result = lstm_tune.tune(
                panel.frame,
                horizon=panel.horizon,
                split=f"last:{panel.horizon},{panel.horizon}",
                n_trials=options.trials,
                timeout=None if options.trials else options.timeout,
                workers=options.workers,
                metric=options.metric,
                seed=options.seed,
            )
            found[name] = score_all(result, panel, peer)
            show(name, found[name], time.monotonic() - began, len(result.trials))
    print(json.dumps({"panels": found, "machine": machine(), "versions": versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
