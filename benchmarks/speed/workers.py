"""Trials per hour of several workers beside one: equal trials of ETTh1 `OT`, 96 rows ahead.

It runs the same trials in three ways, several times by turns: one worker with one thread; one worker whose threads
share the folds of a trial; one worker for each core. The trials differ only in the learning rate, so each is the same
work. With `--storage` it measures which share of the workers' time the calls of a storage take. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import optuna
from common import machine, show_machine, wide_console
from rich.table import Table
from storage_share import main as measure_storage

import lstm_tune
from lstm_tune.errors import DataError
from lstm_tune.report.environment import versions
from lstm_tune.utils.process import available_cores, keep_freed_memory

# A configuration of the default space's portfolio, without early stopping.
SPACE: dict[str, Any] = {
    "lookback": 336,
    "patch": 12,
    "hidden_units": 64,
    "window_norm": "last",
    "skip": "linear",
    "dropout": 0.3,
    "activation": "none",
    "batch_size": 64,
    "weight_average": 0.99,
    "learning_rate": {"low": 1e-4, "high": 1e-3, "log": True},
}


def study_seconds(data: Path, *, workers: int, cores: int, trials: int, epochs: int, folds: int) -> float:
    """Return the seconds from the start of the first trial to the end of the last one."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(allowed)[:cores]))
    try:
        result = lstm_tune.tune(
            data,
            target="OT",
            horizon=96,
            split=(8640, 2880, 2880),
            folds=folds,
            space=SPACE | {"epochs": epochs, "patience": epochs},
            n_trials=trials,
            workers=workers,
            sampler="random",
            pruner="none",
            retrain_seeds=1,
        )
    finally:
        os.sched_setaffinity(0, allowed)
    if result.record["study"]["states"]["COMPLETE"] != trials:
        raise RuntimeError(f"not all of {trials} trials were completed: {result.record['study']['states']}")
    return float(result.record["timing"]["seconds"]["study"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Trials per hour of several workers beside one.")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="of ETTh1.csv; default: data")
    parser.add_argument("--trials", type=int, default=16, metavar="N")
    parser.add_argument("--epochs", type=int, default=4, metavar="N")
    parser.add_argument("--folds", type=int, default=3, metavar="K")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument(
        "--storage",
        metavar="journal|postgres|URL",
        help="measure a storage's share of the time instead: 8 workers, trials that sleep for 3 s (journal: 2, 1 s)",
    )
    args = parser.parse_args()
    if args.storage is not None:
        journal = args.storage == "journal"
        workers, seconds = (2, 1.0) if journal else (8, 3.0)
        measure_storage(args.storage, workers=workers, trials=args.trials, seconds=seconds)
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    keep_freed_memory()  # as each worker does
    cores = available_cores()
    ways = {
        "1 worker, 1 thread": {"workers": 1, "cores": 1},
        f"1 worker, {cores} threads": {"workers": 1, "cores": cores},
        f"{cores} workers": {"workers": cores, "cores": cores},
    }
    plan = {"trials": args.trials, "epochs": args.epochs, "folds": args.folds}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    try:
        study_seconds(args.data / "ETTh1.csv", **ways[f"{cores} workers"], **(plan | {"trials": 2, "epochs": 1}))
        for _ in range(args.rounds):
            for name, way in ways.items():
                seconds[name].append(study_seconds(args.data / "ETTh1.csv", **way, **plan))
    except DataError as error:
        raise SystemExit(f"{error}; ETTh1.csv is in github.com/zhouhaoyi/ETDataset") from None

    first = seconds["1 worker, 1 thread"]
    rows = {
        name: {
            "seconds": round(statistics.median(taken), 2),
            "trials_per_hour": round(3600 * args.trials / statistics.median(taken), 1),
            "times_one_thread": round(statistics.median(a / b for a, b in zip(first, taken, strict=True)), 3),
        }
        for name, taken in seconds.items()
    }
    console = wide_console()
    table = Table("way", "seconds", "trials per hour", "times one thread", title=f"{args.trials} equal trials")
    for name, row in rows.items():
        table.add_row(name, *(str(value) for value in row.values()))
    hardware, software = machine(), versions()
    console.print(table)
    console.print(f"medians of {args.rounds} rounds; the import of the package is not counted")
    show_machine(console, hardware, software)
    print(json.dumps({"machine": hardware, "versions": software, **plan, "rounds": args.rounds, "ways": rows}))


if __name__ == "__main__":
    main()
