"""What more trials are worth: test MSE of the mean forecast after 5, 10, 20, 40 … trials, under several rules.

    python benchmarks/quality/more_trials.py --keep DIR [--only nottem,ukgas | --only all] [--trials 40] [--seed 0]
    python benchmarks/quality/more_trials.py --keep DIR --replay

Each study runs once, without a pruner, and each trial is retrained once on train and validation rows. What the rules
need is kept in DIR, a file for each series: the errors of each trial on a sample of every validation block, and all of
its errors on the test rows, which no rule sees. `--replay` applies the rules to these files in seconds. Series with an
even place in the list were used to choose the rules; those with an odd one were not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import numpy as np
import optuna
import pandas as pd
import torch
from common import machine, pool_arguments, show_machine, wide_console
from numpy.typing import NDArray
from pool import PoolSeries, chosen
from rich.box import SIMPLE_HEAD
from rich.table import Table

from lstm_tune.config import Config
from lstm_tune.data.load import load_series
from lstm_tune.data.split import Ranges, make_split
from lstm_tune.data.split_rule import DEFAULT_SPLIT
from lstm_tune.data.windows import Windows
from lstm_tune.errors import LstmTuneError
from lstm_tune.evaluation.error_sample import SAMPLED_WINDOWS, sampled_errors
from lstm_tune.evaluation.score import Forecaster, forecast_all
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.report.environment import versions
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import load_space
from lstm_tune.search.task_objective import TaskObjective, Trained
from lstm_tune.search.trial_queue import enqueue_known
from lstm_tune.search.trials import candidates, read_trials
from lstm_tune.training.ensemble import Candidate, weigh
from lstm_tune.training.retrain import Member, retrain
from lstm_tune.training.stacking import error_products, stacked_weights
from lstm_tune.training.task import Task, build_task
from lstm_tune.utils.process import keep_freed_memory

Floats = NDArray[np.float64]
CUTS = (5, 10, 20, 40, 80, 160)
BLOCKS = 3


# ---- what is kept


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Kept:
    """One study with the errors of everything that a mean forecast can be made of.

    A forecast is named "t<number>" (a trial), "u<number>" (a trial's forecast before training) or by a baseline.
    """

    series: str
    known: int  # configurations that are tried first
    independent: float  # validation windows of a block that do not overlap
    reference: list[float]  # for each block, the scaled MSE that counts as 1
    candidates: list[Candidate]
    blocks: dict[str, list[Floats]]  # errors on a sample of each block
    test: dict[str, Floats]  # errors on all test windows

    def mse(self, weights: Mapping[str, float]) -> float:
        """Return the scaled test MSE of a weighted mean of forecasts."""
        error = sum(weight * self.test[name] for name, weight in weights.items())
        return float(np.mean(np.square(error)))

    def products(self, names: Sequence[str]) -> Floats:
        """Return the mean products of the errors of some forecasts on the blocks, (K, K)."""
        errors = [np.stack([self.blocks[name][b] for name in names]) for b in range(len(self.reference))]
        return error_products(errors, self.reference)


def run_series(series: PoolSeries, frame: pd.DataFrame, trials: int, seed: int) -> Kept:
    """Run one study, retrain every trial once, and return all errors."""
    data = load_series(frame, target="value")
    split = make_split(data, DEFAULT_SPLIT, series.horizon)
    task = build_task(data, split, series.horizon, folds=BLOCKS)
    windows = Windows(data, series.horizon)
    positions = windows.positions(split.test, 0, reach_back=True)[:]
    target = torch.cat([batch.target for batch in windows.batches(positions, 1, 4096)]).double()
    seen = windows.observed(positions)
    samples = [task.windows.sample(fold.report_windows, SAMPLED_WINDOWS) for fold in task.folds]
    blocks: dict[str, list[Floats]] = {}
    test: dict[str, Floats] = {}

    def keep(name: str, on_blocks: Sequence[Forecaster], on_test: Forecaster) -> None:
        pairs = zip(on_blocks, samples, strict=True)
        blocks[name] = [sampled_errors(f, task.windows, sample, task.scale) for f, sample in pairs]
        error = (forecast_all(on_test, windows, positions).double() - target) / task.scale.sd[0]
        test[name] = error[seen].numpy()

    def baselines(where: Windows, rows: Ranges) -> dict[str, Forecaster]:
        longest = task.limits.max_lookback
        return fit_baselines(where, rows, period=task.period, max_lookback=longest, sd=task.scale.sd)

    on_blocks = [baselines(task.windows, fold.segment.fit) for fold in task.folds]
    for name, forecaster in baselines(windows, split.final.fit).items():
        keep(name, [fitted[name] for fitted in on_blocks], forecaster)

    trained: dict[int, Trained] = {}
    objective = TaskObjective(
        task, load_space("default"), seed=seed, on_trained=lambda t: trained.update({t.number: t})
    )
    study = optuna.create_study(sampler=make_sampler("tpe", seed, objective.space), pruner=optuna.pruners.NopPruner())
    enqueue_known(study, objective.space)
    for number in range(trials):
        study.optimize(objective, n_trials=1)
        if number not in trained:
            continue
        outcome = read_trials(study)[number].completed()
        config = outcome.config
        member = Member(trial=number, config=config, epochs=outcome.best_epoch, factors=outcome.factors, weight=1.0)
        models = retrain(task, [member], [seed], at_least_one=True)
        if models.seeds:
            keep(f"t{number}", trained.pop(number).models, models.network())
        if config.starts_from_simple_forecast:
            untrained = [_untrained(task, config, task.windows, fold.segment.fit) for fold in task.folds]
            keep(f"u{number}", untrained, _untrained(task, config, windows, split.final.fit))
    return Kept(
        series=series.name,
        known=len(objective.space.enqueued()),
        independent=task.independent_windows,
        reference=[fold.reference_mse for fold in task.folds],
        candidates=sorted((c for c in candidates(read_trials(study)) if f"t{c.number}" in test), key=_number),
        blocks=blocks,
        test=test,
    )


def _untrained(task: Task, config: Config, windows: Windows, rows: Ranges) -> LSTMForecaster:
    """Return the forecast that a network begins from, fitted on some rows."""
    model = LSTMForecaster(config, task.shape)
    model.fit_statistics(windows, rows)
    return model.eval()


def _number(candidate: Candidate) -> int:
    return candidate.number


def save(kept: Kept, path: Path) -> None:
    """Write a study's errors to a file."""
    arrays = {f"test {name}": x.astype(np.float32) for name, x in kept.test.items()}
    arrays |= {f"block {i} {name}": x for name, xs in kept.blocks.items() for i, x in enumerate(xs)}
    text = {
        "series": kept.series,
        "known": kept.known,
        "independent": kept.independent,
        "reference": kept.reference,
        "candidates": [asdict(c) for c in kept.candidates],
    }
    np.savez_compressed(path, text=np.array(json.dumps(text)), **arrays)


def read(path: Path) -> Kept:
    """Read what `save` wrote."""
    with np.load(path) as file:
        arrays = dict(file)
    text = json.loads(str(arrays.pop("text")))
    names = [key.removeprefix("test ") for key in arrays if key.startswith("test ")]
    count = len(text["reference"])
    given = [Candidate(**(c | {"config": Config(**c["config"])})) for c in text.pop("candidates")]
    return Kept(
        **text,
        candidates=given,
        blocks={name: [arrays[f"block {i} {name}"] for i in range(count)] for name in names},
        test={name: arrays[f"test {name}"].astype(np.float64) for name in names},
    )


# ---- rules: from the candidates of the first trials to the weights of forecasts

Weights = dict[str, float]
Rule = Callable[[Kept, int], Weights]


def by_value(kept: Kept, trials: int) -> Weights:
    """Weights from the validation values alone."""
    few = [c for c in kept.candidates if c.number < trials]
    parts = weigh(few, independent=kept.independent, blocks=len(kept.reference))
    weights: Weights = {}
    for part in parts:
        name = f"{'t' if part.epochs or f'u{part.number}' not in kept.test else 'u'}{part.number}"
        weights[name] = weights.get(name, 0.0) + part.weight
    return weights


def best_trial(kept: Kept, trials: int) -> Weights:
    """The trial of the least value alone."""
    best = min((c for c in kept.candidates if c.number < trials), key=lambda c: c.value)
    return {f"t{best.number}": 1.0}


def with_smoothing(kept: Kept, trials: int, share: float) -> Weights:
    """Weights from the values, and a share for exponential smoothing, smaller if its error is larger."""
    weights = by_value(kept, trials)
    names = [*weights, "ets"]
    errors = np.diag(kept.products(names))
    share *= min(1.0, float(errors[:-1].min() / errors[-1])) ** 2
    return {name: (1 - share) * weight for name, weight in weights.items()} | {"ets": share}


def stacked(kept: Kept, trials: int, prior: Rule, penalty: float = 0.3) -> Weights:
    """Least squares on the blocks, drawn towards the weights of another rule."""
    given = prior(kept, trials)
    names = list(given)
    products = kept.products(names)
    windows = kept.independent * len(kept.reference) * 0.3 / penalty
    found = stacked_weights(products, np.array(list(given.values())), windows)
    return dict(zip(names, found.tolist(), strict=True))


def averaged(kept: Kept, trials: int, rule: Rule) -> Weights:
    """The mean of a rule's weights for the known configurations alone and for all trials."""
    few, all_ = rule(kept, min(kept.known, trials)), rule(kept, trials)
    return {name: (few.get(name, 0.0) + all_.get(name, 0.0)) / 2 for name in {**few, **all_}}


def simple(kept: Kept, trials: int) -> Weights:
    """The combination of the forecasts that need no network."""
    names = ["persistence", "seasonal_naive", "ridge", "ets"]
    products = kept.products(names)
    prior = 1 / np.diag(products) ** 2
    found = stacked_weights(products, prior / prior.sum(), kept.independent * len(kept.reference))
    return dict(zip(names, found.tolist(), strict=True))


def _half(kept: Kept, trials: int) -> Weights:
    return with_smoothing(kept, trials, 0.35)


RULES: dict[str, Rule] = {
    "combination, no network": simple,
    "best trial alone": best_trial,
    "by value": by_value,
    "by value, stacked": lambda k, n: stacked(k, n, by_value),
    "with smoothing .2": lambda k, n: with_smoothing(k, n, 0.2),
    "with smoothing .35": _half,
    "with smoothing .35, stacked": lambda k, n: stacked(k, n, _half),
    "with smoothing .35, stacked, averaged": lambda k, n: averaged(k, n, lambda a, b: stacked(a, b, _half)),
    "with smoothing .35, stacked c = 1, averaged": lambda k, n: averaged(k, n, lambda a, b: stacked(a, b, _half, 1.0)),
}


def replay(studies: Sequence[Kept]) -> dict[str, dict[str, list[float]]]:
    """Return the test MSE of each rule after each number of trials over that of the combination, for each series."""
    most = min(max(c.number for c in kept.candidates) + 1 for kept in studies)
    cuts = [cut for cut in CUTS if cut <= most] or [most]
    ratios: dict[str, dict[str, list[float]]] = {}
    for kept in studies:
        unit = kept.mse(simple(kept, most))
        ratios[kept.series] = {name: [kept.mse(rule(kept, cut)) / unit for cut in cuts] for name, rule in RULES.items()}
    return ratios


def show(ratios: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Print a table for people: both halves of the series, and the worst series of all."""
    console = wide_console()
    console.print("test MSE over that of the combination of simple forecasts, geometric means")
    series = list(ratios)
    cuts = CUTS[: len(next(iter(next(iter(ratios.values())).values())))]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("rule")
    for half in ("chosen on", "left out"):
        for cut in cuts:
            table.add_column(f"{half}, {cut}", justify="right")
    table.add_column("worst", justify="right")
    for rule in RULES:
        row = []
        for half in (series[::2], series[1::2]):
            for i in range(len(cuts)):
                logs = [np.log(ratios[s][rule][i]) for s in half]
                row.append(f"{np.exp(np.mean(logs)):.3f}" if logs else "-")
        row.append(f"{max(ratios[s][rule][-1] for s in series):.2f}")
        table.add_row(rule, *row)
    console.print(table)
    show_machine(console, machine(), versions())


def main(argv: Sequence[str] | None = None) -> int:
    """Run or replay the series asked for; return the exit status."""
    parser: argparse.ArgumentParser = pool_arguments("What more trials are worth.", trials=40)
    parser.add_argument("--keep", type=Path, required=True, metavar="DIR", help="where the errors are kept")
    parser.add_argument("--replay", action="store_true", help="train nothing: apply the rules to what is kept")
    args = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    keep_freed_memory()
    args.keep.mkdir(parents=True, exist_ok=True)
    studies: list[Kept] = []
    try:
        for series, frame in chosen(args.only):
            path = args.keep / f"{series.name}-{args.seed}.npz"
            if not args.replay and not path.exists():
                began = time.monotonic()
                save(run_series(series, frame, args.trials, args.seed), path)
                print(f"{series.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if path.exists():
                studies.append(read(path))
    except (LstmTuneError, ValueError) as error:
        print(f"more_trials: {error}", file=sys.stderr)
        return 2
    if not studies:
        print("more_trials: nothing is kept yet; run without --replay first", file=sys.stderr)
        return 2
    ratios = replay(studies)
    show(ratios)
    print(json.dumps({"trials": args.trials, "seed": args.seed, "series": ratios}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
