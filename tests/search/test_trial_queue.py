"""Whose a trial is, what counts, and what is done again after an interruption or a loss."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import TrialState
from series import TINY, objective_of, task_of, wave
from studies import SPACE, study_of, value_of

from lstm_tune.search.stop_rules import stop_after_failures
from lstm_tune.search.trial_attributes import Attr
from lstm_tune.search.trial_queue import begin_trial, fail_and_requeue, fail_own_interrupted, n_counted
from lstm_tune.search.trials import Trial
from lstm_tune.storage.open import open_storage
from lstm_tune.utils.process import this_run


def fresh_study(storage: Any = None) -> optuna.Study:
    """The study as a process that begins or resumes it has it."""
    return study_of(storage=storage or open_storage(None), resume=True)


def test_trial_that_was_left_running_is_failed_and_tried_again_once() -> None:
    storage = open_storage(None)
    study = study_of(storage=storage)
    study.optimize(value_of, n_trials=2)
    params = SPACE.suggest(killed := study.ask()).params()
    for _ in range(2):
        study = study_of(storage=storage, resume=True)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 2 + [TrialState.FAIL, TrialState.WAITING]
    assert n_counted(study) == 2
    study.optimize(value_of, n_trials=1)
    assert study.trials[3].params == killed.params
    assert study.trials[3].params["lookback"] == params["lookback"]
    assert n_counted(study) == 3


def test_failed_and_pruned_trials_count_and_interrupted_ones_do_not() -> None:
    study = study_of()
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        study.add_trial(optuna.trial.create_trial(state=state, value=1.0 if state is TrialState.COMPLETE else None))
    gone = optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"interrupted": True})
    study.add_trial(gone)
    assert n_counted(study) == 3


def test_lost_trial_from_the_queue_keeps_what_it_had_not_taken_up() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"a": 1, "b": 2})
    study.ask().suggest_int("a", 0, 9)
    assert fail_and_requeue(study, 0, "gone") == "queued"
    assert study.ask({"b": optuna.distributions.IntDistribution(0, 9)}).params == {"b": 2}
    assert study.trials[0].user_attrs["traceback"] == "gone"


def test_trials_carry_the_process_that_has_them() -> None:
    study = fresh_study()
    study.optimize(lambda trial: 1.0, n_trials=1)
    assert study.trials[0].user_attrs[Attr.RUN] == this_run()


def test_only_own_trials_are_dropped() -> None:
    study = fresh_study()
    mine, other = begin_trial(study, "here/1/1"), begin_trial(study, "there/2/2")
    fail_own_interrupted(study, "here/1/1")
    states = [study.trials[t.number].state for t in (mine, other)]
    assert states == [TrialState.FAIL, TrialState.RUNNING]


def test_what_was_lost_is_begun_before_what_else_is_queued() -> None:
    study = fresh_study()
    for x in range(3):
        study.enqueue_trial({"x": x})
    first = study.ask()
    first.suggest_int("x", 0, 9)
    assert fail_and_requeue(study, first.number, "gone") == "queued"
    assert study.ask().suggest_int("x", 0, 9) == 0
    assert study.ask().suggest_int("x", 0, 9) == 1


def test_trial_that_has_ended_meanwhile_is_not_lost() -> None:
    study = fresh_study()
    trial = study.ask()
    study.tell(trial, 1.0)
    assert fail_and_requeue(study, trial.number, "gone") == "ended"
    assert [t.state for t in study.trials] == [TrialState.COMPLETE]


def test_supervisor_killed_between_failing_a_trial_and_queueing_it_loses_nothing() -> None:
    storage = open_storage(None)
    study = fresh_study(storage)
    trial = study.ask()
    trial.set_user_attr("lost", "its worker ended with SIGKILL")
    study.tell(trial, state=TrialState.FAIL)
    assert n_counted(study) == 0
    for _ in range(2):
        study = fresh_study(storage)
    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_supervisor_that_dies_of_a_configuration_gives_it_up_at_the_third_time() -> None:
    storage = open_storage(None)
    for _ in range(3):
        fresh_study(storage).ask()
    study = fresh_study(storage)
    assert [t.state for t in study.trials] == [TrialState.FAIL] * 3
    assert n_counted(study) == 1


def test_interruptions_by_the_user_do_not_count_as_losses() -> None:
    storage = open_storage(None)
    for _ in range(5):
        fresh_study(storage).ask()
        fail_own_interrupted(fresh := optuna.load_study(study_name="s", storage=storage), this_run())
    assert n_counted(fresh) == 0
    assert [t.state for t in fresh_study(storage).trials] == [TrialState.FAIL] * 5 + [TrialState.WAITING]


def test_trial_that_repeats_another_keeps_what_it_was_begun_for() -> None:
    study = fresh_study()
    solve = objective_of(task_of(wave()), TINY)
    for _ in range(2):
        study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    for lost in (1, 0):
        study.enqueue_trial({}, user_attrs={"repeats": lost})
    study.optimize(solve, n_trials=2)
    again = Trial.of(study.trials[3])
    assert (again.repeats, again.same_as) == (0, 2)


def test_lost_trials_are_no_failures_in_a_row() -> None:
    study = fresh_study()
    for _ in range(12):
        study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"lost": "SIGKILL"}))
    study.optimize(lambda trial: 1.0, n_trials=1, callbacks=[stop_after_failures])
    assert study.trials[-1].state is TrialState.COMPLETE
