"""The trainer: one model in training on one set of windows, epoch by epoch.

An *epoch* is a fixed number of training windows (`samples_per_epoch`), the same for every trial of a study whatever its
lookback, patch or batch size, so that the n-th report of two trials came after equal work on equal data. For most
data it is one pass over the train rows; short series are passed over several times, very long ones in part.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from lstm_tune.config import Config
from lstm_tune.data.windows import Batch, Positions, Windows
from lstm_tune.models.cells import seed_dropout, set_training_precision
from lstm_tune.models.forecaster import LSTMForecaster, recurrent_work
from lstm_tune.models.preprocessing import Shape
from lstm_tune.training.optimizers import clip_gradients, flatten, make_optimizer
from lstm_tune.training.parallel import must_stop
from lstm_tune.training.schedules import schedule_factor

MIN_SAMPLES_PER_EPOCH = 1_024
MAX_SAMPLES_PER_EPOCH = 4_096
_SHUFFLED = 2**18  # windows: of more, 60 epochs never see all, and which they see is drawn without a list of them
_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "ALLOC_FAILED", "bad_alloc")
_CHECK_EVERY = 16  # steps between looks at the loss and the clock
_LEAST_WORK = 2**24  # multiplications of the LSTM in a step, forward: bf16 saves a fifth from there, and little below


class Diverged(Exception):
    """Training failed by itself: the text is the reason."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: of the device, of torch's on the CPU, or of Python's."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def training_failed(error: BaseException) -> bool:
    """Return whether an error says that a configuration cannot be trained here: it diverged, or memory ran out."""
    return isinstance(error, Diverged) or is_out_of_memory(error)


def samples_per_epoch(windows: int, most: int | None = None) -> int:
    """Return the training windows in an epoch, given how many there are at the shortest lookback.

    Args:
        windows: that there are.
        most: in an epoch; None: `MAX_SAMPLES_PER_EPOCH`.
    """
    return min(max(windows, MIN_SAMPLES_PER_EPOCH), MAX_SAMPLES_PER_EPOCH if most is None else most)


def bf16_pays(config: Config, shape: Shape) -> bool:
    """Return whether training steps are large enough for bfloat16 to save time on a machine that is fast in it."""
    fused = config.cell_activation == "tanh"
    return fused and config.batch_size * recurrent_work(config, shape) >= _LEAST_WORK


class Trainer:
    """One model in training on one set of windows, epoch by epoch, with random numbers of its own.

    Attributes:
        model: that is trained.
        result: that is validated and kept: the model itself, or its twin with the moving average of the weights
            (`config.weight_average`; Polyak and Juditsky 1992).
        half_batches: whether a step's gradients are added up from two halves of its batch; it becomes true when memory
            runs out.

    Args:
        model: statistics fitted; its parameters are trained in place.
        windows: where batches come from.
        positions: the windows (n,) to train on, n >= 1.
        config: optimizer, learning rate, batch size, schedule, …
        samples: training windows in an epoch.
        seed: of shuffling and dropout.
        precision: "fp32", or "bf16": the LSTM's arithmetic while it trains, if `bf16_pays`; nothing else is ever
            rounded.
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
        self._trained = flatten(model)
        self._gradients = [p.grad for p in self._trained if p.grad is not None]
        self._averaged = flatten(self.result) if config.weight_average else []
        self.optimizer = make_optimizer(self._trained, config)
        self._generator = torch.Generator().manual_seed(seed)
        self.precision = precision if bf16_pays(config, model.shape) else "fp32"
        set_training_precision(model, self.precision)
        seed_dropout(model, torch.Generator(windows.device).manual_seed(seed))
        self._looks = windows.device.type == "cpu"  # a look at a number waits for an accelerator: at the epoch's end
        self.half_batches = False
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

    def run_epoch(
        self, factor: float = 1.0, deadline: float = math.inf, stop: Callable[[], bool] = lambda: False
    ) -> float | None:
        """Train for one epoch.

        Args:
            factor: of the learning rate, beside the schedule's.
            deadline: on the clock of `time.monotonic`.
            stop: called at every step; True cuts the epoch short.

        Returns:
            The mean training loss, or None if the epoch was cut short.

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
            loss = self._in_halves(chunk) if self.half_batches else self._backward(chunk)
            if config.gradient_clip:
                clip_gradients(self._gradients, config.gradient_clip)
            self.optimizer.step()
            torch._foreach_zero_(self._gradients)
            self._steps += 1
            if config.weight_average:
                # The first steps count little: the average would else remember the untrained weights for long.
                decay = min(config.weight_average, (1 + self._steps) / (10 + self._steps))
                with torch.no_grad():
                    torch._foreach_lerp_(self._averaged, self._trained, 1 - decay)
            total.add_(loss.detach(), alpha=len(chunk))
            if must_stop() or stop():
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
        """Add a step's gradients and return its loss; if memory runs out, in halves from now on."""
        try:
            return self._whole(chunk)
        except Exception as error:
            if len(chunk) == 1 or not is_out_of_memory(error):
                raise
        self.half_batches = True  # only here is the memory of the failed attempt free again
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
        forecast, target = self.model.forecast_and_target(batch)
        loss_of = LOSSES[self.config.loss]
        if batch.observed is None:
            return loss_of(forecast, target)
        return (loss_of(forecast, target, reduction="none") * batch.observed).sum() / batch.observed.sum()


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators inside the `with`, and put them back after it: weights are initialised there."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


LOSSES: Mapping[str, Callable[..., Tensor]] = {
    "mse": nn.functional.mse_loss,
    "mae": nn.functional.l1_loss,
    "huber": nn.functional.huber_loss,
}
