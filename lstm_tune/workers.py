"""Workers: processes that share one study, and the supervisor that gives out trials to them one by one.

The study lives in the storage, and workers meet there alone. Over its pipe a worker hears how many seconds its next
trial may take (None: it is not needed any more), and tells what it does.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

import optuna
import torch
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import TrialState

from lstm_tune import processes
from lstm_tune.allocator import keep_freed_memory
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.objective import Objective
from lstm_tune.progress import Progress
from lstm_tune.space import Space
from lstm_tune.storage import open_storage
from lstm_tune.study import OptunaCallback, fail_lost, requeue_stale, was_requeued
from lstm_tune.study import optimize as run_trials
from lstm_tune.task import Task
from lstm_tune.train import EpochStats

_GRACE = 5.0  # seconds in which an interrupted worker drops its trial; then it is killed
_OUTAGE = 300.0  # seconds for which a worker that begins waits for the storage
_STILLBORN = 3  # workers in a row that died before they were ready: something is wrong with all of them


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


# What a worker tells.


@dataclass(frozen=True, slots=True)
class _Ready:
    pass


@dataclass(frozen=True, slots=True)
class _Begun:
    trial: int


@dataclass(frozen=True, slots=True)
class _Epoch:
    trial: int
    stats: EpochStats


@dataclass(frozen=True, slots=True)
class _Ended:
    trial: int
    stopped: bool  # whether the sampler or the pruner asked to stop the study


@dataclass(frozen=True, slots=True)
class _Taken:
    trial: int  # another process has ended it; the worker begins another in its place


@dataclass(frozen=True, slots=True)
class _Broken:
    cause: str


class SharedStudy(optuna.Study):
    """A study that remembers `stop`, whoever calls it: there is no one loop of `optimize` that could end."""

    stopped = False

    def stop(self) -> None:
        """Let no further trial begin; those that run go on."""
        self.stopped = True


# ---- the supervisor


def check_shareable(storage: str | BaseStorage | None, sampler: Any, pruner: Any) -> None:
    """Refuse what several processes cannot share.

    Raises:
        UsageError: says what and what to use.
    """
    remedy = "pass the path of a journal file or a PostgreSQL URL, or use one worker"
    url = storage if isinstance(storage, str) else storage.url if isinstance(storage, RDBStorage) else ""
    if url.startswith(("sqlite:", "sqlite+")):
        raise UsageError(f"SQLite can hand one trial to two workers, so that no study is stored there; {remedy}")
    if isinstance(storage, InMemoryStorage):
        raise UsageError(f"a storage in memory cannot be shared by several workers; {remedy}")
    for name, value in (("storage", storage), ("sampler", sampler), ("pruner", pruner)):
        try:
            with processes.no_main():
                ForkingPickler.dumps(value)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"the {name} cannot be sent to other processes ({reason}); "
                f"define its class in a module that can be imported, or use one worker"
            ) from None


def share(task: Task) -> None:
    """Move the task's tensors on the CPU into memory that workers see without a copy.

    Raises:
        StudyError: there is not enough of it.
    """
    data = task.windows.data
    tensors = [data.values, data.observed, data.past, data.future]
    tensors += [positions for fold in task.folds for positions in (fold.scored, fold.judged)]
    try:
        for tensor in tensors:
            tensor.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise StudyError(
            f"the series do not fit into shared memory ({str(error).splitlines()[0]}); "
            f"make /dev/shm larger, or use --workers 1"
        ) from None


def optimize(
    study: optuna.Study,
    job: Job,
    workers: int,
    *,
    n_trials: int | None,
    deadline: Callable[[], float],
    callbacks: Sequence[OptunaCallback],
    tell: Progress,
) -> None:
    """Do what `study.optimize(objective, n_trials, callbacks=callbacks)` does, in several processes.

    Args:
        study: that the job names.
        job: what each worker needs.
        workers: at most; each ends as soon as no trial is left for it.
        n_trials: to be ended, those that died with their worker and were queued again not counted.
        deadline: called before a trial; returns the time (`time.monotonic`) at which it must stop with what it has.
        callbacks: called in this process, after each trial; `study.stop` works.
        tell: told what happens.

    Raises:
        StudyError: the workers cannot work.
    """
    share(job.task)
    supervisor = _Supervisor(
        study=SharedStudy(study.study_name, study._storage, study.sampler, study.pruner),
        job=job,
        left=math.inf if n_trials is None else n_trials,
        deadline=deadline,
        callbacks=callbacks,
        tell=tell,
    )
    try:
        for number in range(1, 1 + min(workers, workers if n_trials is None else n_trials)):
            supervisor.start(number)
        while supervisor.crew:
            supervisor.listen()
    finally:
        supervisor.end()


@dataclass(kw_only=True, slots=True, eq=False)
class _Worker:
    number: int  # from 1; its successor takes it over
    process: BaseProcess
    link: Connection
    ready: bool = False
    busy: bool = False  # a trial was given out to it …
    trial: int | None = None  # … and it has begun this one


@dataclass(kw_only=True, slots=True, eq=False)
class _Supervisor:
    study: SharedStudy
    job: Job
    left: float  # trials that may still be given out
    deadline: Callable[[], float]
    callbacks: Sequence[OptunaCallback]
    tell: Progress
    crew: dict[Connection, _Worker] = field(default_factory=dict)
    lost: list[_Worker] = field(default_factory=list)  # dead, and it is not clear yet with which trial
    stillborn: int = 0

    def start(self, number: int) -> None:
        here, there = processes.context().Pipe()
        process = processes.start(work, self.job, there)
        there.close()  # the child's copy is the only one left: where it dies, `here` ends
        self.crew[here] = _Worker(number=number, process=process, link=here)

    def listen(self) -> None:
        """Wait for the workers and answer them."""
        for link in wait(list(self.crew)):
            worker = self.crew[link]  # type: ignore[index]
            try:
                message = worker.link.recv()
            except (EOFError, OSError):
                self._died(worker)
            else:
                self._hear(worker, message)
            self._replace_lost()

    def _hear(self, worker: _Worker, message: object) -> None:
        match message:
            case _Ready():
                worker.ready, self.stillborn = True, 0
                self._give(worker)
            case _Begun(trial):
                worker.trial = trial
                self.tell.begun(trial, worker.number)
            case _Epoch(trial, stats):
                self.tell.epoch(trial, stats)
            case _Ended(trial, stopped):
                self.study.stopped |= stopped
                worker.busy, worker.trial = False, None
                self._ended(trial)
                self._give(worker)
            case _Taken(trial):
                worker.trial = None
                self.tell.note(f"trial {trial}: another process has ended it, so that its result was dropped")
            case _Broken(cause):
                raise StudyError(f"worker {worker.number} failed: {cause}")

    def _give(self, worker: _Worker) -> None:
        """Give out a trial, or send the worker home."""
        worker.busy = self.left > 0 and not self.study.stopped
        self.left -= worker.busy
        with contextlib.suppress(OSError):  # it has just died: its link ends, and we hear of that
            worker.link.send(max(0.0, self.deadline() - time.monotonic()) if worker.busy else None)
        if not worker.busy:
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        del self.crew[worker.link]
        worker.process.join()
        worker.link.close()

    def _ended(self, trial: int) -> None:
        frozen = self.study.get_trials(deepcopy=False)[trial]
        for callback in self.callbacks:
            callback(self.study, copy.deepcopy(frozen))

    def _died(self, worker: _Worker) -> None:
        self._dismiss(worker)
        self.stillborn += not worker.ready
        if self.stillborn == _STILLBORN:
            raise StudyError(
                f"{_STILLBORN} workers in a row ended before they could begin ({_cause(worker)}); use --workers 1"
            )
        if worker.trial is not None:
            trial = self.study.get_trials(deepcopy=False)[worker.trial]
            ended = trial.state.is_finished() and "interrupted" not in trial.user_attrs
            if ended and not was_requeued(self.study, trial.number):
                self._ended(worker.trial)  # it died between the trial's end and telling so
                worker.busy = False
        self.lost.append(worker)

    def _replace_lost(self) -> None:
        """Fail the trials whose workers have died, queue them again, and start others in their place.

        A trial is theirs where it runs and no living worker has it. While a living one has yet to say which trial it
        has begun, that is not known.
        """
        if not self.lost or any(worker.busy and worker.trial is None for worker in self.crew.values()):
            return
        lost, self.lost = self.lost, []
        self.left += sum(worker.busy for worker in lost)
        kept = {worker.trial for worker in self.crew.values()}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in kept:
                continue
            its = next((worker for worker in lost if worker.trial == trial.number), lost[0])
            cause = f"its worker ended with {_cause(its)}"
            again = fail_lost(self.study, trial, cause)
            self.tell.note(f"trial {trial.number}: {cause}; {'it is tried again' if again else 'given up'}")
            if not again:
                self.left -= 1
                self._ended(trial.number)
        if self.left > 0 and not self.study.stopped:
            for worker in lost:
                self.start(worker.number)

    def end(self) -> None:
        """Stop the workers that are left, after an error or Ctrl-C; none of their trials stays behind as running."""
        crew = list(self.crew.values())
        for worker in crew:
            with contextlib.suppress(OSError):
                os.kill(worker.process.pid or 0, signal.SIGINT)
        limit = time.monotonic() + _GRACE
        for worker in crew:
            worker.process.join(max(0.0, limit - time.monotonic()))
            worker.process.kill()
            self._dismiss(worker)
        if crew or self.lost:
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                fail_lost(self.study, trial, "its worker was stopped")


def _cause(worker: _Worker) -> str:
    code = worker.process.exitcode
    if code is None or code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


# ---- the worker


def work(job: Job, link: Connection) -> None:
    """Be a worker: do trials until none is left."""
    try:
        signal.signal(signal.SIGINT, _interrupt_once)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        _work(job, link)
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        pass  # stopped, or the supervisor is gone
    except Exception as error:
        with contextlib.suppress(OSError):
            link.send(_Broken(" ".join(str(error).split()) or type(error).__name__))


def _interrupt_once(signum: int, frame: object) -> None:
    """Interrupt what runs; a second Ctrl-C must not interrupt the tidying up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _work(job: Job, link: Connection) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    optuna.logging.set_verbosity(job.verbosity)
    study = SharedStudy(
        job.study, open_storage(job.storage, on_stale=requeue_stale, opening=300.0), job.sampler, job.pruner
    )
    # Named samplers draw by the trial's number; a sampler of the caller's has the same random numbers in each worker.
    study.sampler.reseed_rng()

    def say(message: object) -> None:
        try:
            link.send(message)
        except OSError:
            raise KeyboardInterrupt from None  # nobody listens: the trial is dropped, as after Ctrl-C

    def run(trial: optuna.Trial) -> float:
        say(_Begun(trial.number))
        return objective(trial)

    objective = Objective(
        job.task,
        job.space,
        seed=job.seed,
        precision=job.precision,
        threads=job.threads,
        on_epoch=lambda number, stats: say(_Epoch(number, stats)),
    )
    link.send(_Ready())
    while (seconds := link.recv()) is not None:
        end = time.monotonic() + seconds
        objective.deadline = lambda end=end: end  # type: ignore[misc]
        run_trials(
            study,
            run,
            n_trials=1,
            callbacks=[lambda _, trial: say(_Ended(trial.number, study.stopped))],
            on_taken=lambda trial: say(_Taken(trial)),
        )
