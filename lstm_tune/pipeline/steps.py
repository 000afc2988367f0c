"""The phases of `tune` before the test (study, choice, retrain), each a function of one record that they share."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from lstm_tune.config import Config
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.data.windows import Windows
from lstm_tune.errors import StudyError
from lstm_tune.search.budget import Budget
from lstm_tune.search.objective import Objective
from lstm_tune.search.progress import Progress
from lstm_tune.search.study import (
    OptunaCallback,
    candidates,
    completed,
    enqueue_known,
    gained_nothing,
    stop_after_failures,
)
from lstm_tune.search.study import optimize as run_trials
from lstm_tune.search.trial_queue import fail_own_interrupted, n_counted
from lstm_tune.training.ensemble import MEMBERS, Part, weigh
from lstm_tune.training.retrain import Member, Retrained, retrain, retrain_samples
from lstm_tune.training.task import Task
from lstm_tune.utils.process import this_run
from lstm_tune.utils.signals import interruptible
from lstm_tune.workers.messages import Job
from lstm_tune.workers.pool import optimize


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Run:
    """What the phases of `tune` share."""

    series: SeriesSet
    parts: Split
    objective: Objective
    everything: Windows  # of all rows; only the retrain and the test are given rows that no trial may see
    study: optuna.Study
    budget: Budget
    seed: int
    retrain_seeds: int
    tell: Progress

    @property
    def task(self) -> Task:
        """What the trials share."""
        return self.objective.task

    @property
    def samples(self) -> int:
        """Training windows in an epoch of the retrain: the trials' times the growth of the rows."""
        return retrain_samples(self.everything, self.parts, self.task.folds[0].samples)

    def chosen(self) -> list[tuple[FrozenTrial, Part]]:
        """Choose the completed trials whose weighted mean forecast is the model, or the best one alone."""
        trials = {t.number: t for t in completed(self.study)}
        if not trials:
            return []
        parts = weigh(
            candidates(self.study),
            independent=self.task.independent_windows,
            blocks=len(self.task.folds),
            members=1 if self.retrain_seeds == 1 else MEMBERS,
        )
        return [(trials[part.number], part) for part in parts]


def search(
    run: Run,
    storage: str | BaseStorage | None,
    workers: int,
    n_trials: int | None,
    patience: int | None,
    callbacks: Sequence[OptunaCallback],
) -> bool:
    """Run what is left of the study's budget, in this process or in several workers.

    Args:
        run: the study and what it is about.
        storage: of the study, by which workers find it; None: it is in the memory of this process.
        workers: processes; 1: this one.
        n_trials: of the whole study, those that it holds already counted in; None: until time is up.
        patience: trials without a gain after which the study ends; None: it goes on.
        callbacks: called in this process after every trial.

    Returns:
        Whether it ended by itself; False: Ctrl-C ended it, and its running trials were dropped.

    Raises:
        StudyError: ten trials in a row failed, or the workers cannot work.
    """
    study, objective, budget, tell = run.study, run.objective, run.budget, run.tell
    stopped = False

    def to_retrain() -> list[FrozenTrial]:
        return [trial for trial, part in run.chosen() if part.epochs == trial.user_attrs["best_epoch"]]

    def after_trial(study: optuna.Study, trial: FrozenTrial) -> None:
        nonlocal stopped
        tell.trial(trial)
        if not stopped and (clock.monotonic() >= budget.study_end(to_retrain()) or no_longer_helps()):
            stopped = True  # other workers' trials may still end; the reason is said once
            study.stop()

    def no_longer_helps() -> bool:
        if patience is None or not gained_nothing(study, patience):
            return False
        tell.info(
            f"stopped after {n_counted(study)} trials: the last {patience} took less than 1% off the best validation "
            f"score; for more pass --trials or --timeout, and --resume to go on"
        )
        return True

    def taken(number: int) -> None:
        tell.info(f"trial {number}: another process has ended it, so that its result was dropped")

    done = n_counted(study)
    if not study.get_trials(deepcopy=False):
        enqueue_known(study, objective.space)
    objective.deadline = lambda: budget.trial_end(to_retrain())
    remaining = None if n_trials is None else max(0, n_trials - done)
    tell.begin(n_trials, done, budget.left())
    if remaining == 0 or no_longer_helps():
        return True
    every = [after_trial, stop_after_failures, *callbacks]
    try:
        with interruptible():
            if workers > 1:
                assert storage is not None
                job = Job(
                    storage=storage,
                    study=study.study_name,
                    sampler=study.sampler,
                    pruner=study.pruner,
                    task=run.task,
                    space=objective.space,
                    seed=run.seed,
                    precision=objective.precision,
                    threads=objective.threads,
                    verbosity=optuna.logging.get_verbosity(),
                    run=this_run(),
                )
                optimize(
                    study, job, workers, n_trials=remaining, deadline=objective.deadline, callbacks=every, progress=tell
                )
            else:
                run_trials(study, objective, n_trials=remaining, callbacks=every, on_lost=taken)
    except KeyboardInterrupt:
        fail_own_interrupted(study, this_run())
        return False
    return True


def winner(study: optuna.Study, *, needed: bool = True) -> FrozenTrial | None:
    """Return the completed trial of the least value, or None where there is none.

    Raises:
        StudyError: there is none, and it is needed; says why.
    """
    ranked = completed(study)
    if ranked or not needed:
        return ranked[0] if ranked else None
    reasons = [t.user_attrs.get("pruned_because") for t in study.get_trials(deepcopy=False)]
    reason = next((r for r in reversed(reasons) if r), "none was begun")
    raise StudyError(f"no trial was completed (last reason: {reason}); allow more trials or time, or another space")


def _member(trial: FrozenTrial, part: Part) -> Member:
    attrs = trial.user_attrs
    return Member(
        trial=trial.number,
        config=Config.from_params(attrs["config"]),
        epochs=part.epochs,
        factors=tuple(attrs["factors"]),
        weight=part.weight,
        half_batches="micro_batch" in attrs,
    )


def train_again(run: Run, best: FrozenTrial, *, skip: bool = False) -> tuple[Retrained, str] | None:
    """Train the chosen trials on train and validation rows; where time allows none, keep the best trial's own weights.

    Args:
        run: the study, which has ended.
        best: its winner.
        skip: whether nothing is to be trained. Ctrl-C meanwhile skips what is left.

    Returns:
        The models, and the rows that they were trained on: "train+val" or "train". None: it was skipped, and the
        winner's own weights were in another process.
    """
    objective, seed = run.objective, run.seed
    own = objective.best if objective.best is not None and objective.best.number == best.number else None
    retrained = Retrained(seeds=(), models=(), interrupted=skip)
    if not skip:
        retrained = retrain(
            run.everything,
            run.parts.final.fit,
            run.task.shape,
            [_member(trial, part) for trial, part in run.chosen()],
            samples=run.samples,
            seeds=range(seed, seed + run.retrain_seeds),
            precision=objective.precision,
            deadline=run.budget.retrain_end,
            at_least_one=own is None,
            threads=run.budget.threads,
            on_model=run.tell.retrain,
        )
    if retrained.seeds:
        return retrained, "train+val"
    if own is None:
        if retrained.interrupted:
            return None
        raise StudyError(
            f"retraining trial {best.number} diverged, or ran out of memory, with every seed; "
            f"pass another --seed or --space"
        )
    reason = "the retrain was skipped" if retrained.interrupted else "no time for the retrain"
    run.tell.info(f"{reason}: the model is the best trial's own, trained on the train rows alone")
    whole = Part(number=best.number, epochs=best.user_attrs["best_epoch"], weight=1.0)
    models = (((_member(best, whole), own.models[0]),),)
    return Retrained(seeds=(seed,), models=models, interrupted=retrained.interrupted), "train"
