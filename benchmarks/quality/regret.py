"""Regret of choosing a trial: the test MSE of the trial that a rule chooses over that of the best trial in the study.

    python benchmarks/quality/regret.py [--only nottem,ukgas | --only all] [--trials 20] [--seed 0] [--out FILE.json]

Each study runs without a pruner, so that every trial has the value of every block. The test MSE is that of the trial's
own weights, trained on the train rows alone. Only this script measures it; the package never does. The rules see the
scaled MSE of each trial on three rolling-origin blocks, the newest first. The mean forecast is the one that `tune`
saves.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import optuna
import pandas as pd
import torch
from common import machine, pool_arguments, show_machine, wide_console
from pool import PoolSeries, chosen
from rich.box import SIMPLE_HEAD
from rich.table import Table

from lstm_tune.data.load import load_series
from lstm_tune.data.split import make_split
from lstm_tune.data.split_rule import DEFAULT_SPLIT
from lstm_tune.data.windows import Windows
from lstm_tune.errors import LstmTuneError
from lstm_tune.evaluation.score import Forecaster, quick_mse_scaled
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.report.environment import versions
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import load_space
from lstm_tune.search.task_objective import TaskObjective, Trained
from lstm_tune.search.trial_queue import enqueue_known
from lstm_tune.search.trials import candidates, completed, read_trials
from lstm_tune.training.ensemble import Part, weigh
from lstm_tune.training.task import build_task, make_trainer
from lstm_tune.utils.atomic_files import write_json
from lstm_tune.utils.process import available_cores, keep_freed_memory

BLOCKS = 3
Blocks = Sequence[float]  # a trial's scaled MSE on each block over the best simple forecast's, the newest block first

RULES: dict[str, Callable[[Blocks], float]] = {
    "newest block alone": lambda blocks: blocks[0],
    "mean of the blocks": statistics.fmean,
    "geometric mean": statistics.geometric_mean,
    "mean and one standard deviation": lambda blocks: statistics.fmean(blocks) + statistics.pstdev(blocks),
    "worst block": max,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The test scores of each rule's choice on one series, as ratios."""

    series: str
    trials: int
    seconds: float
    best_trial: float  # its test MSE over that of the best simple forecast
    chosen: dict[str, float]  # rule: test MSE over the best trial's
    average: float  # the mean forecast's test MSE over the best trial's


def run_series(series: PoolSeries, frame: pd.DataFrame, trials: int, seed: int) -> Row:
    """Run one study and score the choice of each rule."""
    began = time.monotonic()
    data = load_series(frame, target="value")
    split = make_split(data, DEFAULT_SPLIT, series.horizon)
    task = build_task(data, split, series.horizon, folds=BLOCKS)
    windows = Windows(data, series.horizon)
    positions = windows.positions(split.test, 0, reach_back=True)
    trained: dict[int, LSTMForecaster] = {}

    def remember(trial: Trained) -> None:
        trained[trial.number] = trial.models[0]

    objective = TaskObjective(task, load_space("default"), seed=seed, threads=available_cores(), on_trained=remember)
    study = optuna.create_study(sampler=make_sampler("tpe", seed, objective.space), pruner=optuna.pruners.NopPruner())
    enqueue_known(study, objective.space)
    study.optimize(objective, n_trials=trials)

    def test_mse(forecaster: Forecaster) -> float:
        return quick_mse_scaled(forecaster, windows, positions, task.scale)

    units = [fold.reference_mse for fold in task.folds]
    ended = {t.number: t.completed() for t in completed(read_trials(study)) if t.number in trained}
    blocks = {
        number: [mse / unit for mse, unit in zip(outcome.fold_mse_scaled, units, strict=True)]
        for number, outcome in ended.items()
    }
    scores = {number: test_mse(trained[number]) for number in blocks}
    best = min(scores.values())

    def member(part: Part) -> LSTMForecaster:
        if part.epochs:
            return trained[part.number]
        return make_trainer(task, 0, ended[part.number].config, seed).result

    parts = weigh(
        candidates(read_trials(study)),
        known=objective.space.n_known,
        independent=task.independent_windows,
        blocks=len(task.folds),
    )
    average = test_mse(MeanForecaster([member(part) for part in parts], [part.weight for part in parts]))
    fitted = fit_baselines(
        windows, split.train, period=task.period, max_lookback=task.limits.max_lookback, scale=task.scale
    )
    simple = min(test_mse(forecaster) for forecaster in fitted.values())
    return Row(
        series=series.name,
        trials=len(study.trials),
        seconds=round(time.monotonic() - began, 1),
        best_trial=best / simple,
        chosen={rule: scores[min(blocks, key=lambda n: value(blocks[n]))] / best for rule, value in RULES.items()},
        average=average / best,
    )


def show(rows: Sequence[Row]) -> None:
    """Print the table for people."""
    console = wide_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("series")
    for title in ("best trial over simple", *RULES, "mean forecast (ours)", "seconds"):
        table.add_column(title, justify="right")
    for row in rows:
        figures = (row.best_trial, *row.chosen.values(), row.average)
        table.add_row(row.series, *(f"{v:.3f}" for v in figures), f"{row.seconds:.0f}")
    columns = list(zip(*((r.best_trial, *r.chosen.values(), r.average) for r in rows), strict=True))
    table.add_section()
    table.add_row("geometric mean", *(f"{statistics.geometric_mean(c):.3f}" for c in columns))
    table.add_row("worst", *(f"{max(c):.3f}" for c in columns))
    console.print(table)
    console.print("best trial over simple: its test MSE over that of the best of persistence, seasonal naive and ridge")
    console.print("the other columns: test MSE of what the rule chooses over that of the best trial; 1 is no regret")
    show_machine(console, machine(), versions())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the series asked for; return the exit status."""
    args = pool_arguments("Regret of the choice among a study's trials.", trials=20).parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    keep_freed_memory()
    rows: list[Row] = []
    try:
        for series, frame in chosen(args.only):
            rows.append(run_series(series, frame, args.trials, args.seed))
            print(f"{series.name}: {rows[-1].seconds:.0f} s", file=sys.stderr, flush=True)
            if args.out is not None:
                write_json(args.out, [asdict(r) for r in rows])
    except (LstmTuneError, ValueError) as error:
        print(f"regret: {error}", file=sys.stderr)
        return 2
    show(rows)
    print(json.dumps({"trials": args.trials, "seed": args.seed, "rows": [asdict(r) for r in rows]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
