"""The objective: what a trial trains, repeats, keeps and reports."""

from __future__ import annotations

import math
import time
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from series import TINY, objective_of, task_of, wave
from studies import study_of

from lstm_tune.errors import UsageError
from lstm_tune.search.trials import completed, read_trials

pytestmark = pytest.mark.usefixtures("short_epochs")


def test_equal_configurations_are_trained_once() -> None:
    begun: list[int] = []
    objective = objective_of(task_of(wave()), TINY | {"skip": ["none", "last"]}, on_epoch=lambda n, s: begun.append(n))
    study = study_of()
    for skip in ("none", "last", "none"):
        study.enqueue_trial({"skip": skip})
    study.optimize(objective, n_trials=3)
    assert sorted(set(begun)) == [0, 1]
    first, _, twin = study.trials
    assert (twin.value, twin.intermediate_values) == (first.value, first.intermediate_values)
    assert twin.user_attrs["same_as_trial"] == 0
    assert {**twin.user_attrs, "same_as_trial": 0} == {**first.user_attrs, "same_as_trial": 0}


def test_twin_of_a_pruned_trial_is_pruned() -> None:
    wild = {"learning_rate": 10.0, "optimizer": "sgd", "gradient_clip": 0.0, "activation": "relu", "epochs": 8}
    study = study_of()
    study.optimize(objective_of(task_of(1e3 * wave()), TINY | wild), n_trials=2)
    assert [t.state for t in study.trials] == [TrialState.PRUNED] * 2
    assert study.trials[1].user_attrs["pruned_because"] == "the same configuration as trial 0, which was pruned"


def test_configuration_whose_trial_the_time_limit_cut_is_trained_again() -> None:
    ends = iter([time.monotonic(), math.inf, math.inf])
    study = study_of()
    study.optimize(objective_of(task_of(wave()), TINY, deadline=lambda: next(ends)), n_trials=3)
    cut, whole, twin = read_trials(study)
    assert (cut.completed().stopped, whole.completed().stopped) == ("time", "epochs")
    assert (whole.same_as, twin.same_as) == (None, 1)


def test_value_is_a_function_of_configuration_and_seed_not_of_the_number() -> None:
    problem = task_of(wave())
    values = []
    for order in (("none", "last"), ("last", "none")):
        study = study_of()
        for skip in order:
            study.enqueue_trial({"skip": skip})
        study.optimize(objective_of(problem, TINY | {"skip": ["none", "last"], "dropout": 0.3}), n_trials=2)
        values.append({t.params["skip"]: t.value for t in study.trials})
    assert values[0] == values[1]


def test_failed_trial_keeps_its_traceback() -> None:
    def broken(number: int, stats: Any) -> None:
        raise ZeroDivisionError("on purpose")

    study = study_of()
    study.optimize(objective_of(task_of(wave()), TINY, on_epoch=broken), n_trials=1, catch=(Exception,))
    assert study.trials[0].state is TrialState.FAIL
    assert study.trials[0].user_attrs["traceback"].strip().endswith("ZeroDivisionError: on purpose")


def test_lack_of_memory_is_pruned() -> None:
    def full(number: int, stats: Any) -> None:
        raise MemoryError("no more")

    study = study_of()
    study.optimize(objective_of(task_of(wave()), TINY, on_epoch=full), n_trials=1)
    assert study.trials[0].state is TrialState.PRUNED
    assert study.trials[0].user_attrs["pruned_because"] == "out of memory: no more"


def test_best_models_of_the_process_are_kept() -> None:
    objective = objective_of(task_of(wave()), TINY | {"skip": ["none", "last"]})
    study = study_of()
    for skip in ("none", "last"):
        study.enqueue_trial({"skip": skip})
    study.optimize(objective, n_trials=2)
    assert objective.best is not None
    assert (objective.best.number, objective.best.value) == (study.best_trial.number, study.best_value)


@pytest.mark.parametrize("directions", [["maximize"], ["minimize", "minimize"]])
def test_a_study_that_does_not_minimize_one_value_is_refused(directions: list[str]) -> None:
    study = optuna.create_study(directions=directions)
    with pytest.raises(UsageError, match="direction='minimize'"):
        study.optimize(objective_of(task_of(wave()), TINY), n_trials=1)


def test_what_each_completed_trial_trained_is_handed_over() -> None:
    handed: list[tuple[int, int]] = []
    objective = objective_of(
        task_of(wave(), folds=2),
        TINY | {"lookback": [4, 8]},
        on_trained=lambda trained: handed.append((trained.number, len(trained.models))),
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.NopPruner())
    study.optimize(objective, n_trials=3)
    trained = [t.number for t in completed(read_trials(study)) if t.same_as is None]
    assert handed == [(number, 2) for number in sorted(trained)]
