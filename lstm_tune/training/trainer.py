"""The trainer: one model, or one for each fold, side by side. It knows nothing of Optuna.

An *epoch* is a fixed number of training windows (`samples_per_epoch`), the same for every trial of a study whatever its
lookback, patch or batch size, so that the n-th report of two trials came after equal work on equal data. For most
data it is one pass over the train rows; short series are passed over several times, very long ones in part.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from lstm_tune.config import Config
from lstm_tune.data.windows import Batch, Positions, Windows
from lstm_tune.models.forecaster import LSTMForecaster, Shape, lstm_work
from lstm_tune.models.lstm import seed_dropout, set_training_precision

T = TypeVar("T")

_stop = threading.Event()  # set while the threads of `side_by_side` are to end early

MIN_SAMPLES_PER_EPOCH = 1_024
MAX_SAMPLES_PER_EPOCH = 4_096
_SHUFFLED = 2**18  # windows: of more, 60 epochs never see all, and which they see is drawn without a list of them
_EXPLODED = 1e4  # times the variance of the train rows, or the untrained forecast's MSE: training has failed
_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "CUDA out of memory", "ALLOC_FAILED")
_CHECK_EVERY = 16  # steps between looks at the loss and the clock
_LEAST_WORK = 2**24  # multiplications of the LSTM in a step, forward: bf16 saves a fifth from there, and little below


class Diverged(Exception):
    """Training failed by itself: the text is the reason."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: of the device, of torch's on the CPU, or of Python's."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


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


def samples_per_epoch(windows: int, most: int | None = None) -> int:
    """Return the training windows in an epoch, given how many there are at the shortest lookback.

    Args:
        windows: that there are.
        most: in an epoch; None: `MAX_SAMPLES_PER_EPOCH`.
    """
    return min(max(windows, MIN_SAMPLES_PER_EPOCH), MAX_SAMPLES_PER_EPOCH if most is None else most)


def schedule_factor(schedule: str, done: float) -> float:
    """Return what the learning rate is multiplied by when `done` (0 to 1) of all planned steps are over.

    cosine: from 1 to 0 by half a cosine (Loshchilov and Hutter 2017). one_cycle: from 1/25 up to 1 over the first 30%,
    then by half a cosine to 0 (Smith and Topin 2018). constant and plateau: 1.
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "one_cycle":
        if done < 0.3:
            return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * done / 0.3))
        return 0.5 * (1 + math.cos(math.pi * (done - 0.3) / 0.7))
    return 1.0


def gains(config: Config, shape: Shape) -> bool:
    """Return whether training steps are large enough for bfloat16 to save time, on a machine that is fast in it."""
    fused = config.cell_activation == "tanh"
    return fused and config.batch_size * lstm_work(config, shape) >= _LEAST_WORK


def plateau_factor(values: Sequence[float], *, patience: int = 2, factor: float = 0.5) -> float:
    """Return the factor after these validation values: halved each time `patience` epochs brought nothing better."""
    best, waited, result = math.inf, 0, 1.0
    for value in values:
        if value < best:
            best, waited = value, 0
        else:
            waited += 1
            if waited >= patience:
                result, waited = result * factor, 0
    return result


class Trainer:
    """One model in training on one set of windows, epoch by epoch, with random numbers of its own.

    Attributes:
        model: that is trained.
        result: that is validated and kept: the model itself, or its twin with the moving average of the weights
            (`config.weight_average`; Polyak and Juditsky 1992).
        halved: whether a step's gradients are added up from two halves of its batch, for want of memory; it becomes
            true where memory runs out.

    Args:
        model: statistics fitted; its parameters are trained in place.
        windows: where batches come from.
        positions: the windows (n,) to train on, n >= 1.
        config: optimizer, learning rate, batch size, schedule, …
        samples: training windows in an epoch.
        seed: of shuffling and dropout.
        precision: "fp32", or "bf16": the LSTM's arithmetic while it trains, where that `gains`; nothing else is
            ever rounded.
    """

    def __init__(
        self,
        model: LSTMForecaster,
        windows: Windows,
        positions: Positions | Tensor,
        config: Config,
        samples: int,
        seed: int,
        precision: str = "fp32",
    ) -> None:
        self.model = model
        self.windows = windows
        self.positions = positions
        self.config = config
        self.samples = samples
        self.batch_size = min(config.batch_size, len(positions))
        self.result = copy.deepcopy(model) if config.weight_average else model
        self.result.lstm.flatten_parameters()
        self._trained = _flat(model)
        self._gradients = [p.grad for p in self._trained if p.grad is not None]
        self._averaged = _flat(self.result) if config.weight_average else []
        self.optimizer = _optimizer(self._trained, config)
        self._generator = torch.Generator().manual_seed(seed)
        self.precision = precision if gains(config, model.shape) else "fp32"
        set_training_precision(model, self.precision)
        seed_dropout(model, torch.Generator(windows.device).manual_seed(seed))
        self._looks = windows.device.type == "cpu"  # a look at a number waits for an accelerator: at the epoch's end
        self.halved = False
        self._queue = torch.empty(0, dtype=torch.int64)
        self._steps_planned = config.epochs * math.ceil(samples / self.batch_size)
        self._steps = 0

    @property
    def steps(self) -> int:
        """Training steps so far."""
        return self._steps

    def _next(self, count: int) -> Tensor:
        """Return the next `count` positions of an endless sequence of permutations; of very many windows, draws."""
        if len(self.positions) > _SHUFFLED:
            return self.positions[torch.randint(len(self.positions), (count,), generator=self._generator)]
        while len(self._queue) < count:
            order = torch.randperm(len(self.positions), generator=self._generator)
            self._queue = torch.cat([self._queue, order])
        head, self._queue = self._queue[:count], self._queue[count:]
        return self.positions[head]

    def run_epoch(self, factor: float = 1.0, deadline: float = math.inf) -> float | None:
        """Train for one epoch.

        Args:
            factor: of the learning rate, beside the schedule's.
            deadline: on the clock of `time.monotonic`.

        Returns:
            The mean training loss, or None where the deadline cut the epoch short.

        Raises:
            Diverged: the loss is not finite.
            Exception: memory ran out even for half a batch; see `is_out_of_memory`.
        """
        config = self.config
        epoch = self._next(self.samples)
        total = torch.zeros((), device=self.windows.device)
        self.model.train()
        for step, chunk in enumerate(torch.split(epoch, self.batch_size)):
            lr = config.learning_rate * factor
            lr *= schedule_factor(config.schedule, self._steps / self._steps_planned)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            loss = self._in_halves(chunk) if self.halved else self._backward(chunk)
            if config.gradient_clip:
                _clip(self._gradients, config.gradient_clip)
            self.optimizer.step()
            torch._foreach_zero_(self._gradients)
            self._steps += 1
            if config.weight_average:
                # The first steps count little: the average would else remember the untrained weights for long.
                decay = min(config.weight_average, (1 + self._steps) / (10 + self._steps))
                with torch.no_grad():
                    torch._foreach_lerp_(self._averaged, self._trained, 1 - decay)
            total.add_(loss.detach(), alpha=len(chunk))
            if _stop.is_set():
                return None
            if step % _CHECK_EVERY == 0:
                if self._looks and not math.isfinite(float(total)):
                    raise Diverged(f"the training loss became {loss.item():g} at step {self._steps}")
                if time.monotonic() > deadline:
                    return None
        mean = float(total) / len(epoch)
        if not math.isfinite(mean):
            raise Diverged(f"the training loss became {mean:g} by step {self._steps}")
        return mean

    def _backward(self, chunk: Tensor) -> Tensor:
        """Add a step's gradients and return its loss; where memory runs out, in halves from now on."""
        try:
            return self._whole(chunk)
        except Exception as error:
            if len(chunk) == 1 or not is_out_of_memory(error):
                raise
        self.halved = True  # only here is the memory of the failed attempt free again
        torch._foreach_zero_(self._gradients)
        return self._in_halves(chunk)

    def _whole(self, chunk: Tensor) -> Tensor:
        loss = self._loss(self.windows.gather(chunk, self.model.context))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _in_halves(self, chunk: Tensor) -> Tensor:
        """Do a step half by half: the same loss and gradients as of the whole batch, in half of the memory."""
        observed = self.windows.observed(chunk).sum() if self.windows.holes else None
        total = torch.zeros((), device=self.windows.device)
        for half in torch.split(chunk, -(-len(chunk) // 2)):
            batch = self.windows.gather(half, self.model.context)
            if observed is None or batch.observed is None:
                part = self._loss(batch) * (len(half) / len(chunk))
            else:
                part = self._loss(batch) * (batch.observed.sum() / observed)
            part.backward()  # type: ignore[no-untyped-call]
            total += part.detach()
        return total

    def _loss(self, batch: Batch) -> Tensor:
        """Return the mean loss over the batch's observed targets."""
        forecast, target = self.model.level(batch), self.model.scale_level(batch.target, batch.channel)
        loss_of = _LOSSES[self.config.loss]
        if batch.observed is None:
            return loss_of(forecast, target)
        return (loss_of(forecast, target, reduction="none") * batch.observed).sum() / batch.observed.sum()


def fit(
    trainers: Sequence[Trainer],
    validate: Callable[[int], float],
    *,
    epochs: int,
    patience: int,
    on_epoch: Callable[[EpochStats], None] = lambda stats: None,
    deadline: float = math.inf,
    threads: int = 1,
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

    Raises:
        Diverged: a loss or a validation value is not finite, or has exploded.
    """
    began = time.monotonic()
    config = trainers[0].config
    history: list[EpochStats] = []
    factors: list[float] = []
    best, best_epoch, best_weights = math.inf, 0, [_copy_parameters(t.result) for t in trainers]
    stopped = "epochs"
    for epoch in range(epochs + 1):
        factor = plateau_factor([s.val for s in history]) if config.schedule == "plateau" else 1.0
        ended = side_by_side(partial(_advance, trainers, validate, epoch, factor, deadline), len(trainers), threads)
        parts = [part for part in ended if part is not None]
        if len(parts) < len(trainers):
            stopped = "time"
            break
        if epoch:
            factors.append(factor)
        loss = math.fsum(loss for loss, _ in parts) / len(parts)
        value = math.fsum(value for _, value in parts) / len(parts)
        if not math.isfinite(value):
            raise Diverged(f"the validation MSE became {value:g} after epoch {epoch}")
        if epoch and value > _EXPLODED * max(1.0, history[0].val):
            raise Diverged(f"the validation MSE exploded to {value:g} after epoch {epoch}")
        stats = EpochStats(
            epoch=epoch,
            samples=epoch * sum(t.samples for t in trainers),
            train_loss=loss,
            val=value,
            learning_rate=trainers[0].optimizer.param_groups[0]["lr"],
            seconds=time.monotonic() - began,
        )
        history.append(stats)
        if value < best:
            best, best_epoch = value, epoch
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


def _advance(
    trainers: Sequence[Trainer], validate: Callable[[int], float], epoch: int, factor: float, deadline: float, i: int
) -> tuple[float, float] | None:
    """Train fold i for one epoch (none at epoch 0) and validate it: (loss, value), or None where time ran out."""
    loss = trainers[i].run_epoch(factor, deadline) if epoch else math.nan
    return None if loss is None else (loss, validate(i))


def side_by_side(work: Callable[[int], T], count: int, threads: int) -> list[T]:
    """Return [work(0), …, work(count - 1)], run in so many threads of one core each.

    Each piece of work has models and random numbers of its own, so the results do not depend on the threads.
    """
    if min(count, threads) <= 1:
        return [work(i) for i in range(count)]
    with ThreadPoolExecutor(min(count, threads), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return list(pool.map(work, range(count)))
        except BaseException:
            _stop.set()  # the pool waits for its threads; let them end at their next step
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            _stop.clear()


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators inside the `with`, and put them back after it: weights are initialised there."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _copy_parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


_LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": nn.functional.mse_loss,
    "mae": nn.functional.l1_loss,
    "huber": nn.functional.huber_loss,
}


def _flat(model: nn.Module) -> list[Tensor]:
    """Return what an optimizer is to be given, gradients of 0 attached: on a CPU one tensor that holds all parameters.

    The parameters and their gradients become views of it. Clipping, optimizer and average then cost one operation
    each, not one for each parameter, which in a small model is a quarter of the step. Elsewhere the parameters stay as
    they are: cuDNN keeps those of a layer in memory of its own.
    """
    parameters = list(model.parameters())
    if any(p.device.type != "cpu" for p in parameters):
        for p in parameters:
            p.grad = torch.zeros_like(p)
        return list(parameters)
    # Each begins at a multiple of 16 numbers, aligned as torch aligns memory; what is between stays 0.
    ends = list(itertools.accumulate(-(-p.numel() // 16) * 16 for p in parameters))
    flat = torch.zeros(ends[-1])
    flat.grad = torch.zeros_like(flat)
    for p, end in zip(parameters, ends, strict=True):
        begin = end - -(-p.numel() // 16) * 16
        part = slice(begin, begin + p.numel())
        flat[part] = p.detach().flatten()
        p.data = flat[part].view_as(p)
        p.grad = flat.grad[part].view_as(p)
    return [flat]


def _clip(gradients: list[Tensor], most: float) -> None:
    """Scale gradients so that their common norm is at most `most`."""
    norms = torch._foreach_norm(gradients)
    norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
    torch._foreach_mul_(gradients, (most / (norm + 1e-6)).clamp_max(1.0))


def _optimizer(parameters: Sequence[Tensor], config: Config) -> torch.optim.Optimizer:
    lr, decay = config.learning_rate, config.weight_decay
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, lr=lr, weight_decay=decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay, fused=True)
        case "nadam":
            return torch.optim.NAdam(parameters, lr=lr, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, lr=lr, weight_decay=decay)
        case _:
            return torch.optim.SGD(parameters, lr=lr, weight_decay=decay, momentum=config.momentum, fused=True)
