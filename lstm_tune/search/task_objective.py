"""The one place where the trainer meets a trial of Optuna."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import WilcoxonPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.config import Config
from lstm_tune.errors import UsageError
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.search.space import Space
from lstm_tune.search.trial_attributes import (
    tried_params,
    was_cut,
    write_config,
    write_copy,
    write_failed,
    write_history,
    write_interrupted,
    write_micro_batch,
    write_outcome,
    write_pruned,
    write_setup,
)
from lstm_tune.storage.buffered import flush
from lstm_tune.storage.optuna_private import id_of_trial, storage_of
from lstm_tune.training.fitting import EpochStats, TrainResult, fit
from lstm_tune.training.task import Task, make_trainer
from lstm_tune.training.trainer import Diverged, Trainer, is_out_of_memory

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trained:
    """A trial's models, one for each fold (the validation rows' first), with the weights of its best epoch."""

    number: int
    value: float
    models: tuple[LSTMForecaster, ...]


class TaskObjective:
    """The objective of a `Task`: a callable for `study.optimize`, which says what its value is in `Objective`.

    Args:
        task: what all trials share: data without test rows, folds, scale.
        space: that trials suggest from; it is cut to what the data allow.
        seed: of weights, shuffling and dropout; a trial's value is a function of task, configuration and seed.
        precision: "fp32" or "bf16": what trials train in.
        threads: that share the folds of a trial; the result does not depend on them.
        on_epoch: called with (trial number, statistics) after each epoch.
        on_trained: called with what each completed trial has trained.
        deadline: called before a trial; returns the time (`time.monotonic`) at which it must stop with what it has.
        stop: called at every training step; True interrupts the trial, which is tried again on resume.
        ask_every: seconds between two questions to the pruner; 0: it is asked after each epoch. Every epoch is
            reported, and the last one is asked about, whatever this is.
    """

    def __init__(
        self,
        task: Task,
        space: Space,
        *,
        seed: int = 0,
        precision: str = "fp32",
        threads: int = 1,
        on_epoch: Callable[[int, EpochStats], None] = lambda number, stats: None,
        on_trained: Callable[[Trained], None] = lambda trained: None,
        deadline: Callable[[], float] = lambda: math.inf,
        stop: Callable[[], bool] = lambda: False,
        ask_every: float = 0.0,
    ) -> None:
        self.task = task
        self.space, self.notes = space.cut(task.limits)
        self.seed = seed
        self.precision = precision
        self.on_epoch = on_epoch
        self.on_trained = on_trained
        self.deadline = deadline
        self.stop = stop
        self.threads = threads
        self.ask_every = ask_every
        self.best: Trained | None = None  # of this process
        self._trainers: Sequence[Trainer] = ()

    def __call__(self, trial: optuna.Trial) -> float:
        """Train what the trial suggests and return its value.

        Raises:
            UsageError: the study does not minimize one value.
            optuna.TrialPruned: the pruner says so, training diverged, or memory ran out; the reason is the user
                attribute `pruned_because`.
        """
        if trial.study.directions != [StudyDirection.MINIMIZE]:
            raise UsageError("the study must minimize one value, the error; create it with direction='minimize'")
        try:
            return self._value(trial)
        except KeyboardInterrupt:
            with contextlib.suppress(UpdateFinishedTrialError):
                write_interrupted(trial)
            raise

    @property
    def steps(self) -> int:
        """Training steps of the running trial: as long as they grow, it is alive."""
        return sum(trainer.steps for trainer in self._trainers)

    def _value(self, trial: optuna.Trial) -> float:
        config = self.space.suggest(trial)
        write_config(trial, config)
        twin = _find_twin(trial, config)
        if twin is not None:
            return _repeat(trial, twin)
        try:
            trained, result = self._train(trial, config)
        except Diverged as error:
            raise _pruned(trial, f"diverged: {error}") from None
        except (optuna.TrialPruned, UpdateFinishedTrialError):  # the latter: another process has ended the trial
            raise
        except Exception as error:
            if is_out_of_memory(error):
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise _pruned(trial, f"out of memory: {reason}") from None
            write_failed(trial, traceback.format_exc())
            raise
        self._record(trial, trained, result)
        if self.best is None or result.best_val < self.best.value:
            self.best = trained
        self.on_trained(trained)
        return result.best_val

    def _train(self, trial: optuna.Trial, config: Config) -> tuple[Trained, TrainResult]:
        task = self.task
        deadline = self.deadline()
        began = time.monotonic()
        trainers = [make_trainer(task, fold, config, self.seed, self.precision) for fold in range(len(task.folds))]
        write_setup(
            trial,
            seconds=time.monotonic() - began,
            precision=trainers[0].precision,
            weights=sum(p.numel() for p in trainers[0].model.parameters()),
        )
        flush(storage_of(trial.study), id_of_trial(trial))  # so that others see what is tried
        if len(trainers) > 1 and isinstance(trial.study.pruner, WilcoxonPruner):
            results = []
            for i, trainer in enumerate(trainers):
                results.append(self._fit(trial, [trainer], i, config, deadline, lambda stats: None))
                trial.report(results[-1].best_val, step=i)
                if i + 1 < len(trainers) and trial.should_prune():
                    raise _pruned(trial, f"the pruner stopped it after fold {i + 1} of {len(trainers)}")
            result = _join(results)
        else:
            history: list[EpochStats] = []
            asked = time.monotonic()

            def report(stats: EpochStats) -> None:
                nonlocal asked
                history.append(stats)
                trial.report(stats.val, step=stats.epoch)
                if not stats.epoch or (stats.epoch < config.epochs and time.monotonic() - asked < self.ask_every):
                    return
                asked = time.monotonic()
                if trial.should_prune():
                    write_history(trial, history)
                    raise _pruned(trial, f"the pruner stopped it after epoch {stats.epoch}")

            result = self._fit(trial, trainers, 0, config, deadline, report)
        models = tuple(t.result for t in trainers)
        return Trained(number=trial.number, value=result.best_val, models=models), result

    def _fit(
        self,
        trial: optuna.Trial,
        trainers: Sequence[Trainer],
        first_fold: int,
        config: Config,
        deadline: float,
        report: Callable[[EpochStats], None],
    ) -> TrainResult:
        task = self.task
        self._trainers = trainers

        def validate(i: int) -> float:
            return task.validate(first_fold + i, trainers[i].result)

        def on_epoch(stats: EpochStats) -> None:
            self.on_epoch(trial.number, stats)
            report(stats)

        try:
            return fit(
                trainers,
                validate,
                epochs=config.epochs,
                patience=config.patience,
                on_epoch=on_epoch,
                deadline=deadline,
                threads=self.threads,
                stop=self.stop,
            )
        finally:
            self._trainers = ()
            _note_memory(trial, trainers)

    def _record(self, trial: optuna.Trial, trained: Trained, result: TrainResult) -> None:
        task = self.task
        scores = [task.score(fold, model) for fold, model in enumerate(trained.models)]
        write_outcome(
            trial,
            result,
            val_mse=scores[0].mse,
            val_score=task.value_of(scores[0]),
            fold_mse_scaled=[s.mse_scaled for s in scores],
            fold_errors=task.sampled_errors(trained.models),
        )


def _note_memory(trial: optuna.Trial, trainers: Sequence[Trainer]) -> None:
    """Record on the trial that the memory sufficed for half a batch alone."""
    halves = [-(-trainer.batch_size // 2) for trainer in trainers if trainer.half_batches]
    if halves:
        write_micro_batch(trial, max(halves))


def _pruned(trial: optuna.Trial, reason: str) -> optuna.TrialPruned:
    write_pruned(trial, reason)
    return optuna.TrialPruned(reason)


def _find_twin(trial: optuna.Trial, config: Config) -> FrozenTrial | None:
    """Return a trial of the same configuration that has ended by itself: with the same seed this one would, too."""
    params, ended = config.params(), (TrialState.COMPLETE, TrialState.PRUNED)
    for other in trial.study.get_trials(deepcopy=False, states=ended):
        if other.number < trial.number and tried_params(other) == params and not was_cut(other):
            return other
    return None


def _repeat(trial: optuna.Trial, twin: FrozenTrial) -> float:
    """End a trial as its twin did, without training again."""
    write_copy(trial, twin)
    for step, value in twin.intermediate_values.items():
        trial.report(value, step)
    if twin.state is TrialState.PRUNED or twin.value is None:
        raise _pruned(trial, f"the same configuration as trial {twin.number}, which was pruned")
    logger.info("trial %d repeats trial %d and was not trained", trial.number, twin.number)
    return twin.value


def _join(results: Sequence[TrainResult]) -> TrainResult:
    """Join folds that were trained one after the other: the mean value, the median best epoch."""
    by_epoch = sorted(results, key=lambda r: r.best_epoch)
    middle = by_epoch[len(by_epoch) // 2]
    return TrainResult(
        start=math.fsum(r.start for r in results) / len(results),
        best_epoch=middle.best_epoch,
        best_val=math.fsum(r.best_val for r in results) / len(results),
        epochs=max(r.epochs for r in results),
        stopped=results[0].stopped,
        history=results[0].history,
        factors=middle.factors,
    )
