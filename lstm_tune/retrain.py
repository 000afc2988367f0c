"""The winner, trained again on train and validation rows, several times over; their mean is the model that is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lstm_tune.config import Config
from lstm_tune.model import LSTMForecaster, Shape
from lstm_tune.split import Ranges
from lstm_tune.train import Diverged, RandomState, Trainer
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
        on_seed: called with (seeds done, seeds asked).
    """
    models: list[LSTMForecaster] = []
    done: list[int] = []
    slowest = 0.0
    for seed in seeds:
        began = time.monotonic()
        if began + slowest > deadline:
            break
        try:
            model = _train_one(windows, rows, shape, config, epochs, factors, samples, seed, deadline)
        except Diverged:
            continue
        if model is None:
            break
        models.append(model)
        done.append(seed)
        slowest = max(slowest, time.monotonic() - began)
        on_seed(len(models), len(seeds))
    return Retrained(models=tuple(models), seeds=tuple(done), epochs=epochs, asked=len(seeds))


def _train_one(
    windows: Windows,
    rows: Ranges,
    shape: Shape,
    config: Config,
    epochs: int,
    factors: Sequence[float],
    samples: int,
    seed: int,
    deadline: float,
) -> LSTMForecaster | None:
    with RandomState(seed, windows.device):
        model = LSTMForecaster(config, shape)
    model.to(windows.device)
    model.fit_statistics(windows, rows)
    positions = windows.positions(rows, model.context, reach_back=False)
    trainer = Trainer(model, windows, positions, config, samples, seed)
    for epoch in range(epochs):
        if trainer.run_epoch(factors[epoch] if epoch < len(factors) else 1.0, deadline) is None:
            return None
    model.eval()
    return model
