"""A worker: a process that runs the trials which its supervisor assigns to it, one by one.

It begins no trial by itself. When its supervisor has ended, it fails its trial as interrupted and ends. If it is frozen
at that moment, the kernel wakes it, see `processes.end_with_starter`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

import optuna
import torch
from optuna.storages import BaseStorage

from lstm_tune.search.optimize import optimize
from lstm_tune.search.study import SharedStudy
from lstm_tune.search.task_objective import TaskObjective
from lstm_tune.storage.buffered import inside
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.open import open_storage
from lstm_tune.utils.process import keep_freed_memory
from lstm_tune.workers.messages import Alive, Epoch, Job, Ready, TrialFinished, TrialLost, WorkerFailed

GRACE = 5.0  # seconds in which an interrupted worker must end; then it is killed
_BEAT = 2.0  # seconds between looks at whether the trial advances and the supervisor lives
_OUTAGE = 300.0  # seconds for which a worker that begins waits for the storage


def work(job: Job, link: Connection) -> None:
    """Run trials until none is left."""
    try:
        signal.signal(signal.SIGINT, interrupt_once)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        _work(job, link)
    except (KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        pass  # stopped, or the supervisor is gone
    except Exception as error:
        with contextlib.suppress(OSError, KeyboardInterrupt):  # the supervisor is gone, or stops us meanwhile
            link.send(WorkerFailed(" ".join(str(error).split()) or type(error).__name__))


def interrupt_once(signum: int, frame: object) -> None:
    """Interrupt the trial; a second Ctrl-C must not interrupt the clean-up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


class _LostTrial(Exception):
    """Another process has ended the trial."""


def _work(job: Job, link: Connection) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    optuna.logging.set_verbosity(job.verbosity)
    storage = open_storage(job.storage, Opening(seconds=_OUTAGE, create=False))
    study = SharedStudy(job.study, storage, job.sampler, job.pruner)
    # Named samplers draw by the trial's number; the caller's own sampler would draw the same numbers in each worker.
    study.sampler.reseed_rng()
    one_at_a_time = threading.Lock()

    def say(message: object) -> None:
        try:
            with one_at_a_time:
                link.send(message)
        except OSError:
            raise KeyboardInterrupt from None  # the supervisor is gone: the trial is interrupted, as by Ctrl-C

    def taken(trial: int) -> None:
        raise _LostTrial

    objective = TaskObjective(
        job.task,
        job.space,
        seed=job.seed,
        precision=job.precision,
        threads=job.threads,
        ask_every=job.ask_every,
        on_epoch=lambda number, stats: say(Epoch(number, stats)),
    )
    say(Ready())
    threading.Thread(target=_watch, args=(objective, storage, say), daemon=True).start()
    while (go := link.recv()) is not None:
        end = time.monotonic() + go.seconds
        objective.deadline = lambda end=end: end  # type: ignore[misc]
        study.given = go.trial_id
        try:
            optimize(study, objective, n_trials=1, callbacks=(), on_lost=taken)
        except _LostTrial:
            say(TrialLost())
        else:
            say(TrialFinished(study.stopped))


def _watch(objective: TaskObjective, storage: BaseStorage, say: Callable[[object], None]) -> None:
    """Send a sign of life as long as the trial advances; end this process soon after the supervisor's."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which is the main thread's
    supervisor = parent_process()
    assert supervisor is not None
    before = 0, 0
    with contextlib.suppress(KeyboardInterrupt):  # the supervisor is gone
        while not wait([supervisor.sentinel], timeout=_BEAT):
            if (signs := (objective.steps, getattr(inside(storage), "attempts", 0))) != before:
                before = signs
                say(Alive())
    os.kill(os.getpid(), signal.SIGINT)  # interrupts the trial
    time.sleep(GRACE)
    os._exit(1)
