"""What each part of the default space is worth: one part is switched off at a time, on real series of many kinds.

    python benchmarks/quality/ablation.py [--only nottem,ukgas | --only all] [--levers "skip,window norm"] [--trials 12]

Each cell is one full `tune`: study, retrain, test. Its figure is the test MSE over that of the best of persistence,
seasonal naive and ridge on the same windows. The last column compares a lever's row with the first one, in which
everything is on.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import optuna
import pandas as pd
from common import machine, pool_arguments, show_machine, wide_console
from pool import PoolSeries, chosen
from rich.box import SIMPLE_HEAD
from rich.table import Table

import lstm_tune
from lstm_tune.config import PLAIN
from lstm_tune.errors import LstmTuneError
from lstm_tune.report.environment import versions
from lstm_tune.search.space import Space, load_space
from lstm_tune.utils.atomic_files import write_json
from lstm_tune.utils.process import keep_freed_memory

ALL_ON = "everything on"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lever:
    """One part of the default space, and how it is switched off."""

    name: str
    fixed: Mapping[str, Any] = field(default_factory=dict)  # parameters that are fixed, or limited to bounds
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of tune
    portfolio: bool = True

    def space(self) -> Space:
        """Return the default space without the lever."""
        plain = load_space("default").to_dict()
        plain["parameters"] |= self.fixed
        for first in plain["first"]:
            for name, value in self.fixed.items():
                if isinstance(value, Mapping):
                    first[name] = min(first.get(name, getattr(PLAIN, name)), value["high"])
                elif not isinstance(value, list):
                    first[name] = value
                elif first.get(name) not in value:
                    first[name] = value[0]
        if not self.portfolio:
            plain["first"] = []
        return Space.from_dict(plain)


LEVERS = (
    Lever(name=ALL_ON),
    Lever(name="mean of trials and seeds", arguments={"retrain_seeds": 1}),
    Lever(name="rolling-origin folds", arguments={"folds": 1}),
    Lever(name="portfolio", portfolio=False),
    Lever(name="skip", fixed={"skip": "none"}),
    Lever(name="window norm", fixed={"window_norm": "none"}),
    Lever(name="log", fixed={"transform": "none"}),
    Lever(name="difference", fixed={"difference": "none"}),
    Lever(name="patches and long lookback", fixed={"patch": 1, "lookback": {"low": 8, "high": 48, "log": True}}),
    Lever(name="long lookback", fixed={"lookback": {"low": 8, "high": 24, "log": True}, "patch": [1, 4, 8]}),
    Lever(name="averaged weights", fixed={"weight_average": 0.0}),
    Lever(name="schedules", fixed={"schedule": "constant"}),
    Lever(name="dropout", fixed={"dropout": 0.0}),
    Lever(name="robust losses", fixed={"loss": "mse"}),
)


def run(series: PoolSeries, frame: pd.DataFrame, lever: Lever, trials: int, seed: int) -> float:
    """Return the test MSE over that of the best simple forecast."""
    result = lstm_tune.tune(
        frame,
        target="value",
        horizon=series.horizon,
        space=lever.space(),
        n_trials=trials,
        seed=seed,
        **lever.arguments,
    )
    simple = min(b["test_mse_scaled"] for b in result.to_dict()["baselines"].values())
    return result.test.mse_scaled / simple


def show(figures: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> None:
    """Print the table for people."""
    console = wide_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("switched off")
    for title in (*names, "geometric mean", "worst", "against all on"):
        table.add_column(title, justify="right")
    for lever, row in figures.items():
        common = [n for n in row if n in figures[ALL_ON]]
        change = statistics.geometric_mean(row[n] / figures[ALL_ON][n] for n in common) - 1
        table.add_row(
            "–" if lever == ALL_ON else lever,
            *(f"{row[n]:.3f}" if n in row else "" for n in names),
            f"{statistics.geometric_mean(row.values()):.3f}",
            f"{max(row.values()):.3f}",
            "" if lever == ALL_ON else f"{change:+.1%}",
        )
    console.print(table)
    console.print("test MSE over that of the best of persistence, seasonal naive and ridge; against all on: + is worse")
    show_machine(console, machine(), versions())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the series and levers asked for; return the exit status."""
    parser = pool_arguments("A study of the default space with one lever off at a time.", trials=12)
    parser.add_argument("--levers", metavar="NAMES", help="with commas between; all by default")
    args = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    keep_freed_memory()
    wanted = None if args.levers is None else {ALL_ON, *args.levers.split(",")}
    unknown = sorted((wanted or set()) - {lever.name for lever in LEVERS})
    if unknown:
        print(
            f"ablation: no lever is called {unknown[0]!r}; known: {', '.join(x.name for x in LEVERS)}", file=sys.stderr
        )
        return 2
    levers = [lever for lever in LEVERS if wanted is None or lever.name in wanted]
    figures: dict[str, dict[str, float]] = {lever.name: {} for lever in levers}
    names: list[str] = []
    try:
        for series, frame in chosen(args.only):
            began = time.monotonic()
            names.append(series.name)
            for lever in levers:
                figures[lever.name][series.name] = run(series, frame, lever, args.trials, args.seed)
            print(f"{series.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if args.out is not None:
                write_json(args.out, figures)
    except (LstmTuneError, ValueError) as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 2
    show(figures, names)
    print(json.dumps({"trials": args.trials, "seed": args.seed, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
