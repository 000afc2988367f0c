"""Workers: processes that share one study, and the supervisor that gives out trials to them one by one.

The study lives in the storage. The supervisor alone begins trials, so that it knows at every moment which worker has
which one, and a worker that has lost its supervisor can begin none. Over its pipe a worker hears which trial is next
and how many seconds it may take (None: it is not needed any more), and tells what it does.

A worker that ends, by whatever, is replaced, and its trial done again. One that gives no sign of life for `SILENCE`
seconds, or ten times the longest silence so far, is killed. Without a supervisor workers end by themselves.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

import optuna
import torch
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage

from lstm_tune import processes
from lstm_tune.allocator import keep_freed_memory
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.interrupts import held
from lstm_tune.objective import Objective
from lstm_tune.progress import Progress
from lstm_tune.space import Space
from lstm_tune.storage import open_storage
from lstm_tune.study import OptunaCallback, begin_trial, drop, fail_lost, requeue_stale
from lstm_tune.study import optimize as run_trials
from lstm_tune.task import Task
from lstm_tune.train import EpochStats

SILENCE = 60.0  # seconds without a sign of life, at least, after which a worker counts as frozen …
_PATIENCE = 10  # … and times the longest silence after which one was heard again …
_START = 5  # … and times SILENCE for one that has yet to begin: it may have to import everything
_BEAT = 2.0  # seconds between a worker's looks at whether its trial advances and its supervisor lives
_TICK = 1.0  # seconds between the supervisor's looks at who is silent
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
    run: str  # the supervisor's name, which its trials carry


@dataclass(frozen=True, slots=True)
class _Go:
    """What the supervisor gives out."""

    trial_id: int
    seconds: float


# What a worker tells.


@dataclass(frozen=True, slots=True)
class _Ready:
    pass


@dataclass(frozen=True, slots=True)
class _Alive:
    pass


@dataclass(frozen=True, slots=True)
class _Epoch:
    trial: int
    stats: EpochStats


@dataclass(frozen=True, slots=True)
class _Ended:
    stopped: bool  # whether the sampler or the pruner asked to stop the study


@dataclass(frozen=True, slots=True)
class _Taken:
    """Another process has ended the trial."""


@dataclass(frozen=True, slots=True)
class _Broken:
    cause: str


class SharedStudy(optuna.Study):
    """A study whose trials are begun elsewhere, and which remembers `stop`: no one loop of `optimize` could end."""

    stopped = False
    given: int | None = None  # the id of the trial that is next

    def stop(self) -> None:
        """Let no further trial begin; those that run go on."""
        self.stopped = True

    def _pop_waiting_trial_id(self) -> int:
        trial, self.given = self.given, None
        assert trial is not None
        return trial


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
        while supervisor.at_work:
            supervisor.listen()
    finally:
        supervisor.end()


@dataclass(kw_only=True, slots=True, eq=False)
class _Worker:
    number: int  # from 1; its successor takes it over
    process: BaseProcess
    link: Connection
    ready: bool = False
    trial: int | None = None  # the number of the trial that it has
    silent: float = 0.0  # seconds since it was last heard
    frozen: bool = False  # and killed for it


@dataclass(kw_only=True, slots=True, eq=False)
class _Supervisor:
    study: SharedStudy
    job: Job
    left: float  # trials that may still be given out
    deadline: Callable[[], float]
    callbacks: Sequence[OptunaCallback]
    tell: Progress
    crew: dict[Connection, _Worker] = field(default_factory=dict)
    stillborn: int = 0
    longest: float = 0.0  # silence after which a worker was heard again
    looked: float = field(default_factory=time.monotonic)

    @property
    def at_work(self) -> bool:
        """Whether a trial runs or is to be given out."""
        return any(worker.trial is not None for worker in self.crew.values()) or (
            bool(self.crew) and self.left > 0 and not self.study.stopped
        )

    def start(self, number: int) -> None:
        here, there = processes.context().Pipe()
        process = processes.start(work, self.job, there)
        there.close()  # the child's copy is the only one left: where it dies, `here` ends
        self.crew[here] = _Worker(number=number, process=process, link=here)

    def listen(self) -> None:
        """Wait for the workers, answer them, and look for those that are silent."""
        heard = wait(list(self.crew), timeout=_TICK)
        # This process may have been suspended itself, and the workers with it: that alone makes nobody frozen.
        passed = min(time.monotonic() - self.looked, SILENCE / 2)
        self.looked = time.monotonic()
        for worker in list(self.crew.values()):
            if worker.link in heard:
                self._answer(worker)
            else:
                worker.silent += passed
                if worker.silent > self._patience(worker):
                    worker.frozen = True
                    worker.process.kill()  # its link ends, and we hear of that

    def _patience(self, worker: _Worker) -> float:
        return max(SILENCE, _PATIENCE * self.longest) if worker.ready else _START * SILENCE

    def _answer(self, worker: _Worker) -> None:
        try:
            message = worker.link.recv()
        except (EOFError, OSError):
            self._died(worker)
            return
        if worker.ready:
            self.longest = max(self.longest, worker.silent)
        worker.silent = 0.0
        match message:
            case _Ready():
                worker.ready, self.stillborn = True, 0
                self._give(worker)
            case _Epoch(trial, stats):
                self.tell.epoch(trial, stats)
            case _Ended(stopped):
                self.study.stopped |= stopped
                assert worker.trial is not None
                ended, worker.trial = worker.trial, None
                self._ended(ended)
                self._give(worker)
            case _Taken():
                self.tell.note(f"trial {worker.trial}: another process has ended it, so that its result was dropped")
                self.left += 1
                worker.trial = None
                self._give(worker)
            case _Broken(cause):
                raise StudyError(f"worker {worker.number} failed: {cause}")

    def _give(self, worker: _Worker) -> None:
        """Give out a trial, or send the worker home."""
        if self.left <= 0 or self.study.stopped:
            with contextlib.suppress(OSError):
                worker.link.send(None)
            self._dismiss(worker)
            return
        self.left -= 1
        trial = begin_trial(self.study, self.job.run)
        worker.trial = trial.number
        self.tell.begun(trial.number, worker.number)
        with contextlib.suppress(OSError):  # it has just died: its link ends, and we hear of that
            worker.link.send(_Go(trial._trial_id, max(0.0, self.deadline() - time.monotonic())))

    def _dismiss(self, worker: _Worker) -> None:
        del self.crew[worker.link]
        worker.process.join(_GRACE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join(_GRACE)
        worker.link.close()

    def _ended(self, trial: int) -> None:
        frozen = self.study.get_trials(deepcopy=False)[trial]
        for callback in self.callbacks:
            callback(self.study, copy.deepcopy(frozen))

    def _died(self, worker: _Worker) -> None:
        """Replace a worker, fail its trial, and queue that again."""
        self._dismiss(worker)
        self.stillborn += not worker.ready
        if self.stillborn == _STILLBORN:
            raise StudyError(
                f"{_STILLBORN} workers in a row ended before they could begin ({_cause(worker)}); use --workers 1"
            )
        if worker.trial is not None:
            self._lost(worker, worker.trial)
        if self.left > 0 and not self.study.stopped:
            self.start(worker.number)

    def _lost(self, worker: _Worker, number: int) -> None:
        cause = f"its worker ended with {_cause(worker)}"
        if worker.frozen:
            cause = f"its worker gave no sign of life for {worker.silent:.0f} s and was killed"
        fate = fail_lost(self.study, self.study.get_trials(deepcopy=False)[number], cause)
        if fate != "ended":  # or else it died between the trial's end and telling so
            self.tell.note(f"trial {number}: {cause}; {'it is tried again' if fate == 'queued' else 'given up'}")
        if fate == "queued":
            self.left += 1
        else:
            self._ended(number)

    def end(self) -> None:
        """Stop the workers that are left, after an error or Ctrl-C; none of their trials stays behind as running."""
        with held():
            crew = list(self.crew.values())
            for worker in crew:
                with contextlib.suppress(OSError):
                    os.kill(worker.process.pid or 0, signal.SIGINT)
            limit = time.monotonic() + _GRACE
            for worker in crew:
                worker.process.join(max(0.0, limit - time.monotonic()))
                worker.process.kill()
                self._dismiss(worker)
            for worker in crew:
                if worker.trial is not None:
                    drop(self.study, self.study.get_trials(deepcopy=False)[worker.trial])


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
    except (KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        pass  # stopped, or the supervisor is gone
    except Exception as error:
        with contextlib.suppress(OSError):
            link.send(_Broken(" ".join(str(error).split()) or type(error).__name__))


def _interrupt_once(signum: int, frame: object) -> None:
    """Interrupt what runs; a second Ctrl-C must not interrupt the tidying up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


class _TakenAway(Exception):
    """Another process has ended the trial."""


def _work(job: Job, link: Connection) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    optuna.logging.set_verbosity(job.verbosity)
    storage = open_storage(job.storage, on_stale=requeue_stale, opening=_OUTAGE)
    study = SharedStudy(job.study, storage, job.sampler, job.pruner)
    # Named samplers draw by the trial's number; a sampler of the caller's has the same random numbers in each worker.
    study.sampler.reseed_rng()
    one_at_a_time = threading.Lock()

    def say(message: object) -> None:
        try:
            with one_at_a_time:
                link.send(message)
        except OSError:
            raise KeyboardInterrupt from None  # nobody listens: the trial is dropped, as after Ctrl-C

    def taken(trial: int) -> None:
        raise _TakenAway

    objective = Objective(
        job.task,
        job.space,
        seed=job.seed,
        precision=job.precision,
        threads=job.threads,
        on_epoch=lambda number, stats: say(_Epoch(number, stats)),
    )
    say(_Ready())
    threading.Thread(target=_watch, args=(objective, storage, say), daemon=True).start()
    while (go := link.recv()) is not None:
        end = time.monotonic() + go.seconds
        objective.deadline = lambda end=end: end  # type: ignore[misc]
        study.given = go.trial_id
        try:
            run_trials(study, objective, n_trials=1, callbacks=(), on_taken=taken)
        except _TakenAway:
            say(_Taken())
        else:
            say(_Ended(study.stopped))


def _watch(objective: Objective, storage: BaseStorage, say: Callable[[object], None]) -> None:
    """Tell the supervisor as long as the trial advances; end this process soon after the supervisor's."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which is the main thread's
    supervisor = parent_process()
    assert supervisor is not None
    before = 0, 0
    with contextlib.suppress(KeyboardInterrupt):  # nobody listens any more
        while not wait([supervisor.sentinel], timeout=_BEAT):
            if (signs := (objective.steps, getattr(storage, "attempts", 0))) != before:
                before = signs
                say(_Alive())
    os.kill(os.getpid(), signal.SIGINT)  # drops the trial
    time.sleep(_GRACE)
    os._exit(1)
