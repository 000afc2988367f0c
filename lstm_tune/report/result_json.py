"""`result.json`: typed records of what a study found; their fields, in order, are the keys of the file."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstm_tune.data.summary import DataSummary
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.diagnosis.next_step import NextStep
from lstm_tune.evaluation.in_sample import InSampleScores
from lstm_tune.evaluation.score import Number, Score, per_target
from lstm_tune.evaluation.series_scores import SeriesSummary
from lstm_tune.evaluation.test_score import TestScore, per_step, reported_metrics
from lstm_tune.report.compared import GivenSummary, TrainMeanSummary
from lstm_tune.report.environment import Environment
from lstm_tune.report.plain import to_plain
from lstm_tune.report.run_folder import SCHEMA
from lstm_tune.search.trial_queue import counted_trials
from lstm_tune.search.trials import Trial
from lstm_tune.training.retrain import Member, Retrained
from lstm_tune.training.task import Task
from lstm_tune.utils.text import rounded

_STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySummary:
    """The study: how its trials ended, and whether the user ended it."""

    name: str
    storage: str | None  # its password masked
    direction: str
    n_trials: int
    states: Mapping[str, int]
    not_counted: int  # trials that were lost or interrupted, and tried again
    interrupted: bool
    command: str | None  # that repeats it; None: a command line cannot say it

    @classmethod
    def of(
        cls,
        name: str,
        trials: Sequence[Trial],
        *,
        storage: str | None,
        interrupted: bool,
        command: str | None,
    ) -> StudySummary:
        """Summarise the trials of a study."""
        states = Counter(t.state for t in trials)
        return cls(
            name=name,
            storage=storage,
            direction="minimize",
            n_trials=sum(states[s] for s in _STATES),
            states={s: states[s] for s in _STATES},
            not_counted=sum(t.finished for t in trials) - len(counted_trials(trials)),
            interrupted=interrupted,
            command=command,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BestTrial:
    """The trial with the least value."""

    trial: int
    params: Mapping[str, Any]
    val_mse: Number
    val_mse_scaled: float
    val_score: float  # what the metric of the study says
    value: float | None
    fold_mse_scaled: tuple[float, ...]
    epochs: int
    weights: int | None  # of the network

    @classmethod
    def of(cls, trial: Trial, targets: tuple[str, ...]) -> BestTrial:
        """Read a completed trial."""
        done = trial.completed()
        return cls(
            trial=trial.number,
            params=done.config.params(),
            val_mse=per_target(done.val_mse, targets),
            val_mse_scaled=done.val_mse_scaled,
            val_score=done.val_score,
            value=trial.value,
            fold_mse_scaled=done.fold_mse_scaled,
            epochs=done.best_epoch,
            weights=trial.weights,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedScore:
    """What the model of one seed alone scores on the test rows."""

    seed: int
    mse: Number
    mse_scaled: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainSummary:
    """The retrain: which rows, and what each seed alone would have scored on the test rows."""

    epochs: int  # of the best trial
    seeds: tuple[SeedScore, ...]
    mean: float  # of the scaled MSEs
    sd: float | None  # None: of one seed
    rows: str  # "train+val" or "train"
    asked: int  # seeds

    @classmethod
    def of(
        cls, retrained: Retrained, scores: Sequence[Score], *, epochs: int, asked: int, targets: tuple[str, ...]
    ) -> RetrainSummary:
        """Summarise the final models, given the score of each seed."""
        scaled = [s.mse_scaled for s in scores]
        return cls(
            epochs=epochs,
            seeds=tuple(
                SeedScore(seed=seed, mse=per_target(s.mse, targets), mse_scaled=s.mse_scaled)
                for seed, s in zip(retrained.seeds, scores, strict=True)
            ),
            mean=statistics.fmean(scaled),
            sd=statistics.stdev(scaled) if len(scaled) > 1 and all(map(math.isfinite, scaled)) else None,
            rows=retrained.rows,
            asked=asked,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberSummary:
    """A member of the mean forecast that is saved."""

    trial: int
    weight: float
    epochs: int  # 0: the trial's forecast before any training
    params: Mapping[str, Any]

    @classmethod
    def of(cls, member: Member, total: float) -> MemberSummary:
        """Summarise a member; `total`: the weights of all, below 1 if the retrain had to leave some out."""
        weight = round(member.weight / total, 4)
        return cls(trial=member.trial, weight=weight, epochs=member.epochs, params=member.config.params())


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkAlone:
    """The trained members of the saved model without the untrained ones: their weight, and what their mean scores."""

    weight: float  # in the saved model, 0 to 1
    test_mse: Number | None  # None: no member was trained
    test_mse_scaled: float | None
    test_score: float | None  # what the metric of the study says

    @classmethod
    def of(cls, retrained: Retrained, score: Score | None, task: Task, targets: tuple[str, ...]) -> NetworkAlone:
        """Put together the weight of the trained members and the score of their mean."""
        return cls(
            weight=round(retrained.trained_weight, 4),
            test_mse=None if score is None else per_target(score.mse, targets),
            test_mse_scaled=None if score is None else score.mse_scaled,
            test_score=None if score is None else task.value_of(score),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedBy:
    """The metric of the study, and what it says of the saved model on the test rows, see `metrics.judged`."""

    name: str
    test_score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineSummary:
    """A baseline's errors on validation and test rows; the scores are what the metric of the study says."""

    val_mse: Number
    val_mse_scaled: float
    test_mse: Number
    test_mse_scaled: float
    val_score: float
    test_score: float
    per_step_mse: list[float]
    test_metrics: Mapping[str, Number]  # each the mean over the series

    @classmethod
    def of(cls, name: str, test: Score, task: Task, targets: tuple[str, ...]) -> BaselineSummary:
        """Put the scores of the baseline `name` together."""
        mse, mse_scaled = task.baselines[name]
        return cls(
            val_mse=per_target(mse, targets),
            val_mse_scaled=mse_scaled,
            test_mse=per_target(test.mse, targets),
            test_mse_scaled=test.mse_scaled,
            val_score=task.baseline_values[name],
            test_score=task.value_of(test),
            per_step_mse=per_step(test, task.scale.sd),
            test_metrics=reported_metrics(test, targets),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class InSample:
    """Scaled MSEs on rows that were fitted on, and the noise estimate; None if there is none."""

    mse_scaled: float | None
    baselines: Mapping[str, float | None]
    noise_estimate: float | None
    windows: int

    @classmethod
    def of(cls, fit: InSampleScores) -> InSample:
        """Read the fit to the training rows."""
        return cls(
            mse_scaled=rounded(fit.model),
            baselines={name: rounded(mse) for name, mse in fit.baselines.items()},
            noise_estimate=rounded(fit.noise),
            windows=fit.windows,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Seconds of each step, trials per hour and training windows per second."""

    seconds: Mapping[str, float]
    trials_per_hour: float | None
    samples_per_second: float | None

    @classmethod
    def of(cls, seconds: Mapping[str, float], trials: Sequence[Trial], before: int) -> Timing:
        """Work out the rates of a run.

        Args:
            seconds: of this run, by step.
            trials: of the study.
            before: trials that had ended when this run began.
        """
        trained = [t.outcome for t in trials if t.outcome is not None and t.same_as is None]
        samples = math.fsum(outcome.samples for outcome in trained)
        busy = math.fsum(outcome.seconds for outcome in trained)
        ended = len(counted_trials(trials)) - before
        return cls(
            seconds={name: round(value, 3) for name, value in seconds.items()},
            trials_per_hour=round(3600 * ended / seconds["study"], 1) if seconds["study"] > 0 else None,
            samples_per_second=round(samples / busy, 1) if busy > 0 else None,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRecord:
    """All that `result.json` holds."""

    schema: int = SCHEMA
    data: DataSummary
    study: StudySummary
    best: BestTrial
    test: TestScore
    metric: JudgedBy
    over_series: SeriesSummary | None  # None: there is one series
    network_alone: NetworkAlone
    retrain: RetrainSummary
    baselines: Mapping[str, BaselineSummary]
    skill: Mapping[str, float | None]  # 1 - MSE over the baseline's
    skill_ci95: Mapping[str, tuple[float, float] | None]  # None: too few windows for an interval
    train_mean: TrainMeanSummary
    against: Mapping[str, GivenSummary]  # forecasts of other models
    decomposition: Mapping[str, Any]
    in_sample: InSample
    findings: tuple[Finding, ...]
    verdict: str
    next: NextStep | None  # None: nothing promises enough
    ensemble: tuple[MemberSummary, ...]  # the heaviest first
    settings: Mapping[str, Any]
    options: Mapping[str, Any]  # of `tune`, those that repeat the study
    env: Environment
    timing: Timing

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file: dicts, lists, numbers and text alone."""
        content: dict[str, Any] = to_plain(self)
        return content
