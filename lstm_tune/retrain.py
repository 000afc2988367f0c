"""The winner, trained again on train and validation rows, several times over; their mean is the model that is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from lstm_tune.config import Config
from lstm_tune.model import LSTMForecaster, Shape
from lstm_tune.split import Ranges
from lstm_tune.train import Diverged, Trainer, seeded, side_by_side
from lstm_tune.windows import Windows


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Retrained:
    """The models of all seeds that were trained to the end, and how many were asked for."""

    models: tuple[LSTMForecaster, ...]
    seeds: tuple[int, ...]
    epochs: int
    asked: int


def retrain_samples(samples: int, train_windows: int, windows: int) -> int:
    """Return the windows in an epoch of the retrain: as many passes over its rows as the trial's epoch made.

    Args:
        samples: training windows in an epoch of the trial.
        train_windows: windows that the train rows hold.
        windows: windows that train and validation rows hold.
    """
    return max(1, round(samples * windows / train_windows))


def retrain(
    windows: Windows,
    rows: Ranges,
    shape: Shape,
    config: Config,
    *,
    epochs: int,
    factors: Sequence[float],
    samples: int,
    seeds: Sequence[int],
    deadline: float = math.inf,
    threads: int = 1,
    on_seed: Callable[[int, int], None] = lambda done, asked: None,
) -> Retrained:
    """Train a configuration on `rows` once for each seed, for a number of epochs fixed beforehand.

    The rule: as many epochs as the trial's best one, each with as many passes over the (now longer) rows; the learning
    rate runs through the same part of its schedule, and a plateau schedule repeats the factors that the trial found.
    Nothing is validated, so nothing stops early.

    Args:
        windows: of all rows; only `rows` are trained on.
        rows: train and validation rows.
        shape: of the data.
        config: the winner.
        epochs: the winner's best epoch.
        factors: of the plateau schedule, epoch by epoch.
        samples: training windows in an epoch, see `retrain_samples`.
        seeds: one model each.
        deadline: on the clock of `time.monotonic`; a seed that would end after it is not begun, one that does is left.
        threads: that share the seeds; the result does not depend on them.
        on_seed: called with (seeds done, seeds asked).
    """
    models: list[LSTMForecaster] = []
    done: list[int] = []
    slowest = 0.0
    for first in range(0, len(seeds), threads):
        began = time.monotonic()
        if began + slowest > deadline:
            break
        some = seeds[first : first + threads]
        trainers = [_trainer(windows, rows, shape, config, samples, seed) for seed in some]
        run = partial(_run, trainers, epochs, factors, deadline)
        for seed, trainer, ended in zip(some, trainers, side_by_side(run, len(some), threads), strict=True):
            if ended:
                models.append(trainer.result.eval())
                done.append(seed)
        slowest = max(slowest, time.monotonic() - began)
        on_seed(len(models), len(seeds))
    return Retrained(models=tuple(models), seeds=tuple(done), epochs=epochs, asked=len(seeds))


def _trainer(windows: Windows, rows: Ranges, shape: Shape, config: Config, samples: int, seed: int) -> Trainer:
    with seeded(seed, windows.device):
        model = LSTMForecaster(config, shape)
    model.to(windows.device)
    model.fit_statistics(windows, rows)
    return Trainer(model, windows, windows.positions(rows, model.context, reach_back=False), config, samples, seed)


def _run(trainers: Sequence[Trainer], epochs: int, factors: Sequence[float], deadline: float, i: int) -> bool:
    """Train one seed; return whether it came to the end: it may diverge, or time may run out."""
    for epoch in range(epochs):
        try:
            loss = trainers[i].run_epoch(factors[epoch] if epoch < len(factors) else 1.0, deadline)
        except Diverged:
            return False
        if loss is None:
            return False
    return True
