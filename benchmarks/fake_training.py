"""Trials that sleep in place of training: what is left is what search and storage cost.

Everything else is as in a study: parameters come from the sampler, every epoch is reported, the pruner is asked, and
the attributes have the sizes of real ones.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
from torch import nn

from lstm_tune.config import Config
from lstm_tune.search import task_objective
from lstm_tune.training.fitting import EpochStats, TrainResult

FOLDS = 3
ERRORS = 100  # scaled errors that are kept of each fold


@dataclass(slots=True)
class FakeTrainer:
    """What the objective asks a trainer for."""

    model: nn.Module = field(default_factory=lambda: nn.Linear(1, 1))
    precision: str = "fp32"
    steps: int = 0
    half_batches: bool = False
    batch_size: int = 32
    result: Any = None


@dataclass(frozen=True, slots=True)
class FakeScore:
    """What the objective asks a score for."""

    mse: tuple[float, ...] = (0.5,)
    mse_scaled: float = 0.5


def value_of(config: Config, epoch: int) -> float:
    """Return a validation value that falls with the epochs, and depends on a few parameters."""
    distance = abs(math.log10(config.learning_rate) + 2.5) + abs(math.log2(config.hidden_units) - 6) / 4
    return (0.2 + distance) * (0.5 + 1.0 / (1 + epoch))


def fit(
    trainers: Sequence[FakeTrainer],
    config: Config,
    on_epoch: Callable[[EpochStats], None],
    stop: Callable[[], bool],
    *,
    epochs: int,
    seconds: float,
) -> TrainResult:
    """Sleep for so many seconds in so many epochs."""
    began, history = time.monotonic(), []
    for epoch in range(epochs + 1):
        if epoch:
            time.sleep(max(0.0, began + seconds * epoch / epochs - time.monotonic()))
        for trainer in trainers:
            trainer.steps += 1
        if stop():
            raise KeyboardInterrupt
        stats = EpochStats(
            epoch=epoch,
            samples=1000 * epoch,
            train_loss=value_of(config, epoch) if epoch else math.nan,
            val=value_of(config, epoch),
            learning_rate=config.learning_rate,
            seconds=time.monotonic() - began,
        )
        history.append(stats)
        on_epoch(stats)
    return TrainResult(
        start=history[0].val,
        best_epoch=epochs,
        best_val=history[-1].val,
        epochs=epochs,
        stopped="epochs",
        history=tuple(history),
        factors=(1.0,) * epochs,
    )


@dataclass(frozen=True, slots=True)
class FakeTask:
    """A task without data: of as many folds, whose sampled errors are random."""

    limits: Any
    folds: tuple[None, ...] = (None,) * FOLDS

    def score(self, fold: int, model: Any) -> FakeScore:
        """Return the same score each time."""
        return FakeScore()

    def value_of(self, found: FakeScore) -> float:
        """Return the value that is in a score."""
        return found.mse_scaled

    def sampled_errors(self, models: Sequence[Any]) -> list[Any]:
        """Return random errors."""
        return [np.random.default_rng(i).normal(size=ERRORS) for i in range(len(models))]


@contextlib.contextmanager
def fake_training(*, seconds: float, epochs: int = 30) -> Iterator[None]:
    """Let every trial inside the `with` sleep in place of training; it takes a `FakeTask`."""

    def asleep(trainers: Sequence[FakeTrainer], validate: Any, *, on_epoch: Any, stop: Any, **rest: Any) -> TrainResult:
        return fit(trainers, trainers[0].result, on_epoch, stop, epochs=min(epochs, rest["epochs"]), seconds=seconds)

    def make_trainer(task: Any, fold: int, config: Config, seed: int, precision: str) -> FakeTrainer:
        return FakeTrainer(result=config)

    with (
        mock.patch.object(task_objective, "fit", asleep),
        mock.patch.object(task_objective, "make_trainer", make_trainer),
    ):
        yield
