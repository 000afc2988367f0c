"""The test rows, read once: the final model, each of its seeds and the baselines are scored on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.evaluation.conformal import Intervals
from lstm_tune.evaluation.decomposition import decompose
from lstm_tune.evaluation.given_forecasts import GivenForecasts
from lstm_tune.evaluation.in_sample import InSampleScores, score_in_sample
from lstm_tune.evaluation.interval_score import IntervalScore
from lstm_tune.evaluation.recorded_forecasts import Forecasts, Recorder, read_forecasts, stretches
from lstm_tune.evaluation.score import Forecaster, Score, score
from lstm_tune.evaluation.series_scores import SeriesScores
from lstm_tune.evaluation.significance import Comparison, TimeBlocks, compare, interval
from lstm_tune.evaluation.test_score import TestScore
from lstm_tune.evaluation.wild_values import describe_wild_values
from lstm_tune.models.baselines import TrainMean, fit_baselines
from lstm_tune.pipeline.intervals import score_test_intervals
from lstm_tune.pipeline.prepare import Dataset
from lstm_tune.training.calibration import Calibration
from lstm_tune.training.parallel import side_by_side
from lstm_tune.training.retrain import Retrained
from lstm_tune.training.task import Task


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TestResult:
    """What the test rows say of the final model and of the baselines.

    Attributes:
        score: of the model, in the target's own units.
        judged: what the metric of the study says of the model.
        alone: of each of its seeds.
        trained: of the mean of its trained members alone; None: it has none.
        train_mean: of the mean of the train rows, a yardstick that is no baseline.
        fitted: the baselines.
        baselines: the scores of the baselines, by their names.
        against: the model's errors compared with those of each baseline.
        forecasts: of the model, some of them if there are very many.
        decomposition: of the MSE, into bias, variance and rest; see `decompose`.
        fit: of model and baselines to rows that they were trained on.
        intervals: of the model and of the baselines, by their names and the levels; None: nobody asked.
        calibrated: the model's own intervals.
        given: of forecasts of other models, by their names, with the comparison of the model's errors with theirs.
        series: scores of each series; None: there is one alone.
        notes: sentences on test values that no score can be trusted with.
    """

    __test__ = False  # no test of pytest's, whatever its name

    score: TestScore
    judged: float
    alone: tuple[Score, ...]
    trained: Score | None
    train_mean: Score
    fitted: Mapping[str, Forecaster]
    baselines: Mapping[str, Score]
    against: Mapping[str, Comparison]
    forecasts: Forecasts
    decomposition: Mapping[str, Any]
    fit: InSampleScores
    intervals: Mapping[str, Mapping[str, IntervalScore]] | None
    calibrated: Intervals | None
    series: SeriesScores | None
    given: Mapping[str, tuple[Score, Comparison]]
    notes: tuple[str, ...]


def score_test_rows(
    retrained: Retrained,
    dataset: Dataset,
    task: Task,
    calibrated: Calibration | None = None,
    levels: Sequence[float] = (),
    *,
    threads: int,
) -> TestResult:
    """Read the test rows, once: score the model, its parts, and the baselines on the same windows.

    Args:
        retrained: the final models.
        dataset: all rows.
        task: that the trials shared: scale, season, lookback.
        calibrated: prediction intervals.
        levels: of these, in percent.
        threads: that share the seeds.
    """
    series, split, horizon = dataset.series, dataset.split, task.shape.horizon
    windows = dataset.windows.with_period(task.period)
    positions = windows.positions(split.test, 0, reach_back=True)
    fitted = fit_baselines(
        windows,
        split.final.fit,
        period=task.period,
        max_lookback=task.limits.max_lookback,
        scale=task.scale,
        combination=task.combination,
    )
    baselines = {name: score(f, windows, positions, task.scale, naive=task.naive) for name, f in fitted.items()}
    network = retrained.network()
    kept = stretches(len(positions), horizon, series.n_channels * series.n_series)
    recorder = Recorder(network, kept)
    total, alone, trained = _score_networks(recorder, retrained, windows, positions, task, threads)
    blocks = TimeBlocks.of(windows, positions, split.test, task.shape.period)
    forecasts = read_forecasts(recorder, kept, windows, positions, task.scale, task.seasons)
    return TestResult(
        score=TestScore.of(total, series.targets, task.scale.sd, interval(total, blocks, task.scale)),
        judged=task.value_of(total),
        alone=alone,
        trained=trained,
        train_mean=score(_train_mean(task), windows, positions, task.scale, each=False, naive=task.naive),
        fitted=fitted,
        baselines=baselines,
        against={
            name: compare(total.window_error, s.window_error, total.window_count, blocks)
            for name, s in baselines.items()
        },
        forecasts=forecasts,
        decomposition=decompose(forecasts),
        fit=score_in_sample(network, fitted, windows, split.final.fit, task.scale),
        intervals=score_test_intervals({"model": network, **fitted}, calibrated, levels, dataset, task, blocks),
        calibrated=None if calibrated is None else calibrated.model,
        given=_score_given(dataset.given, total, windows, split.test, task),
        series=_of_each_series(dataset, task, total, baselines),
        notes=describe_wild_values(series, split.test, task.scale, "test value"),
    )


def _score_networks(
    model: Forecaster, retrained: Retrained, windows: Windows, positions: Positions, task: Task, threads: int
) -> tuple[Score, tuple[Score, ...], Score | None]:
    """Score the model, the network of each seed, and the trained part of the model.

    Returns:
        Score of the model; of each seed; of the part that was trained, None if nothing of the model was.
    """
    # In evaluation mode already, so that threads can share the models.
    networks: list[Forecaster] = [model]
    several = len(retrained.seeds) > 1
    if several:
        networks += [retrained.network(i) for i in range(len(retrained.seeds))]
    part = retrained.trained_network() if retrained.trained_weight < 1 else None  # else it is the model itself
    if part is not None:
        networks.append(part)
    scores = side_by_side(
        lambda i: score(networks[i], windows, positions, task.scale, each=not i, naive=task.naive),
        len(networks),
        threads,
    )
    alone = scores[1 : 1 + len(retrained.seeds)] if several else scores[:1]
    trained = scores[-1] if part is not None else scores[0] if retrained.trained_weight else None
    return scores[0], tuple(alone), trained


def _train_mean(task: Task) -> TrainMean:
    mean, _ = task.scale.groups(task.shape.series)
    return TrainMean(horizon=task.shape.horizon, mean=tuple(mean.tolist()))


def _score_given(
    given: GivenForecasts | None, own: Score, windows: Windows, rows: Ranges, task: Task
) -> dict[str, tuple[Score, Comparison]]:
    """Score forecasts of other models on the test windows that they cover, and compare the model's errors there."""
    if given is None:
        return {}
    blocks = TimeBlocks.of(windows, given.positions, rows, task.shape.period)
    errors, counts = own.window_error[given.index], own.window_count[given.index]
    scores = {name: score(f, windows, given.positions, task.scale) for name, f in given.forecasters().items()}
    return {name: (one, compare(errors, one.window_error, counts, blocks)) for name, one in scores.items()}


def _of_each_series(dataset: Dataset, task: Task, model: Score, baselines: Mapping[str, Score]) -> SeriesScores | None:
    """Return the scores of each series; None: there is one alone."""
    series = dataset.series
    if series.n_series == 1:
        return None
    return SeriesScores.of(series, task.scale.groups(series.n_series)[1], model, baselines)
