"""The supervisor: gives out trials to workers one by one, and replaces those that die or freeze.

The supervisor alone begins trials, so that it knows at every moment which worker has which one, and a worker that has
lost its supervisor can begin none.

A worker that ends, by whatever, is replaced, and its trial done again. One that gives no sign of life for `SILENCE`
seconds, or ten times the longest silence so far, is killed.
"""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from lstm_tune.errors import StudyError
from lstm_tune.search.progress import Progress
from lstm_tune.search.study import OptunaCallback, SharedStudy
from lstm_tune.search.trial_queue import begin_trial, fail_and_requeue, fail_interrupted
from lstm_tune.storage.optuna_private import id_of_trial
from lstm_tune.workers import processes
from lstm_tune.workers.messages import Epoch, Job, Ready, RunTrial, TrialFinished, TrialLost, WorkerFailed
from lstm_tune.workers.worker import GRACE, work

SILENCE = 60.0  # seconds without a sign of life, at least, after which a worker counts as frozen …
_PATIENCE = 10  # … and times the longest silence after which one was heard again …
_START = 5  # … and times SILENCE for one that has yet to begin: it may have to import everything
_TICK = 1.0  # seconds between looks at who is silent
_MOST_FAILED_STARTS = 3  # workers in a row that died before they were ready: something is wrong with all of them


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
class Supervisor:
    """Who has which trial, and how many are left.

    Attributes:
        study: whose trials are given out.
        job: what each worker needs.
        trials_left: trials that may still be given out.
        deadline: called before a trial; returns the time (`time.monotonic`) at which it must stop with what it has.
        callbacks: called after each trial.
        progress: told what happens.
        stop: whether the user wants to stop; looked at whenever a worker was waited for.
        workers: the workers by their links.
        failed_starts: workers in a row that died before they were ready.
        longest_silence: seconds of silence after which a worker was heard again.
        last_check: when somebody silent was last looked for.
    """

    study: SharedStudy
    job: Job
    trials_left: float
    deadline: Callable[[], float]
    callbacks: Sequence[OptunaCallback]
    progress: Progress
    stop: Callable[[], bool] = lambda: False
    workers: dict[Connection, _Worker] = field(default_factory=dict)
    failed_starts: int = 0
    longest_silence: float = 0.0
    last_check: float = field(default_factory=time.monotonic)

    @property
    def at_work(self) -> bool:
        """Whether a trial runs or is to be given out."""
        return any(worker.trial is not None for worker in self.workers.values()) or (
            bool(self.workers) and self.trials_left > 0 and not self.study.stopped
        )

    def start(self, number: int) -> None:
        """Start a worker."""
        here, there = processes.context().Pipe()
        process = processes.start(work, self.job, there)
        there.close()  # the child's copy is the only one left: where it dies, `here` ends
        self.workers[here] = _Worker(number=number, process=process, link=here)

    def listen(self) -> None:
        """Wait for the workers, answer them, and look for those that are silent."""
        heard = wait(list(self.workers), timeout=_TICK)
        if self.stop():
            raise KeyboardInterrupt  # a Ctrl-C that reaches the workers, too, ends them: that is no loss to mend
        # This process may have been suspended itself, and the workers with it: that alone makes nobody frozen.
        passed = min(time.monotonic() - self.last_check, SILENCE / 2)
        self.last_check = time.monotonic()
        for worker in list(self.workers.values()):
            if worker.link in heard:
                self._answer(worker)
            else:
                worker.silent += passed
                if worker.silent > self._patience(worker):
                    worker.frozen = True
                    worker.process.kill()  # its link ends, and we hear of that

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
                self._ended(ended)
                self._assign(worker)
            case TrialLost():
                self.progress.info(
                    f"trial {worker.trial}: another process has ended it, so that its result was dropped"
                )
                self.trials_left += 1
                worker.trial = None
                self._assign(worker)
            case WorkerFailed(cause):
                raise StudyError(f"worker {worker.number} failed: {cause}")

    def _assign(self, worker: _Worker) -> None:
        """Give out a trial, or send the worker home."""
        if self.trials_left <= 0 or self.study.stopped:
            with contextlib.suppress(OSError):
                worker.link.send(None)
            self._stop_worker(worker)
            return
        self.trials_left -= 1
        trial = begin_trial(self.study, self.job.run)
        worker.trial = trial.number
        self.progress.trial_started(trial.number, worker.number)
        with contextlib.suppress(OSError):  # it has just died: its link ends, and we hear of that
            worker.link.send(RunTrial(id_of_trial(trial), max(0.0, self.deadline() - time.monotonic())))

    def _stop_worker(self, worker: _Worker) -> None:
        del self.workers[worker.link]
        worker.process.join(GRACE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join(GRACE)
        worker.link.close()

    def _ended(self, trial: int) -> None:
        frozen = self.study.get_trials(deepcopy=False)[trial]
        for callback in self.callbacks:
            callback(self.study, copy.deepcopy(frozen))

    def _died(self, worker: _Worker) -> None:
        """Replace a worker, fail its trial, and queue that again."""
        self._stop_worker(worker)
        self.failed_starts += not worker.ready
        if self.failed_starts == _MOST_FAILED_STARTS:
            raise StudyError(
                f"{_MOST_FAILED_STARTS} workers in a row ended before they could begin ({_cause(worker)}); "
                f"use --workers 1"
            )
        if worker.trial is not None:
            self._lost(worker, worker.trial)
        if self.trials_left > 0 and not self.study.stopped:
            self.start(worker.number)

    def _lost(self, worker: _Worker, number: int) -> None:
        cause = f"its worker ended with {_cause(worker)}"
        if worker.frozen:
            cause = f"its worker gave no sign of life for {worker.silent:.0f} s and was killed"
        fate = fail_and_requeue(self.study, number, cause)
        if fate != "ended":  # or else it died between the trial's end and telling so
            self.progress.info(f"trial {number}: {cause}; {'it is tried again' if fate == 'queued' else 'given up'}")
        if fate == "queued":
            self.trials_left += 1
        else:
            self._ended(number)

    def end(self) -> None:
        """Stop the workers that are left, after an error or Ctrl-C; none of their trials stays behind as running."""
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
                fail_interrupted(self.study, worker.trial)


def _cause(worker: _Worker) -> str:
    code = worker.process.exitcode
    if code is None or code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
