"""The gate: what is on already, refused by the data, rejected by the search or contradicted is never advised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from series import daily, task_of, wave

from lstm_tune.config import Config
from lstm_tune.diagnosis.action import Action, at_least, each, options, scaled, sentence
from lstm_tune.diagnosis.finding import SHOWN, Finding, Severity
from lstm_tune.diagnosis.gate import Circumstances, gate
from lstm_tune.diagnosis.next_step import next_step
from lstm_tune.search.trials import Trial

TASK = task_of(daily(wave(300)), target="y")
DATELESS = task_of(wave(300) - 5.0)


def finding(*actions: Action, severity: Severity = "warn", code: str = "biased") -> Finding:
    return Finding(code=code, severity=severity, evidence={}, says="So it is.", actions=actions)


def advised(*findings: Finding, task: Any = TASK, params: Any = None, **known: Any) -> list[list[str]]:
    """What each finding advises in a study that was won by the plain LSTM with some parameters changed."""
    given = Circumstances.of(task, params=Config(**(params or {})).params(), **known)
    return [[action.describe() for action in f.actions] for f in gate(findings, given)]


def trial(number: int, **config: Any) -> Trial:
    return Trial(number=number, state="COMPLETE", config=Config(**config), value=1.0)


def test_what_the_winner_has_already_is_not_advised() -> None:
    told = advised(finding(*each(window_norm="last", skip="linear")), params={"skip": "linear"})
    assert told == [["window_norm = last"]]
    assert advised(finding(*at_least(lookback=20)), params={"lookback": 21}) == [[]]
    assert advised(finding(*at_least(lookback=60)), params={"lookback": 21}) == [["lookback = 60"]]


def test_what_the_data_refuse_is_not_advised() -> None:
    asked = finding(*each(transform="log", difference="seasonal"), options(calendar=True))
    assert advised(asked, task=TASK) == [["transform = log", "difference = seasonal", "--calendar"]]
    noise = task_of(np.random.default_rng(0).normal(size=300))
    assert advised(asked, task=noise) == [[]]


def test_the_calendar_is_not_advised_while_it_is_on() -> None:
    on = task_of(daily(wave(300)), target="y", calendar=True)
    assert advised(finding(options(calendar=True)), task=on) == [[]]
    yearly = daily(wave(120)).assign(date=np.arange(1900, 2020).astype(str))
    assert advised(finding(options(calendar=True)), task=task_of(yearly, target="y")) == [[]]


def test_numbers_are_brought_within_what_the_data_allow() -> None:
    most = TASK.limits.max_lookback
    assert advised(finding(*at_least(lookback=10_000))) == [[f"lookback = {most}"]]
    assert advised(finding(*at_least(lookback=10_000)), params={"lookback": most}) == [[]]


def test_factors_become_values_of_the_winner() -> None:
    told = advised(finding(*scaled(learning_rate=0.1, hidden_units=2, timeout=2)), options={"timeout": 60.0})
    assert told == [["learning_rate = 0.0001", "hidden_units = 100", "--timeout 120s"]]
    assert advised(finding(*scaled(timeout=2))) == [[]]  # no time limit cut anything


def test_what_the_search_has_tried_and_not_chosen_is_not_advised() -> None:
    asked = finding(*each(skip="linear", window_norm="last"))
    alone = [trial(0), trial(1, skip="linear")]  # the winner with this one change
    assert advised(asked, trials=alone) == [["window_norm = last"]]
    often = [trial(i, skip="linear", lookback=10 + i) for i in range(3)]
    assert advised(asked, trials=often) == [["window_norm = last"]]
    assert advised(asked, trials=often[:2]) == [["skip = linear", "window_norm = last"]]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (at_least(lookback=60), scaled(lookback=0.5)),
        (scaled(hidden_units=0.5), each(dropout=0.0)),  # both change the capacity, in opposite directions
        (scaled(learning_rate=3), scaled(learning_rate=0.1)),
    ],
)
def test_the_more_severe_of_two_findings_that_contradict_each_other_is_followed(first: Any, second: Any) -> None:
    told = advised(finding(*second), finding(*first, severity="high"))
    assert told[0] == []
    assert len(told[1]) == 1


def test_options_are_advised_only_if_they_are_more_than_before() -> None:
    asked = finding(options(retrain_seeds=3), options(folds=5))
    assert advised(asked, options={"retrain_seeds": 1, "folds": 1}) == [["--retrain-seeds 3", "--folds 5"]]
    assert advised(asked, options={"retrain_seeds": 3, "folds": 3}) == [[]]  # the data allow one fold, three were asked


def test_advice_is_made_of_the_actions() -> None:
    found = finding(*each(window_norm="last", difference=("first", "seasonal")))
    assert found.advice == "Try window_norm = last, difference = first or difference = seasonal."
    tried = Action(space={"lookback": 1008}, tried=-0.31)
    assert sentence((tried,), "Look at it.") == "Tried: lookback = 1008, validation score -31%. Look at it."
    assert sentence((), "") == "No setting is left to try for this."


def test_next_step_is_the_action_with_the_largest_gain() -> None:
    findings = gate(
        [finding(*each(loss="huber"), severity="high"), finding(*at_least(lookback=60, gain=0.3), code="underfit")],
        Circumstances.of(TASK, params=Config().params()),
    )
    step = next_step([f.to_dict() for f in findings])
    assert step is not None
    assert (step.code, step.says) == ("underfit", "try lookback = 60 (for underfit)")
    assert next_step([finding(*each(loss="huber", gain=0.001)).to_dict()]) is None


def test_what_helps_is_not_reported_as_helping_too_if_nothing_else_is_advised() -> None:
    assert sentence((), "More rows help, too.") == "More rows help."
    assert sentence(each(skip="ets"), "More rows help, too.") == "Try skip = ets. More rows help, too."


def test_the_same_advice_is_told_once_by_the_finding_that_expects_most_of_it() -> None:
    asked = (
        finding(*each(skip="linear"), *at_least(lookback=60), code="biased"),
        finding(*each(skip="linear", gain=0.3), code="underfit"),
        finding(*at_least(lookback=60), severity="info", code="seasonality"),
    )
    first, second, third = gate(asked, Circumstances.of(TASK, params=Config().params()))
    assert first.advice == "Try lookback = 60. See also what underfit advises."
    assert second.advice == "Try skip = linear."
    assert third.advice == "See what biased advises."
    assert [len(f.actions) for f in (first, second, third)] == [2, 1, 1]  # each can still be followed by its code


def test_advice_is_told_by_a_finding_that_is_shown() -> None:
    many = [finding(code=f"c{i}") for i in range(SHOWN - 1)]
    asked = [*many, finding(*each(skip="linear")), finding(*each(skip="linear", gain=0.3), code="underfit")]
    *_, shown, hidden = gate(asked, Circumstances.of(TASK, params=Config().params()))
    assert (shown.advice, hidden.advice) == ("Try skip = linear.", "See what biased advises.")


def test_what_was_tried_without_gain_is_told_once() -> None:
    failed = Action(space={"skip": "ets"}, tried=0.2)
    assert sentence((), "", (failed,)).endswith("Tried without gain: skip = ets (validation score +20%).")
    assert sentence((), "Look.", (failed,), {"skip = ets": "underfit"}) == "Look."
