"""What is wrong with the data, the training, the forecasts or the search, once the study has ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from lstm_tune.ablation.tried_advice import Trying, first_actions, try_actions
from lstm_tune.diagnosis.catalogue import mark_handled, nothing_handled
from lstm_tune.diagnosis.data_checks import CheckResults
from lstm_tune.diagnosis.evidence import Retrain, Scores, Search
from lstm_tune.diagnosis.finding import Finding, by_severity
from lstm_tune.diagnosis.gate import Circumstances, gate
from lstm_tune.diagnosis.search_checks import widenable
from lstm_tune.diagnosis.skill_checks import with_score
from lstm_tune.diagnosis.study_findings import study_findings
from lstm_tune.pipeline.holdout import TestResult
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.pipeline.prepare import Dataset, OpenStudy
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.pipeline.search_step import SearchOutcome
from lstm_tune.search.budget import Clock
from lstm_tune.search.space import Fixed, Space
from lstm_tune.search.trials import Trial
from lstm_tune.training.retrain import Retrained
from lstm_tune.training.task import Task
from lstm_tune.utils.text import counted

_MOST_TRIED = 3  # changes that are tried if there is no time limit, …
_TRIALS_PER_CHANGE = 4  # … and as many trials for each, since a change costs what a trial does; but one in any study


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Found:
    """What was found.

    Attributes:
        findings: the most severe one first.
        first: {(series, target): code of its most severe finding on the data}.
    """

    findings: tuple[Finding, ...] = ()
    first: Mapping[tuple[str, str], str] = field(default_factory=dict)


def diagnose_study(
    dataset: Dataset,
    task: Task,
    space: Space,
    options: TuneOptions,
    outcome: SearchOutcome,
    retrained: Retrained,
    tested: TestResult,
    clock: Clock,
) -> Found:
    """Return what data, trials, forecasts and search say about the MSE.

    Args:
        dataset: all rows.
        task: that the trials shared.
        space: that was searched, cut to what the data allow.
        options: of the study.
        outcome: the trials.
        retrained: the final models.
        tested: their scores on the test rows.
        clock: of the run.
    """
    best = outcome.best
    assert best is not None
    config = best.completed().config
    search = Search(
        trials=[trial for trial in outcome.trials if trial.finished],
        scores=_scores(task, best, tested),
        retrain=Retrain(
            seeds=tuple(s.mse_scaled for s in tested.alone),
            weights=tuple(member.weight for member, _ in retrained.models[0] if member.epochs),
        ),
        edges=widenable(space.edges(config), task.limits),
        levelled_off=outcome.levelled_off,
        searched=[name for name, parameter in space.parameters.items() if not isinstance(parameter, Fixed)],
    )
    results = CheckResults.of(dataset.series, dataset.split, task)
    of_data = by_severity(with_score(f, search.scores) for f in results.findings())
    of_study = study_findings(search, tested.forecasts)
    if not nothing_handled(finding.code for finding in of_study):
        of_data = mark_handled(of_data, config.params())
    known = Circumstances.of(
        task,
        params=config.params(),
        trials=search.trials,
        options={
            **options.to_dict(),
            "n_trials": options.trials,
            "timeout": clock.least_timeout(),
            "space": space.name,
        },
    )
    findings = gate(by_severity([*of_data, *of_study]), known)
    return Found(findings=tuple(findings), first=results.first())


def try_advice(
    findings: tuple[Finding, ...],
    outcome: SearchOutcome,
    task: Task,
    opened: OpenStudy,
    context: RunContext,
) -> tuple[Finding, ...]:
    """Try the first actions of the findings on the validation blocks; return the findings with what came of it.

    With a time limit, as many as fit into their share of it are tried; without one `changes_to_try`, so that the same
    seed gives the same findings.
    """
    clock, stop = context.clock, context.stop
    deadline = clock.advice_end()
    done = sum(trial.finished for trial in outcome.trials)
    asked = first_actions(findings, changes_to_try(done) if clock.timeout is None else None)
    if deadline <= time.monotonic():
        return findings
    if not asked or not context.options.try_advice or stop.requested or outcome.best is None:
        return findings
    context.progress.info(
        f"tries what the findings advise on the validation blocks: {counted(len(asked), 'change')} at most"
    )
    trying = Trying(
        task=task,
        best=outcome.best,
        seed=context.options.seed,
        precision=opened.precision,
        deadline=deadline,
        threads=opened.resources.threads,
        stop=lambda: stop.requested,
    )
    return tuple(try_actions(findings, asked, trying))


def changes_to_try(trials: int) -> int:
    """Return how many changes are tried after a study of so many trials that has no time limit: in proportion to it."""
    return min(_MOST_TRIED, max(1, trials // _TRIALS_PER_CHANGE))


def _scores(task: Task, best: Trial, tested: TestResult) -> Scores:
    unexplained = tested.decomposition["rest"]
    return Scores(
        val=best.completed().val_mse_scaled,
        test=tested.score.mse_scaled,
        fit=tested.fit.model,
        val_baselines={name: task.baselines[name][1] for name in tested.baselines},
        test_baselines={name: s.mse_scaled for name, s in tested.baselines.items()},
        fit_baselines=tested.fit.baselines,
        unexplained=math.nan if unexplained is None else unexplained,
        noise=tested.fit.noise,
        independent=task.independent_windows,
        coverage={
            float(level): (found.coverage, *found.coverage_ci95)
            for level, found in (tested.intervals or {}).get("model", {}).items()
        },
        skill_ci95={name: (1 - c.high, 1 - c.low) for name, c in tested.against.items()},
    )
