"""The test rows, read once: model and baselines scored on them, and what is wrong with the model."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from lstm_tune.config import Config
from lstm_tune.data.summary import data_record
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.diagnosis.data_findings import data_findings
from lstm_tune.diagnosis.evidence import Scores, TrialRecord
from lstm_tune.diagnosis.finding import Finding, ranked
from lstm_tune.diagnosis.forecast_findings import Comparison, compare, decompose
from lstm_tune.diagnosis.search_findings import Retrain, Search, widenable
from lstm_tune.diagnosis.verdict import answered, study_findings, verdict
from lstm_tune.evaluation.recorded_forecasts import Fit, Forecasts, Recorder, fit_to_training, read_forecasts, stretches
from lstm_tune.evaluation.score import Forecaster, Score, bootstrap_interval, score
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.models.saved_model import DataSpec, ForecastModel
from lstm_tune.pipeline.steps import Run
from lstm_tune.report import report_json as details
from lstm_tune.report import result_json as record
from lstm_tune.report.result import Result, TestScore, test_score
from lstm_tune.search.space import Fixed
from lstm_tune.training.parallel import side_by_side
from lstm_tune.training.retrain import Retrained


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Tested:
    """The model and the baselines on the test windows, and the model on windows that it was trained on."""

    model: ForecastModel
    windows: Windows
    positions: Positions
    total: Score  # of the model
    alone: list[Score]  # of each of its seeds
    baselines: dict[str, Score]
    score: TestScore
    against: dict[str, Comparison]  # with each baseline
    forecasts: Forecasts
    fit: Fit


def score_holdout(run: Run, retrained: Retrained, best: FrozenTrial) -> Result:
    """Read the test rows, once: score the model, each of its seeds, and the baselines on the same windows."""
    series, task = run.series, run.task
    tested = _score_test(run, retrained)
    parts_of = decompose(tested.forecasts)
    findings = _findings(run, best, tested, retrained, parts_of["rest"])
    result = Result(
        model=tested.model,
        study=run.study,
        test=tested.score,
        best_params=best.user_attrs["config"],
        record={
            "schema": record.SCHEMA,
            "data": data_record(series, run.parts, task.shape.horizon, task.period),
            "study": {},
            "best": record.best_record(best, series.targets),
            "test": record.test_record(tested.score),
            "retrain": record.retrain_record(retrained, tested.alone, best, series.targets),
            "baselines": record.baselines_record(task, tested.baselines, series.targets),
            "skill": record.skill_record(tested.score, tested.baselines),
            "skill_ci95": record.interval_record(tested.against),
            "decomposition": parts_of,
            "in_sample": record.in_sample_record(tested.fit),
            "findings": [finding.to_dict() for finding in findings],
        },
        windows=tested.windows,
        test_positions=tested.positions,
        details=functools.partial(details.collect, run.study, series, run.parts, task.period),
    )
    result.record["verdict"] = verdict(result.record)
    return result


def _score_test(run: Run, retrained: Retrained) -> _Tested:
    series, parts, task, horizon = run.series, run.parts, run.task, run.task.shape.horizon
    model = ForecastModel(retrained.network().cpu(), task.shape, DataSpec.of(series), task.scale)
    windows = Windows(series, horizon)
    positions = windows.positions(parts.test, 0, reach_back=True)
    fitted = fit_baselines(
        windows, parts.final.fit, period=task.period, max_lookback=task.limits.max_lookback, sd=task.scale.sd
    )
    baselines = {name: score(f, windows, positions, task.scale) for name, f in fitted.items()}
    kept = stretches(len(positions), horizon, series.n_channels * series.n_series)
    recorder = Recorder(model.network, kept)
    # In evaluation mode already, so that threads can share the models.
    networks: list[Forecaster] = [recorder]
    if len(retrained.seeds) > 1:
        networks += [retrained.network(i) for i in range(len(retrained.seeds))]
    scores = side_by_side(
        lambda i: score(networks[i], windows, positions, task.scale, each=not i), len(networks), run.budget.threads
    )
    total = scores[0]
    interval = bootstrap_interval(total, max(horizon, task.shape.period), run.seed)
    return _Tested(
        model=model,
        windows=windows,
        positions=positions,
        total=total,
        alone=scores[1:] or scores,
        baselines=baselines,
        score=test_score(total, series.targets, task.scale.sd, interval),
        against={
            name: compare(total.window_error, s.window_error, max(2 * horizon, 4)) for name, s in baselines.items()
        },
        forecasts=read_forecasts(recorder, kept, windows, positions, task.scale, task.period),
        fit=fit_to_training(model.network, fitted, windows, parts.final.fit, task.scale),
    )


def _findings(
    run: Run, best: FrozenTrial, tested: _Tested, retrained: Retrained, unexplained: float | None
) -> list[Finding]:
    """Return what data, trials, forecasts and search say of the MSE, the gravest first."""
    task, space, config = run.task, run.objective.space, Config.from_params(best.user_attrs["config"])
    scores = Scores(
        val=best.user_attrs["val_mse_scaled"],
        test=tested.total.mse_scaled,
        fit=tested.fit.model,
        val_baselines={name: task.baselines[name][1] for name in tested.baselines},
        test_baselines={name: s.mse_scaled for name, s in tested.baselines.items()},
        fit_baselines=tested.fit.baselines,
        unexplained=math.nan if unexplained is None else unexplained,
        noise=tested.fit.noise,
        independent=task.independent_windows,
        skill_ci95={name: (1 - c.high, 1 - c.low) for name, c in tested.against.items()},
    )
    search = Search(
        trials=ended(run.study),
        scores=scores,
        retrain=Retrain(
            seeds=tuple(s.mse_scaled for s in tested.alone),
            weights=tuple(member.weight for member, _ in retrained.models[0] if member.epochs),
        ),
        edges=widenable(space.edges(config), task.limits),
        searched=[name for name, parameter in space.parameters.items() if not isinstance(parameter, Fixed)],
    )
    of_data = answered(data_findings(run.series, run.parts, task), config.params())
    return ranked([*of_data, *study_findings(search, tested.forecasts)])


def ended(study: optuna.Study) -> list[TrialRecord]:
    """Return the trials that have ended, as the findings read them."""
    return [
        TrialRecord(number=t.number, state=t.state.name, value=t.value, attrs=t.user_attrs)
        for t in study.get_trials(deepcopy=False)
        if t.state.is_finished()
    ]
