"""Prediction intervals in `tune`: calibrated on the validation blocks, scored once on the test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lstm_tune.data.split import Segment
from lstm_tune.evaluation.conformal import scales_of
from lstm_tune.evaluation.interval_score import Bands, IntervalScore, score_intervals
from lstm_tune.evaluation.recent_change import RecentChange
from lstm_tune.evaluation.score import Forecaster
from lstm_tune.evaluation.significance import TimeBlocks
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.pipeline.prepare import Dataset, OpenStudy
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.training.calibration import Calibration, calibrate
from lstm_tune.training.refit import recipe_of
from lstm_tune.training.retrain import Retrained
from lstm_tune.training.task import Task


def calibrate_intervals(retrained: Retrained, task: Task, opened: OpenStudy, context: RunContext) -> Calibration | None:
    """Calibrate prediction intervals on the validation blocks; None: nobody asked, or the study was stopped.

    Args:
        retrained: the final models.
        task: that the trials shared.
        opened: the study: its precision and threads.
        context: levels.
    """
    if not context.options.levels:
        return None
    if context.stop.requested:
        context.progress.info(
            "no prediction intervals were calibrated: the study was stopped; resume=True makes up for it"
        )
        return None

    def fit_simple(segment: Segment) -> dict[str, Forecaster]:
        return fit_baselines(
            task.windows,
            segment.fit,
            period=task.period,
            max_lookback=task.limits.max_lookback,
            scale=task.scale,
            combination=task.combination,
        )

    return calibrate(
        retrained.network(),
        recipe_of(retrained, task, opened.precision),
        task.shape,
        task.windows,
        [fold.segment for fold in task.folds],
        fit_simple=fit_simple,
        threads=opened.resources.threads,
        on_fold=context.progress.calibrate,
    )


def score_test_intervals(
    forecasters: Mapping[str, Forecaster],
    calibrated: Calibration | None,
    levels: Sequence[float],
    dataset: Dataset,
    task: Task,
    blocks: TimeBlocks,
) -> dict[str, dict[str, IntervalScore]] | None:
    """Score the intervals of the model and the baselines on the test windows."""
    if calibrated is None:
        return None
    windows, split = dataset.windows, dataset.split
    every = {"model": calibrated.model, **calibrated.simple}
    scales = scales_of(windows.data, split.final.fit, task.shape.period)
    change, positions = RecentChange(windows.data, task.shape.period), windows.positions(split.test, 0, reach_back=True)
    bands = {
        name: Bands(intervals=one, levels=tuple(levels), scales=scales, change=change) for name, one in every.items()
    }
    return {
        name: score_intervals(f, bands[name], windows, positions, sd=task.scale.sd, blocks=blocks)
        for name, f in forecasters.items()
        if name in bands
    }
