"""Studies with the errors of all trials, so that rules for the weights of a mean can be replayed in seconds."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import torch
from numpy.typing import NDArray
from pool import PoolSeries

from lstm_tune.config import Config
from lstm_tune.data.load import load_series
from lstm_tune.data.split import Ranges, make_split
from lstm_tune.data.split_rule import DEFAULT_SPLIT
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.error_sample import SAMPLED_WINDOWS, sampled_errors
from lstm_tune.evaluation.score import Forecaster, forecast_all
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import Space, load_space
from lstm_tune.search.task_objective import TaskObjective, Trained
from lstm_tune.search.trial_queue import enqueue_known
from lstm_tune.search.trials import candidates, read_trials
from lstm_tune.training.ensemble import BEFOREHAND, Candidate
from lstm_tune.training.retrain import Member, retrain
from lstm_tune.training.stacking import error_products
from lstm_tune.training.task import Task, build_task

Floats = NDArray[np.float64]
BLOCKS = 3
RETRAIN_SEEDS = 3  # of each member, as `tune` does it
PRETRAINED = "pretrained"  # the LSTM trained beforehand


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Kept:
    """One study with the errors of everything that a mean forecast can be made of.

    A forecast is named "t<number>" (a trial), "u<number>" (a trial before training), "pretrained" or by a baseline.
    """

    series: str
    rows: int  # of the whole series
    horizon: int
    trials: int  # that ended, the pruned ones included
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

    def block_mse(self, weights: Mapping[str, float]) -> float:
        """Return the MSE of a weighted mean on the blocks, each block in its own unit."""
        names = list(weights)
        w = np.array([weights[name] for name in names])
        return float(w @ self.products(names) @ w)

    def products(self, names: Sequence[str], blocks: Sequence[int] | None = None) -> Floats:
        """Return the mean products of the errors of some forecasts, (K, K), on some blocks; None: on all."""
        places = range(len(self.reference)) if blocks is None else blocks
        errors = [np.stack([self.blocks[name][b] for name in names]) for b in places]
        products: Floats = np.mean(error_products(errors, [self.reference[b] for b in places]), axis=0)
        return products


def run_series(
    series: PoolSeries, frame: pd.DataFrame, trials: int, seed: int, pruner: str, timeout: float = math.inf
) -> Kept:
    """Run one study, retrain every completed trial as `tune` does, and return all errors.

    Args:
        series: its name, horizon and split.
        frame: its values.
        trials: of the study.
        seed: of the study, and the first of the retrain.
        pruner: of the study.
        timeout: seconds after which no further trial begins.
    """
    end = time.monotonic() + timeout
    data = load_series(frame, target="value")
    split = make_split(data, series.split or DEFAULT_SPLIT, series.horizon)
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
        return fit_baselines(where, rows, period=task.period, max_lookback=longest, scale=task.scale)

    on_blocks = [baselines(task.windows, fold.segment.fit) for fold in task.folds]
    for name, forecaster in baselines(windows, split.final.fit).items():
        keep(name, [fitted[name] for fitted in on_blocks], forecaster)

    beforehand = [_untrained(task, BEFOREHAND, task.windows, fold.segment.fit) for fold in task.folds]
    keep(PRETRAINED, beforehand, _untrained(task, BEFOREHAND, windows, split.final.fit))
    trained: dict[int, Trained] = {}
    objective = TaskObjective(
        task, load_space("default"), seed=seed, on_trained=lambda t: trained.update({t.number: t})
    )
    known = len(objective.space.enqueued())
    study = _begin(objective.space, seed, make_pruner(pruner, objective.space.most_epochs(), max(5, known)))
    for number in range(trials):
        if time.monotonic() > end:
            break
        study.optimize(objective, n_trials=1)
        if number not in trained:
            continue
        outcome = read_trials(study)[number].completed()
        config = outcome.config
        member = Member(trial=number, config=config, epochs=outcome.best_epoch, factors=outcome.factors, weight=1.0)
        models = retrain(task, [member], range(seed, seed + RETRAIN_SEEDS), at_least_one=True)
        if models.seeds:
            keep(f"t{number}", trained.pop(number).models, models.network())
        if config.starts_from_simple_forecast:
            untrained = [_untrained(task, config, task.windows, fold.segment.fit) for fold in task.folds]
            keep(f"u{number}", untrained, _untrained(task, config, windows, split.final.fit))
    return Kept(
        series=series.name,
        rows=len(frame),
        horizon=series.horizon,
        trials=sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False)),
        known=known,
        independent=task.independent_windows,
        reference=[fold.reference_mse for fold in task.folds],
        candidates=sorted((c for c in candidates(read_trials(study)) if f"t{c.number}" in test), key=_number),
        blocks=blocks,
        test=test,
    )


def _begin(space: Space, seed: int, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    """Return a study whose first trials are the known configurations."""
    study = optuna.create_study(sampler=make_sampler("tpe", seed, space), pruner=pruner)
    enqueue_known(study, space)
    return study


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
        "rows": kept.rows,
        "horizon": kept.horizon,
        "trials": kept.trials,
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
