"""What a supervisor and its workers tell each other over a pipe."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from lstm_tune.search.space import Space
from lstm_tune.training.fitting import EpochStats
from lstm_tune.training.task import Task


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Job:
    """All that a worker needs."""

    storage: str | BaseStorage
    study: str
    sampler: BaseSampler
    pruner: BasePruner
    task: Task
    space: Space
    seed: int
    precision: str  # "fp32" or "bf16"
    threads: int  # that share the folds of a trial
    verbosity: int  # of Optuna's log
    run: str  # the supervisor's name, which its trials carry


# What the supervisor tells; None sends a worker home.


@dataclass(frozen=True, slots=True)
class RunTrial:
    """The trial that is next."""

    trial_id: int
    seconds: float  # that it may take


# What a worker tells.


@dataclass(frozen=True, slots=True)
class Ready:
    """It has opened the study and waits for a trial."""


@dataclass(frozen=True, slots=True)
class Alive:
    """Its trial has advanced, or it waits for a storage that is away."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """Its trial has ended an epoch."""

    trial: int
    stats: EpochStats


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """Its trial has ended."""

    stopped: bool  # whether the sampler or the pruner asked to stop the study


@dataclass(frozen=True, slots=True)
class TrialLost:
    """Another process has ended its trial."""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """It cannot work."""

    cause: str
