"""The winners, trained again on train and validation rows, several times over; their mean is the model that is kept."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from lstm_tune.config import Config
from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Windows
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.training.parallel import side_by_side
from lstm_tune.training.task import Task
from lstm_tune.training.trainer import Diverged, Trainer, is_out_of_memory, seeded

TrainedRows = Literal["train+val", "train"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A trial's configuration, to be trained for a number of epochs fixed beforehand, and its part in the mean."""

    trial: int
    config: Config
    epochs: int  # the trial's best epoch
    factors: tuple[float, ...]  # of the plateau schedule, epoch by epoch, as the trial found them
    weight: float
    half_batches: bool = False  # whether memory sufficed for half a batch alone


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Retrained:
    """What was trained to the end: for each seed its models, each with its member."""

    seeds: tuple[int, ...]
    models: tuple[tuple[tuple[Member, LSTMForecaster], ...], ...]  # for each seed
    rows: TrainedRows = "train+val"  # that it was trained on
    interrupted: bool = False  # whether Ctrl-C ended it

    def network(self, seed: int | None = None) -> MeanForecaster:
        """Return the weighted mean of all models, or of one seed's (its place in `seeds`), ready to forecast."""
        return _mean([pair for i, pairs in enumerate(self.models) if seed in (None, i) for pair in pairs])

    def trained_network(self) -> MeanForecaster | None:
        """Return the weighted mean of the models that were trained, those of no epoch left out; None: there is none."""
        trained = [(member, model) for pairs in self.models for member, model in pairs if member.epochs]
        return _mean(trained) if trained else None

    @property
    def trained_weight(self) -> float:
        """The share of the mean that the models that were trained have."""
        every = [member for pairs in self.models for member, _ in pairs]
        return sum(m.weight for m in every if m.epochs) / sum(m.weight for m in every)


def _mean(pairs: Sequence[tuple[Member, LSTMForecaster]]) -> MeanForecaster:
    return MeanForecaster([model for _, model in pairs], [member.weight for member, _ in pairs]).eval()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingSet:
    """The rows that models are trained on, and the training windows in an epoch."""

    windows: Windows
    shape: Shape
    rows: Ranges
    samples: int

    @classmethod
    def of(cls, task: Task, part: TrainedRows) -> TrainingSet:
        """Return train and validation rows of a task, or its train rows."""
        both = part == "train+val"
        return cls(
            windows=task.windows,
            shape=task.shape,
            rows=task.development_rows if both else task.folds[0].segment.fit,
            samples=task.retrain_samples if both else task.folds[0].samples,
        )


def retrain(
    task: Task,
    members: Sequence[Member],
    seeds: Sequence[int],
    *,
    rows: TrainedRows = "train+val",
    precision: str = "fp32",
    deadline: float = math.inf,
    at_least_one: bool = False,
    threads: int = 1,
    stop: Callable[[], bool] = lambda: False,
    on_model: Callable[[int, int], None] = lambda done, asked: None,
) -> Retrained:
    """Train every member once for each seed, for a number of epochs fixed beforehand.

    The rule: as many epochs as the trial's best one, each with as many passes over the (now longer) rows; the learning
    rate runs through the same part of its schedule, and a plateau schedule repeats the factors that the trial found.
    Nothing is validated, so nothing stops early. A member that diverges, or finds no memory for half a batch, is left
    out.

    Args:
        task: of the trials: it holds train and validation rows, and no test row.
        members: what to train, what matters most first.
        seeds: one set of models each.
        rows: to train on.
        precision: "fp32" or "bf16": what the trials trained in.
        deadline: on the clock of `time.monotonic`. Work that would end after it is not begun, work that does is left;
            a seed counts only if none of its members was left or not begun, but for the first, which counts with
            those that are done.
        at_least_one: whether the first models are trained to their end whatever the deadline.
        threads: that share the work; the result does not depend on them.
        stop: called at every step; True ends the retrain as the deadline does. So does a KeyboardInterrupt.
        on_model: called with (models done, models asked), first with none done.
    """
    jobs = [(seed, member) for seed in seeds for member in members]
    trained_on = TrainingSet.of(task, rows)
    fitted: dict[Config, LSTMForecaster] = {}
    done: dict[int, list[tuple[Member, LSTMForecaster]]] = {seed: [] for seed in seeds}
    ended: Counter[int] = Counter()  # members of a seed that time allowed
    slowest, interrupted = 0.0, False
    try:
        on_model(0, len(jobs))
        for first in range(0, len(jobs), threads):
            began = time.monotonic()
            limit = math.inf if at_least_one and not first else deadline
            if began + slowest > limit or stop():
                break
            some = jobs[first : first + threads]
            trainers = [make_retrainer(trained_on, member, seed, precision, fitted) for seed, member in some]
            how = side_by_side(partial(run_retrainer, trainers, [m for _, m in some], limit, stop), len(some), threads)
            for (seed, member), trainer, end in zip(some, trainers, how, strict=True):
                ended[seed] += end != "cut short"
                if end == "done":
                    done[seed].append((member, trainer.result.eval()))
            slowest = max(slowest, time.monotonic() - began)
            on_model(first + len(some), len(jobs))
            if "cut short" in how:
                break
    except KeyboardInterrupt:
        interrupted = True
    interrupted = interrupted or (stop() and sum(ended.values()) < len(jobs))
    kept = [seed for i, seed in enumerate(seeds) if done[seed] and (not i or ended[seed] == len(members))]
    models = tuple(tuple(done[seed]) for seed in kept)
    return Retrained(seeds=tuple(kept), models=models, rows=rows, interrupted=interrupted)


def make_retrainer(
    data: TrainingSet, member: Member, seed: int, precision: str, fitted: dict[Config, LSTMForecaster]
) -> Trainer:
    """Build the model of a member, ready to train on all of the rows.

    Args:
        data: the rows.
        member: its configuration.
        seed: of weights, shuffling and dropout.
        precision: "fp32" or "bf16".
        fitted: models by their configurations, whose statistics are those of the same rows; the new one is added.
    """
    config, windows = member.config, data.windows
    with seeded(seed, windows.device):
        model = LSTMForecaster(config, data.shape)
    model.to(windows.device)
    if config in fitted:
        model.take_statistics(fitted[config])
    else:
        model.fit_statistics(windows, data.rows)
        fitted[config] = model
    positions = windows.positions(data.rows, model.context, reach_back=False)
    trainer = Trainer(model, windows, positions, config, data.samples, seed, precision)
    trainer.half_batches = member.half_batches
    return trainer


def run_retrainer(
    trainers: Sequence[Trainer], members: Sequence[Member], deadline: float, stop: Callable[[], bool], i: int
) -> Literal["done", "diverged", "memory", "cut short"]:
    """Train model `i` for the epochs of its member; return how it ended."""
    factors = members[i].factors
    for epoch in range(members[i].epochs):
        try:
            loss = trainers[i].run_epoch(factors[epoch] if epoch < len(factors) else 1.0, deadline, stop)
        except Diverged:
            return "diverged"
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return "memory"
        if loss is None:
            return "cut short"
    return "done"
