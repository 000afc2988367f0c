"""The supervisor: assigns trials to workers one by one, and replaces workers that die or freeze.

The supervisor alone begins its workers' trials; a source says which. So it knows at every moment which worker has which
trial, and a worker that has lost its supervisor can begin none.

A worker that ends for whatever reason is replaced, and its trial is queued again. A worker that gives no sign of life
for `SILENCE` seconds, or ten times the longest silence so far, is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from lstm_tune.errors import StudyError
from lstm_tune.search.progress import Progress
from lstm_tune.search.study import SharedStudy
from lstm_tune.search.trial_queue import fail_and_requeue
from lstm_tune.storage.optuna_private import id_of_trial
from lstm_tune.workers import processes
from lstm_tune.workers.messages import Epoch, Job, Ready, RunTrial, TrialFinished, TrialLost, WorkerFailed
from lstm_tune.workers.sources import TrialSource
from lstm_tune.workers.worker import GRACE, work

SILENCE = 60.0  # seconds without a message after which a worker counts as frozen, or …
_PATIENCE = 10  # … this many times the longest silence of a worker that lived, if that is more
_START = 5  # times SILENCE for a worker that has yet to begin: it may have to import everything
_TICK = 1.0  # seconds between checks for silent workers
_MOST_FAILED_STARTS = 3  # in a row: something is wrong with all workers


@dataclass(kw_only=True, slots=True, eq=False)
class _Worker:
    number: int  # from 1; a worker that replaces it has the same one
    process: BaseProcess
    link: Connection
    ready: bool = False
    trial: int | None = None  # the number of its trial
    silent: float = 0.0  # seconds since its last message
    frozen: bool = False  # silent for so long that it was killed


@dataclass(kw_only=True, slots=True, eq=False)
class Supervisor:
    """Knows which worker has which trial.

    Attributes:
        study: whose trials are assigned.
        job: what each worker needs.
        source: of the trials.
        progress: told what happens.
        stop: whether the user wants to stop; asked after each wait for the workers.
        workers: the workers by their links.
        failed_starts: workers in a row that died before they were ready.
        longest_silence: seconds after which a silent worker sent a message again.
        last_check: when silent workers were last looked for.
    """

    study: SharedStudy
    job: Job
    source: TrialSource
    progress: Progress
    stop: Callable[[], bool] = lambda: False
    workers: dict[Connection, _Worker] = field(default_factory=dict)
    failed_starts: int = 0
    longest_silence: float = 0.0
    last_check: float = field(default_factory=time.monotonic)

    @property
    def at_work(self) -> bool:
        """Whether a trial runs or is to be assigned."""
        return any(worker.trial is not None for worker in self.workers.values()) or (
            (bool(self.workers) or self.source.has_others) and not self.source.exhausted
        )

    def start(self, number: int) -> None:
        """Start a worker."""
        here, there = processes.context().Pipe()
        process = processes.start(work, self.job, there)
        there.close()  # the child's copy is the only one left: when the child dies, `here` ends
        self.workers[here] = _Worker(number=number, process=process, link=here)

    def listen(self) -> None:
        """Wait for messages, answer them, and kill workers that are silent for too long."""
        heard = wait(list(self.workers), timeout=_TICK)
        if self.stop():
            raise KeyboardInterrupt  # if Ctrl-C has reached the workers, too, they have ended: they need no replacement
        # This process may have been suspended together with its workers: that does not mean that they are frozen.
        passed = min(time.monotonic() - self.last_check, SILENCE / 2)
        self.last_check = time.monotonic()
        for worker in list(self.workers.values()):
            if worker.link in heard:
                self._answer(worker)
            elif not worker.ready or worker.trial is not None:
                worker.silent += passed
                if worker.silent > self._patience(worker):
                    worker.frozen = True
                    worker.process.kill()  # its link ends, and the next `wait` shows it
        self.source.look()
        for worker in list(self.workers.values()):
            if worker.ready and worker.trial is None:
                self._assign(worker)

    def _patience(self, worker: _Worker) -> float:
        return max(SILENCE, _PATIENCE * self.longest_silence) if worker.ready else _START * SILENCE

    def _answer(self, worker: _Worker) -> None:
        try:
            message = worker.link.recv()
        except (EOFError, OSError):
            self._died(worker)
            return
        if worker.ready:
            self.longest_silence = max(self.longest_silence, worker.silent)
        worker.silent = 0.0
        match message:
            case Ready():
                worker.ready, self.failed_starts = True, 0
                self._assign(worker)
            case Epoch(trial, stats):
                self.progress.epoch(trial, stats)
            case TrialFinished(stopped):
                self.study.stopped |= stopped
                assert worker.trial is not None
                ended, worker.trial = worker.trial, None
                self.source.ended(ended)
                self._assign(worker)
            case TrialLost():
                self.progress.info(
                    f"trial {worker.trial}: another process has ended it, so that its result was dropped"
                )
                self.source.queued_again()
                worker.trial = None
                self._assign(worker)
            case WorkerFailed(cause):
                raise StudyError(
                    f"worker {worker.number} failed: {cause}; put it right and repeat tune with resume=True"
                )

    def _assign(self, worker: _Worker) -> None:
        """Assign the next trial, if there is one at the moment; if no further one will come, stop the worker."""
        if self.source.exhausted:
            with contextlib.suppress(OSError):
                worker.link.send(None)
            self._stop_worker(worker)
            return
        trial = self.source.take()
        if trial is None:
            return
        worker.trial = trial.number
        self.progress.trial_started(trial.number, worker.number)
        with contextlib.suppress(OSError):  # it has just died: the next `wait` shows it
            worker.link.send(RunTrial(id_of_trial(trial), self.source.seconds()))

    def _stop_worker(self, worker: _Worker) -> None:
        del self.workers[worker.link]
        worker.process.join(GRACE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join(GRACE)
        worker.link.close()

    def _died(self, worker: _Worker) -> None:
        """Replace a worker, fail its trial, and queue the trial again."""
        self._stop_worker(worker)
        self.failed_starts += not worker.ready
        if self.failed_starts == _MOST_FAILED_STARTS:
            raise StudyError(
                f"{_MOST_FAILED_STARTS} workers in a row ended before they could begin ({_cause(worker)}); "
                f"use workers=1"
            )
        if worker.trial is not None:
            self._lost(worker, worker.trial)
        if not self.source.exhausted:
            self.start(worker.number)

    def _lost(self, worker: _Worker, number: int) -> None:
        cause = f"its worker ended with {_cause(worker)}"
        if worker.frozen:
            cause = f"its worker gave no sign of life for {worker.silent:.0f} s and was killed"
        fate = fail_and_requeue(self.study, number, cause)
        if fate != "ended":  # otherwise it died after the trial had ended, before it could report that
            self.progress.info(f"trial {number}: {cause}; {'it is tried again' if fate == 'queued' else 'given up'}")
        if fate == "queued":
            self.source.queued_again()
        else:
            self.source.ended(number)

    def end(self) -> None:
        """Stop the remaining workers after an error or Ctrl-C, and fail their trials: none is left as running."""
        workers = list(self.workers.values())
        for worker in workers:
            with contextlib.suppress(OSError):
                os.kill(worker.process.pid or 0, signal.SIGINT)
        limit = time.monotonic() + GRACE
        for worker in workers:
            worker.process.join(max(0.0, limit - time.monotonic()))
            worker.process.kill()
            self._stop_worker(worker)
        for worker in workers:
            if worker.trial is not None:
                self.source.leave(worker.trial)


def _cause(worker: _Worker) -> str:
    code = worker.process.exitcode
    if code is None or code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
