"""Advice that has been tried: what it says of a change is what a trial of the study says."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from series import daily, run_study, series_of, task_of, wave

from lstm_tune.ablation import tried_advice
from lstm_tune.ablation.tried_advice import Attempt, Trying, first_actions, settled, try_actions, with_attempts
from lstm_tune.data.split import make_split
from lstm_tune.diagnosis.action import Action, each, options, search
from lstm_tune.diagnosis.finding import Finding, Severity
from lstm_tune.search.trials import Trial, completed, read_trials
from lstm_tune.training.task import Task, build_task

SPACE: dict[str, Any] = {"lookback": 3, "hidden_units": 2, "epochs": 2, "learning_rate": 1e-5, "skip": "none"}
GOOD, BAD = {"lookback": 14, "skip": "linear"}, {"learning_rate": 1e-7}


def finding(*actions: Action, severity: Severity = "warn", by_hand: str = "") -> Finding:
    return Finding(code="biased", severity=severity, evidence={}, says="So it is.", actions=actions, by_hand=by_hand)


def problem(frame: pd.DataFrame | None = None) -> Task:
    return task_of(daily(wave(160)) if frame is None else frame, target="y", folds=2)


@pytest.fixture(scope="module")
def task() -> Task:
    return problem()


@pytest.fixture(scope="module")
def best(task: Task) -> Trial:
    return best_of(task, SPACE)


def best_of(task: Task, space: dict[str, Any]) -> Trial:
    study, _ = run_study(task, space)
    return completed(read_trials(study))[0]


def trying(task: Task, best: Trial, **changed: Any) -> Trying:
    given = {"seed": 0, "precision": "fp32", "deadline": math.inf, "threads": 1, "stop": lambda: False}
    return Trying(task=task, best=best, **(given | changed))


def try_one(of: Finding, how: Trying) -> Finding:
    (found,) = try_actions([of], first_actions([of]), how)
    return found


@pytest.mark.laws
def test_a_tried_change_has_the_value_of_a_trial_of_the_same_configuration(task: Task, best: Trial) -> None:
    change, before, after = search(**GOOD), best.completed(), best_of(task, SPACE | GOOD).completed()
    attempt = trying(task, best).attempt(change)
    assert attempt is not None
    found = with_attempts(finding(change), {change.describe(): attempt})
    expected = after.value / before.value - 1
    assert found.actions[0].tried == pytest.approx(expected, abs=1e-4)
    blocks = [new / old - 1 for new, old in zip(after.fold_mse_scaled, before.fold_mse_scaled, strict=True)]
    assert attempt.worst == pytest.approx(max(blocks), abs=1e-4)
    assert max(blocks) > min(blocks) + 1e-3
    assert expected < -0.3
    assert found.advice == f"Tried: lookback = 14 with skip = linear, validation score {expected:+.0%}."


def test_what_does_not_help_is_reported_and_no_longer_advised(task: Task, best: Trial) -> None:
    found = try_one(finding(search(**BAD), by_hand="Look."), trying(task, best))
    assert found.actions == ()
    assert found.rejected[0].space == BAD
    assert found.advice == "Look. Tried without gain: learning_rate = 1e-07 (validation score unchanged)."


@pytest.mark.laws
def test_other_test_rows_change_nothing_that_was_tried(best: Trial, task: Task) -> None:
    frame = daily(wave(160))
    frame.loc[128:, "y"] = np.random.default_rng(0).normal(1e3, 1e3, 32)
    series = series_of(frame, target="y")
    other = build_task(series, make_split(series, (0.7, 0.1, 0.2), task.shape.horizon), task.shape.horizon, folds=2)
    one, two = (trying(t, best).attempt(search(**GOOD)) for t in (task, other))
    assert one == two is not None


def test_the_most_promising_changes_of_warnings_are_tried_first() -> None:
    findings = [
        finding(search(gain=0.02, lookback=5), options(calendar=True, gain=0.9)),
        finding(search(gain=0.5, lookback=7), severity="info"),
        finding(search(gain=0.05, lookback=9), search(gain=0.02, lookback=5), severity="high"),
    ]
    assert [a.space for a in first_actions(findings)] == [{"lookback": 9}, {"lookback": 5}]
    twice = [finding(search(gain=0.9, lookback=5), search(gain=0.5, lookback=7)), finding(search(gain=0.1, lookback=5))]
    assert [a.space["lookback"] for a in first_actions(twice)] == [5, 7]
    assert [a.space for a in first_actions(findings, 1)] == [{"lookback": 9}]


@pytest.mark.laws
@pytest.mark.parametrize(
    ("attempt", "helps"),
    [
        (Attempt(change=-0.3, worst=-0.1), True),
        (Attempt(change=-0.3, worst=0.02), False),  # one block got worse
        (Attempt(change=-0.005, worst=-0.001), False),
        (Attempt(change=0.1, worst=0.2), False),
        (Attempt(change=None), False),  # it diverged
    ],
)
def test_only_what_helps_on_every_block_is_advised(attempt: Attempt, helps: bool) -> None:
    found = with_attempts(finding(search(lookback=9)), {"lookback = 9": attempt})
    assert (len(found.actions), len(found.rejected)) == ((1, 0) if helps else (0, 1))


def test_what_was_tried_with_gain_comes_before_what_was_not_tried() -> None:
    attempts = {"skip = last": Attempt(change=-0.3), "skip = ets": Attempt(change=None)}
    found = with_attempts(finding(*each(skip=("linear", "ets", "last"))), attempts)
    assert found.advice == (
        "Tried: skip = last, validation score -30%. Try skip = linear. "
        "Tried without gain: skip = ets (training diverged)."
    )


def test_a_change_that_diverges_is_not_advised(task: Task, best: Trial) -> None:
    diverges = search(learning_rate=10.0, optimizer="sgd", momentum=0.99, epochs=60, patience=60)
    found = try_one(finding(diverges), trying(task, best))
    assert "training diverged" in found.advice


def test_a_change_that_finds_no_memory_is_not_advised_and_any_other_error_is_raised(
    task: Task, best: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise RuntimeError(reason)

    monkeypatch.setattr(tried_advice, "train_as_trial", fail)
    reason = "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"
    assert trying(task, best).attempt(search(**GOOD)) == Attempt(change=None)
    reason = "shapes differ"
    with pytest.raises(RuntimeError, match=reason):
        trying(task, best).attempt(search(**GOOD))


@pytest.mark.parametrize("reason", ["time", "stop"])
def test_nothing_is_tried_after_the_end_of_the_time_or_a_stop(
    task: Task, best: Trial, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {"deadline": time.monotonic()} if reason == "time" else {"stop": lambda: True}
    found = try_one(finding(search(**GOOD)), trying(task, best, **changed))
    assert found.actions[0].tried is None
    assert found.rejected == ()


def test_a_training_that_is_cut_short_says_nothing(task: Task, best: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    train = tried_advice.train_as_trial
    monkeypatch.setattr(tried_advice, "train_as_trial", lambda *a, **k: train(*a, **(k | {"deadline": 0.0})))
    assert trying(task, best).attempt(search(**GOOD)) is None
    stops = iter([False] * 3 + [True] * 100)
    monkeypatch.undo()
    assert trying(task, best, stop=lambda: next(stops)).attempt(search(**GOOD)) is None


def test_the_result_does_not_depend_on_the_threads(task: Task, best: Trial) -> None:
    one, two = (trying(task, best, threads=n).attempt(search(**GOOD)) for n in (1, 2))
    assert one == two
    assert dataclasses.asdict(one or Attempt(change=None))["change"] < 0


def test_an_untried_value_gives_way_to_another_one_that_helps() -> None:
    tried = dataclasses.replace(Action(space={"lookback": 72}), tried=-0.03)
    first = Finding(code="underfit", severity="high", evidence={}, says="", actions=each(lookback=6, hidden_units=8))
    second = dataclasses.replace(first, code="missed_seasonality", actions=(tried, *each(lookback=48, skip="linear")))
    first, second = settled([first, second])
    assert first.advice == "Try hidden_units = 8. See also what missed_seasonality advises."
    assert second.advice == "Tried: lookback = 72, validation score -3%. Try skip = linear."
    third = dataclasses.replace(second, actions=each(lookback=6))
    assert settled([third])[0].actions == third.actions  # nothing has been tried
