"""The search step of `tune`: runs what is left of the study's budget, in this process or in several workers."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from lstm_tune.errors import StudyError
from lstm_tune.pipeline.members import choose
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.pipeline.prepare import OpenStudy
from lstm_tune.pipeline.resources import Resources
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.search.budget import RetrainCost
from lstm_tune.search.optimize import optimize as run_trials
from lstm_tune.search.progress import Progress
from lstm_tune.search.stop_rules import (
    CUT_IN_A_ROW,
    REPEATED_IN_A_ROW,
    cut_in_a_row,
    gained_nothing,
    repeated_in_a_row,
    stop_after_failures,
)
from lstm_tune.search.study import OptunaCallback, SharedStudy
from lstm_tune.search.task_objective import TaskObjective, Trained
from lstm_tune.search.trial_queue import counted_trials, enqueue_known, fail_own_interrupted, fail_waiting
from lstm_tune.search.trials import Trial, completed, read_trials
from lstm_tune.storage.database_kind import is_database, seconds_between_questions
from lstm_tune.storage.optuna_private import storage_of
from lstm_tune.training.task import Task
from lstm_tune.utils.escaping import shell
from lstm_tune.utils.process import this_run
from lstm_tune.utils.signals import StopRequest
from lstm_tune.workers.coordinated import CoordinatedTickets
from lstm_tune.workers.messages import Job
from lstm_tune.workers.pool import optimize
from lstm_tune.workers.ray_tasks import RayTasks
from lstm_tune.workers.sources import Budget

_NOTHING = 0.5  # seconds; a clock shows 0:00


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SearchOutcome:
    """The study after its last trial.

    Attributes:
        trials: all of them, read once: what is done with them later does not depend on who else reads or writes.
        best: the completed trial of the least value; None: none was completed before the study was interrupted.
        weights: of the best trial among those of this process; None: the trials were in other processes.
        interrupted: whether Ctrl-C or SIGTERM ended it; its running trials were failed, to be retried on resume.
        levelled_off: whether the study ended by itself since its last trials gained nothing.
    """

    trials: tuple[Trial, ...]
    best: Trial | None
    weights: Trained | None
    interrupted: bool
    levelled_off: bool

    @property
    def own(self) -> Trained | None:
        """The best trial's weights, if this process has trained it."""
        found = self.weights is not None and self.best is not None and self.weights.number == self.best.number
        return self.weights if found else None


def _retrain_cost(options: TuneOptions, task: Task, resources: Resources) -> RetrainCost:
    """Return how the time of a trial becomes that of its retrain."""
    one_thread = max(task.folds[0].samples, sum(f.samples for f in task.folds) / resources.threads_each)
    growth = task.retrain_samples / one_thread
    again = len(task.folds) if options.levels else 0  # trainings of every member for the intervals
    return RetrainCost(seeds=options.retrain_seeds + again, threads=resources.threads, growth=growth)


@dataclass(slots=True)
class _StopRule:
    """An Optuna callback that ends the study: time is up, more trials no longer help, or the user wants to stop."""

    options: TuneOptions
    end: Callable[[], float]  # when trials must be over, as far as the trials show until now
    stop: StopRequest
    progress: Progress
    before: int  # trials that counted when this call began
    stopped: bool = False  # trials of other workers may still end after that; the reason is shown once

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.progress.trial(Trial.of(trial))
        if self.stopped:
            return
        over = self.stop.requested or time.monotonic() >= self.end()
        if over or self.ends_early(study):
            self.stopped = True
            study.stop()

    def no_longer_helps(self, study: optuna.Study) -> bool:
        """Return whether the last trials gained nothing, and say so."""
        return self.options.patience is not None and self._say(read_trials(study), self._gained_nothing)

    def ends_early(self, study: optuna.Study) -> bool:
        """Return whether further trials would bring nothing, and say why."""
        if self.options.patience is None and self.options.seconds is None and self.options.trials is not None:
            return False
        trials = read_trials(study)
        return any(self._say(trials, rule) for rule in (self._gained_nothing, self._no_epoch_fits, self._only_repeats))

    def _say(self, trials: Sequence[Trial], rule: Callable[[Sequence[Trial]], str]) -> bool:
        if reason := rule(trials):
            self.progress.info(f"stopped after {len(counted_trials(trials))} trials: {reason}")
        return bool(reason)

    def _gained_nothing(self, trials: Sequence[Trial]) -> str:
        patience = self.options.patience
        if patience is None or not gained_nothing(trials, patience):
            return ""
        return (
            f"the last {patience} took less than 1% off the best validation score; for more pass n_trials= or "
            f"timeout=, and resume=True to go on"
        )

    def _no_epoch_fits(self, trials: Sequence[Trial]) -> str:
        if self.options.seconds is None or not cut_in_a_row(trials, self.before):
            return ""
        return (
            f"the time limit ended the last {CUT_IN_A_ROW} before their first epoch; for more pass a longer timeout=, "
            f"and resume=True to go on"
        )

    def _only_repeats(self, trials: Sequence[Trial]) -> str:
        """Time alone would end the study though its space is used up."""
        if self.options.trials is not None or not repeated_in_a_row(trials):
            return ""
        return (
            f"the last {REPEATED_IN_A_ROW} repeated earlier ones, since the search space holds few configurations; "
            f"write ranges instead of values into the space"
        )


def search(
    opened: OpenStudy,
    task: Task,
    context: RunContext,
    callbacks: Sequence[OptunaCallback],
) -> SearchOutcome:
    """Run what is left of the study's budget, in this process or in several workers.

    Args:
        opened: the study.
        task: what the trials share.
        context: trials, patience, seed; the deadline.
        callbacks: called in this process after every trial.

    Raises:
        StudyError: ten trials in a row failed, the workers cannot work, or no trial was completed.
    """
    options, clock, stop, progress = context.options, context.clock, context.stop, context.progress
    study, resources = opened.study, opened.resources
    cost = _retrain_cost(options, task, resources)

    def retrain_seconds() -> float | None:
        chosen = choose(read_trials(study), task, options.retrain_seeds, opened.space.n_known)
        outcomes = [(trial.completed(), part) for trial, part in chosen]
        return cost.seconds([outcome for outcome, part in outcomes if part.epochs == outcome.best_epoch])

    rule = _StopRule(options, lambda: clock.study_end(retrain_seconds()), stop, progress, opened.trials_before)
    objective = TaskObjective(
        task,
        opened.space,
        seed=options.seed,
        precision=opened.precision,
        threads=resources.threads_each,
        on_epoch=progress.epoch,
        deadline=lambda: clock.trial_end(retrain_seconds()),
        stop=lambda: stop.requested,
    )
    done = opened.trials_before
    enqueue_known(study, opened.space, options.trials)
    remaining = None if options.trials is None else max(0, options.trials - done)
    left = clock.left()
    if left is not None and left < _NOTHING and remaining != 0:
        after = f"which began after {clock.elapsed:.0f} s"
        progress.info(f"the time limit left nothing for trials, {after}; pass a longer timeout=")
    progress.begin(options.trials, done, left)
    if remaining != 0 and not rule.no_longer_helps(study):
        every: list[OptunaCallback] = [rule, stop_after_failures, *callbacks]
        try:
            _run_trials(opened, objective, options, remaining, every, progress)
        except KeyboardInterrupt:
            if not stop.requested:
                stop.request()  # a callback raised it, or a signal handler that is not ours
            fail_own_interrupted(study, this_run())
        except Exception:
            if _is_deleted(study):
                raise StudyError(
                    f"study {study.study_name!r} is no longer in its storage: it was deleted while it ran, and its "
                    f"trials with it; run tune again without resume=True"
                ) from None
            raise
    interrupted = stop.requested
    if not interrupted:  # else a resumed study goes on with the same numbers
        fail_waiting(study)
    trials = read_trials(study)
    best = _find_best(trials, clock.timeout, needed=not interrupted)
    levelled_off = options.patience is not None and gained_nothing(trials, options.patience)
    return SearchOutcome(
        trials=trials, best=best, weights=objective.best, interrupted=interrupted, levelled_off=levelled_off
    )


def _is_deleted(study: optuna.Study) -> bool:
    """Return whether a storage that answers no longer holds a study."""
    with contextlib.suppress(Exception):
        return study.study_name not in optuna.get_all_study_names(storage_of(study))
    return False


def _run_trials(
    opened: OpenStudy,
    objective: TaskObjective,
    options: TuneOptions,
    n_trials: int | None,
    callbacks: Sequence[OptunaCallback],
    progress: Progress,
) -> None:
    """Do `n_trials` trials (None: until the study is stopped), in this process or in several workers."""
    study, cluster = opened.study, opened.resources.cluster
    workers = 0 if cluster is not None else opened.resources.workers
    if workers == 1:
        lost = "another process has ended it, so that its result was dropped"
        run_trials(
            study,
            objective,
            n_trials=n_trials,
            callbacks=callbacks,
            on_lost=lambda number: progress.info(f"trial {number}: {lost}"),
        )
        return
    job = _job(opened, objective)
    shared = SharedStudy(study.study_name, storage_of(study), study.sampler, study.pruner)
    watch: dict[str, Any] = {"progress": progress, "stop": objective.stop}
    if workers and not is_database(storage_of(study)):
        left = math.inf if n_trials is None else n_trials
        source = Budget(study=shared, run=job.run, left=left, deadline=objective.deadline, callbacks=callbacks)
        optimize(shared, job, min(workers, workers if n_trials is None else n_trials), source=source, **watch)
        return
    tickets = CoordinatedTickets(
        study=shared,
        run=job.run,
        n_trials=options.trials,
        local=workers,
        few=options.patience is not None,
        deadline=objective.deadline,
        callbacks=callbacks,
        progress=progress,
    )
    remote: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if cluster is not None:
        remote = tasks = RayTasks(
            cluster=cluster, job=job, number=opened.resources.workers, device=options.device, progress=progress
        )
        tickets.watch = tasks.look
    elif workers == 0:
        storage = "" if opened.shown_storage is None else f" --storage {shell(opened.shown_storage)}"
        progress.info(f"waits for workers: lstm-tune worker {shell(study.study_name)} DATA{storage}")
    try:
        with remote:
            optimize(shared, job, workers, source=tickets, **watch)
    except BaseException:
        with contextlib.suppress(Exception):  # the error counts
            tickets.close()
        raise


def _job(opened: OpenStudy, objective: TaskObjective) -> Job:
    """Return what each worker needs."""
    study = opened.study
    assert opened.storage is not None
    return Job(
        storage=opened.storage,
        study=study.study_name,
        sampler=study.sampler,
        pruner=study.pruner,
        task=objective.task,
        space=opened.space,
        seed=objective.seed,
        precision=objective.precision,
        threads=objective.threads,
        ask_every=seconds_between_questions(storage_of(study)),
        verbosity=optuna.logging.get_verbosity(),
        run=this_run(),
    )


def _find_best(trials: Sequence[Trial], timeout: float | None, *, needed: bool) -> Trial | None:
    """Return the completed trial of the least value, or None if there is none and none is needed.

    Raises:
        StudyError: a completed trial is needed; the text says why there is none. Or the time limit ended all of them
            before their first epoch, and they begin from no simple forecast: their weights are random.
    """
    ranked = completed(trials)
    if needed and timeout is not None and ranked and all(map(_is_random, ranked)):
        raise StudyError(f"no epoch fitted into the time limit of {timeout:g} s; pass a longer timeout=")
    if ranked or not needed:
        return ranked[0] if ranked else None
    reason = next((t.pruned_because for t in reversed(trials) if t.pruned_because), "none was begun")
    raise StudyError(f"no trial was completed (last reason: {reason}); allow more trials or time, or another space")


def _is_random(trial: Trial) -> bool:
    done = trial.completed()
    return done.stopped == "time" and not done.epochs and not done.config.starts_from_simple_forecast
