"""The result of a study, put together once from what the steps returned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lstm_tune.data.summary import DataSummary
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.diagnosis.next_step import NextStep, next_step
from lstm_tune.diagnosis.verdict import verdict
from lstm_tune.evaluation.conformal import Intervals
from lstm_tune.evaluation.series_scores import SeriesSummary
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.trained_rows import TrainedRows
from lstm_tune.pipeline.advice import apply_command
from lstm_tune.pipeline.findings import Found
from lstm_tune.pipeline.holdout import TestResult
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.pipeline.prepare import Dataset, OpenStudy
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.pipeline.search_step import SearchOutcome
from lstm_tune.report import compared
from lstm_tune.report import result_json as record
from lstm_tune.report.environment import Environment
from lstm_tune.report.plain import to_plain
from lstm_tune.report.result import Result
from lstm_tune.report.result_parts import MadeParts
from lstm_tune.training.refit import recipe_of
from lstm_tune.training.retrain import Retrained
from lstm_tune.training.saved_model import ForecastModel
from lstm_tune.training.task import Task


def build_result(
    context: RunContext,
    dataset: Dataset,
    task: Task,
    opened: OpenStudy,
    outcome: SearchOutcome,
    retrained: Retrained,
    tested: TestResult,
    found: Found,
) -> Result:
    """Return the result; each argument is what the step before returned.

    Args:
        context: what was asked for, and the seconds of each step.
        dataset: all rows.
        task: that the trials shared.
        opened: the study.
        outcome: its trials.
        retrained: the final models.
        tested: their scores on the test rows.
        found: on data, training, forecasts and search.
    """
    source, machine = dataset.source, opened.resources
    return Result(
        summary=_summary(context, dataset, task, opened, outcome, retrained, tested, found.findings),
        model=_model(dataset, retrained, task, opened.precision, tested.calibrated),
        parts=MadeParts(
            study=opened.study,
            trials=outcome.trials,
            windows=dataset.windows.cpu(),
            split=dataset.split,
            baselines=tested.fitted,
        ),
        series=None if tested.series is None else replace(tested.series, first=found.first),
        run_file=context.options.run_file(source, workers=machine.workers, precision=opened.precision),
    )


def _summary(
    context: RunContext,
    dataset: Dataset,
    task: Task,
    opened: OpenStudy,
    outcome: SearchOutcome,
    retrained: Retrained,
    tested: TestResult,
    findings: Sequence[Finding],
) -> record.ResultRecord:
    """Return what result.json holds; see `build_result`."""
    options, clock = context.options, context.clock
    series, machine = dataset.series, opened.resources
    judged = _judge(task, series.targets, outcome, retrained, tested, findings)
    return record.ResultRecord(
        **judged,
        data=DataSummary.of(
            series, dataset.split, horizon=options.horizon, period=task.period, seasons=task.seasons, notes=tested.notes
        ),
        study=record.StudySummary.of(
            opened.study.study_name,
            outcome.trials,
            storage=opened.shown_storage,
            interrupted=outcome.interrupted or retrained.interrupted,
            command=options.command(dataset.source, workers=machine.workers, precision=opened.precision),
        ),
        retrain=record.RetrainSummary.of(
            retrained,
            tested.alone,
            epochs=judged["best"].epochs,
            asked=options.retrain_seeds,
            targets=series.targets,
        ),
        against={
            name: compared.GivenSummary.of(
                score, comparison, targets=series.targets, scale=task.scale, of=tested.score.windows
            )
            for name, (score, comparison) in tested.given.items()
        },
        decomposition=tested.decomposition,
        in_sample=record.InSample.of(tested.fit),
        verdict=_verdict(judged, tested),
        next=_next(findings, dataset.source, options),
        settings=opened.settings,
        options=options.to_dict(),
        env=Environment.of(
            device=machine.device,
            threads=machine.threads,
            workers=machine.workers,
            precision=opened.precision,
            seed=options.seed,
        ),
        timing=record.Timing.of({**clock.seconds, "total": clock.elapsed}, outcome.trials, before=opened.trials_before),
    )


def _judge(
    task: Task,
    targets: tuple[str, ...],
    outcome: SearchOutcome,
    retrained: Retrained,
    tested: TestResult,
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """Return the parts of the result that the verdict is drawn from, by their names."""
    assert outcome.best is not None
    members = [member for member, _ in retrained.models[0]]
    total = math.fsum(member.weight for member in members)
    return {
        "best": record.BestTrial.of(outcome.best, targets),
        "test": replace(tested.score, intervals=tested.intervals),
        "metric": record.JudgedBy(name=task.metric, test_score=tested.judged),
        "over_series": None if tested.series is None else SeriesSummary.of(tested.series),
        "network_alone": record.NetworkAlone.of(retrained, tested.trained, task, targets),
        "ensemble": tuple(record.MemberSummary.of(member, total) for member in members),
        "baselines": {
            name: record.BaselineSummary.of(name, score, task, targets) for name, score in tested.baselines.items()
        },
        "train_mean": compared.TrainMeanSummary.of(tested.train_mean, tested.score, task, targets),
        "skill": compared.skill(tested.score, tested.baselines),
        "skill_ci95": compared.skill_interval(tested.against),
        "findings": tuple(findings),
    }


def _model(
    dataset: Dataset, retrained: Retrained, task: Task, precision: str, intervals: Intervals | None
) -> ForecastModel:
    """Return the mean of the final models, with what it needs to read other data."""
    series, network = dataset.series, retrained.network().cpu()
    rows = dataset.split.final.fit if retrained.rows == "train+val" else dataset.split.train
    trained = TrainedRows.of(series, rows, task.scale)
    recipe = recipe_of(retrained, task, precision)
    naive = task.naive.named(series.series)
    spec = DataSpec.of(series)
    if spec.series:  # a series that was left out has no scale of its own: as a new one, it is scaled by its history
        names = tuple(name if b > a else "" for name, (a, b) in zip(spec.series, rows, strict=True))
        spec = replace(spec, series=names)
    return ForecastModel(network, task.shape, spec, task.scale, trained, recipe, naive, intervals)


def _next(findings: Sequence[Finding], source: str | None, options: TuneOptions) -> NextStep | None:
    """Return what to do next, with the command that does it."""
    step = next_step([finding.to_dict() for finding in findings])
    return None if step is None else replace(step, command=apply_command(source, options.folder, step.code))


def _verdict(parts: Mapping[str, Any], tested: TestResult) -> str:
    """Return the verdict; if the test MSE is no number, what keeps it from being one."""
    scores = [tested.score.mse_scaled, *(score.mse_scaled for score in tested.baselines.values())]
    if all(map(math.isfinite, scores)):
        return verdict(to_plain(parts))
    reason = tested.notes[0] if tested.notes else "a forecast is no finite number"
    return f"The test MSE is no finite number: {reason}."
