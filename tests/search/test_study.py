"""The study: created, resumed or refused, and when it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from studies import SPACE, outcome, study_of

from lstm_tune.errors import StudyError
from lstm_tune.search.stop_rules import cut_in_a_row, gained_nothing, stop_after_failures
from lstm_tune.search.trial_queue import enqueue_known
from lstm_tune.search.trials import Trial, completed, read_trials
from lstm_tune.storage.open import open_storage


def test_study_is_refused_without_resume_and_with_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    study_of(storage=open_storage(path), settings={"seed": 0, "split": [0.7, 0.1, 0.2]})
    for options, words in (
        ({"settings": {"seed": 0}}, "pass resume=True"),
        ({"settings": {"seed": 1}, "resume": True}, r"another seed \(0, now 1\)"),
        ({"settings": {"split": (0.6, 0.2, 0.2)}, "resume": True}, "another split"),
    ):
        with pytest.raises(StudyError, match=words) as caught:
            study_of(storage=open_storage(str(path)), **options)
        assert "\n" not in str(caught.value)
    study_of(storage=open_storage(path), settings={"split": (0.7, 0.1, 0.2)}, resume=True)


def test_study_of_somebody_else_is_refused() -> None:
    storage = open_storage(None)
    optuna.create_study(storage=storage, study_name="s")
    with pytest.raises(StudyError, match="was not made by lstm_tune"):
        study_of(storage=storage, resume=True)


def test_completed_trials_are_ranked_by_value_then_number() -> None:
    study = study_of()
    for value in (2.0, 1.0, 3.0, 1.0):
        study.add_trial(optuna.trial.create_trial(value=value))
    assert [t.number for t in completed(read_trials(study))] == [1, 3, 0, 2]


def test_known_configurations_are_queued_once() -> None:
    study = study_of()
    for _ in range(2):
        enqueue_known(study, SPACE)
    assert [t.state for t in study.trials] == [TrialState.WAITING]


def test_nine_failures_are_borne_and_ten_are_not() -> None:
    def broken(trial: optuna.Trial) -> float:
        trial.set_user_attr("traceback", "…\nValueError: no luck")
        raise ValueError

    study = study_of()
    study.optimize(broken, n_trials=9, catch=(ValueError,), callbacks=[stop_after_failures])
    with pytest.raises(StudyError, match=r"10 trials in a row failed, so the study was stopped; .* no luck"):
        study.optimize(broken, n_trials=9, catch=(ValueError,), callbacks=[stop_after_failures])
    assert len(study.trials) == 10


def test_three_trials_in_a_row_without_an_epoch_are_noticed() -> None:
    def ended(*epochs: int) -> list[Trial]:
        return [
            Trial(number=i, state="COMPLETE", value=0.5, outcome=outcome(epochs=e, best_epoch=0, stopped="time"))
            for i, e in enumerate(epochs)
        ]

    assert cut_in_a_row(ended(4, 0, 0, 0), 0)
    assert not cut_in_a_row(ended(0, 0), 0)
    assert not cut_in_a_row(ended(0, 0, 1, 0, 0), 0)
    assert not cut_in_a_row(ended(0, 0, 0), 1)  # the first was one of an earlier call
    patient = [replace(t, outcome=replace(t.completed(), stopped="patience")) for t in ended(0, 0, 0)]
    assert not cut_in_a_row(patient, 0)


# ---- the objective


def study_with(values: list[float | None]) -> optuna.Study:
    """A study whose trials had these values; None: pruned."""
    study = study_of()
    for value in values:
        if value is None:
            study.add_trial(optuna.trial.create_trial(state=TrialState.PRUNED))
        else:
            study.add_trial(optuna.trial.create_trial(value=value))
    return study


@pytest.mark.parametrize(
    ("values", "gained"),
    [
        ([], True),
        ([1.0, 0.5, 0.5], True),
        ([1.0, 0.5, 0.5, None, 0.6], False),
        ([1.0, 0.5, 0.499, 0.498, 0.497], False),  # less than 1% each
        ([1.0, 0.5, None, None, 0.49], True),
    ],
)
def test_three_trials_that_take_nothing_off_the_best_value_are_noticed(
    values: list[float | None], gained: bool
) -> None:
    assert gained_nothing(read_trials(study_with(values)), 3) is not gained


def test_study_with_trials_in_the_queue_has_not_gained_nothing_yet() -> None:
    study = study_with([0.5, 0.6, 0.6, 0.6])
    study.enqueue_trial({"lookback": 3})
    assert not gained_nothing(read_trials(study), 3)
