"""When the search ends before its budget is used up."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from studies import outcome

from lstm_tune.pipeline import search_step
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.search.progress import Silent
from lstm_tune.search.trials import Trial
from lstm_tune.utils.signals import StopRequest


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def info(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("seconds", [None, 40.0])
def test_search_ends_when_no_epoch_fits_only_if_there_is_a_time_limit(
    seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = outcome(epochs=0, best_epoch=0, stopped="time")
    trials = [Trial(number=i, state="COMPLETE", value=0.5, outcome=cut) for i in range(3)]
    monkeypatch.setattr(search_step, "read_trials", lambda study: tuple(trials))
    told = Told()
    options = TuneOptions(n_trials=50, timeout=seconds)
    rule = search_step._StopRule(options, lambda: math.inf, StopRequest(), told, 0)
    stopped: list[bool] = []
    study: Any = SimpleNamespace(stop=lambda: stopped.append(True))
    for _ in range(2):
        rule(study, optuna.trial.create_trial(value=0.5))
    assert stopped == [True] * (seconds is not None)
    assert [note.partition(";")[0] for note in told.notes] == [
        "stopped after 3 trials: the time limit ended the last 3 before their first epoch"
    ] * len(stopped)


@pytest.mark.laws
@pytest.mark.parametrize("n_trials", [None, 500])
def test_search_ends_when_its_space_is_used_up_only_if_no_number_of_trials_is_asked_for(
    n_trials: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [Trial(number=0, state="COMPLETE", value=0.5, outcome=outcome())]
    monkeypatch.setattr(search_step, "read_trials", lambda study: tuple(trials))
    told = Told()
    options = TuneOptions(n_trials=n_trials, timeout=600.0)
    rule = search_step._StopRule(options, lambda: math.inf, StopRequest(), told, 0)
    stopped: list[int] = []
    study: Any = SimpleNamespace(stop=lambda: stopped.append(len(trials)))
    for number in range(1, 40):
        trials.append(Trial(number=number, state="COMPLETE", value=0.5, outcome=outcome(), same_as=0))
        rule(study, optuna.trial.create_trial(value=0.5))
    assert stopped == ([31] if n_trials is None else [])
    assert [note.partition(",")[0] for note in told.notes] == [
        "stopped after 31 trials: the last 30 repeated earlier ones"
    ] * len(stopped)
