"""The messages between the supervisor and its workers."""

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
    """Everything that a worker needs."""

    storage: str | BaseStorage
    study: str
    sampler: BaseSampler
    pruner: BasePruner
    task: Task
    space: Space
    seed: int
    precision: str  # "fp32" or "bf16"
    threads: int  # that share the folds of a trial
    ask_every: float  # seconds between two questions to the pruner
    verbosity: int  # of Optuna's log
    run: str  # the supervisor's process, which is recorded with each trial


# ---- from the supervisor to a worker; None: stop


@dataclass(frozen=True, slots=True)
class RunTrial:
    """Run this trial."""

    trial_id: int
    seconds: float  # that it may take


# ---- from a worker to the supervisor


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has opened the study and waits for a trial."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The trial has advanced, or the worker waits for a storage that does not answer."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The trial has ended an epoch."""

    trial: int
    stats: EpochStats


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """The trial has ended."""

    stopped: bool  # whether the sampler or the pruner asked to stop the study


@dataclass(frozen=True, slots=True)
class TrialLost:
    """Another process has ended the trial."""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """The worker cannot go on."""

    cause: str
