"""Training in epochs: one model for each fold in lockstep, validated after every epoch, the best weights kept.

It knows nothing of Optuna: whoever calls it is told of every epoch, and may end the training by an exception.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from lstm_tune.training.parallel import side_by_side
from lstm_tune.training.schedules import plateau_factor
from lstm_tune.training.trainer import Diverged, Trainer

_EXPLODED = 1e4  # times the variance of the train rows, or the MSE of the untrained model: training has failed


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochStats:
    """What is known after an epoch; epoch 0 is the untrained model."""

    epoch: int
    samples: int  # training windows seen so far, in all folds
    train_loss: float  # mean over the epoch, of the loss that is trained on; NaN at epoch 0
    val: float  # what is minimised
    learning_rate: float
    seconds: float  # since training began


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """The best epoch and how it was reached; `Trainer.result` holds that epoch's weights."""

    start: float  # validation value of epoch 0
    best_epoch: int
    best_val: float
    epochs: int
    stopped: str  # "epochs", "patience", "time"
    history: tuple[EpochStats, ...]
    factors: tuple[float, ...]  # what the plateau schedule multiplied the learning rate by, epoch by epoch


def fit(
    trainers: Sequence[Trainer],
    validate: Callable[[int], float],
    *,
    epochs: int,
    patience: int,
    on_epoch: Callable[[EpochStats], None] = lambda stats: None,
    deadline: float = math.inf,
    threads: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train one model for each fold in lockstep; keep the weights of the epoch with the best mean validation value.

    Args:
        trainers: one for each fold.
        validate: maps a fold's index to its validation value, with the model as it is.
        epochs: at most.
        patience: epochs without a better value after which training stops.
        on_epoch: called after every epoch, from epoch 0 (untrained); may raise to end training.
        deadline: on the clock of `time.monotonic`; training stops there with what it has.
        threads: that share the folds; the result does not depend on them.
        stop: called at every step; True ends training, and nothing of it is kept.

    Raises:
        Diverged: a loss or a validation value is not finite, or has exploded.
        KeyboardInterrupt: `stop` said so.
    """
    began = time.monotonic()
    config = trainers[0].config
    history: list[EpochStats] = []
    factors: list[float] = []
    best, best_epoch, best_weights = math.inf, 0, [_copy_parameters(t.result) for t in trainers]
    stopped = "epochs"
    for epoch in range(epochs + 1):
        factor = plateau_factor([s.val for s in history]) if config.schedule == "plateau" else 1.0
        advance = partial(_advance, trainers, validate, epoch, factor, deadline, stop)
        ended = side_by_side(advance, len(trainers), threads)
        if stop():
            raise KeyboardInterrupt
        parts = [part for part in ended if part is not None]
        if len(parts) < len(trainers):
            stopped = "time"
            break
        if epoch:
            factors.append(factor)
        stats = EpochStats(
            epoch=epoch,
            samples=epoch * sum(t.samples for t in trainers),
            train_loss=math.fsum(loss for loss, _ in parts) / len(parts),
            val=math.fsum(value for _, value in parts) / len(parts),
            learning_rate=trainers[0].optimizer.param_groups[0]["lr"],
            seconds=time.monotonic() - began,
        )
        _refuse_diverged(stats, history)
        history.append(stats)
        if stats.val < best:
            best, best_epoch = stats.val, epoch
            best_weights = [_copy_parameters(t.result) for t in trainers]
        on_epoch(stats)
        if epoch - best_epoch >= patience and epoch < epochs:
            stopped = "patience"
            break
        if time.monotonic() > deadline:
            stopped = "time"
            break
    for trainer, weights in zip(trainers, best_weights, strict=True):
        trainer.result.load_state_dict(weights, strict=False)
    return TrainResult(
        start=history[0].val,
        best_epoch=best_epoch,
        best_val=best,
        epochs=history[-1].epoch,
        stopped=stopped,
        history=tuple(history),
        factors=tuple(factors),
    )


def _refuse_diverged(stats: EpochStats, history: Sequence[EpochStats]) -> None:
    """Raise `Diverged` if the validation value is not finite, or many times that of the untrained model."""
    if not math.isfinite(stats.val):
        raise Diverged(f"the validation score became {stats.val:g} after epoch {stats.epoch}")
    if stats.epoch and stats.val > _EXPLODED * max(1.0, history[0].val):
        raise Diverged(f"the validation score exploded to {stats.val:g} after epoch {stats.epoch}")


def _advance(
    trainers: Sequence[Trainer],
    validate: Callable[[int], float],
    epoch: int,
    factor: float,
    deadline: float,
    stop: Callable[[], bool],
    i: int,
) -> tuple[float, float] | None:
    """Train fold i for one epoch (none at epoch 0) and validate it: (loss, value), or None if it was cut short."""
    if stop():
        return None
    loss = trainers[i].run_epoch(factor, deadline, stop) if epoch else math.nan
    return None if loss is None else (loss, validate(i))


def _copy_parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}
