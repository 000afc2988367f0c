"""The one view of a trial: what the objective writes is what is read, and what was damaged is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from series import TINY, objective_of, task_of, wave
from studies import outcome

from lstm_tune.config import Config
from lstm_tune.errors import StudyError
from lstm_tune.search.trials import Trial, candidates, completed, distinct, read_trials
from lstm_tune.storage.journal import open_journal
from lstm_tune.storage.open import open_storage


@pytest.fixture(scope="module")
def study() -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective_of(task_of(wave()), TINY), n_trials=2)
    return study


def damaged(study: optuna.Study, **changes: Any) -> optuna.trial.FrozenTrial:
    """The first trial, with some of its attributes changed by hand."""
    first = study.trials[0]
    return create_trial(
        value=first.value,
        params=first.params,
        distributions=first.distributions,
        user_attrs=first.user_attrs | changes,
    )


def test_trial_is_read_as_the_objective_wrote_it(study: optuna.Study) -> None:
    for frozen, trial in zip(study.trials, read_trials(study), strict=True):
        done = trial.completed()
        assert (trial.number, trial.state, done.value) == (frozen.number, "COMPLETE", frozen.value)
        assert {name: trial.settings[name] for name in frozen.params} == frozen.params
        assert len(trial.history) == done.epochs + 1
        assert done.value == pytest.approx(min(e.val for e in trial.history if e.val is not None), rel=1e-6)
        assert trial.history[done.best_epoch].val == pytest.approx(done.value, rel=1e-6)
        assert dict(trial.reports) == frozen.intermediate_values
        assert done.samples > 0
        curve = trial.curve()
        assert curve is not None
        assert (curve.best, curve.epochs) == (done.best_epoch, done.epochs)


@pytest.mark.parametrize("name", ["study.journal", "sqlite:///study.db", None])
def test_trials_that_wait_are_read_once_and_again_when_they_begin(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(storage=open_storage(name))
    for _ in range(3):
        study.enqueue_trial({})
    read: list[int] = []
    of = Trial.of
    monkeypatch.setattr(Trial, "of", lambda frozen: (read.append(frozen.number), of(frozen))[1])
    for _ in range(2):
        assert [t.state for t in read_trials(study)] == ["WAITING"] * 3
    study.tell(study.ask(), 1.0)
    for _ in range(2):
        assert [t.state for t in read_trials(study)] == ["COMPLETE", "WAITING", "WAITING"]
    assert read == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"best_epoch": 10**9}, "best_epoch must be at most 2, its trained epochs, but is 1000000000"),
        ({"epochs": 10**9}, "epochs must be at most 2, the epochs of its configuration, but is 1000000000"),
        ({"best_epoch": -1}, "best_epoch must be a whole number of at least 0, but is -1"),
        ({"best_epoch": "two"}, "best_epoch must be a whole number of at least 0, but is 'two'"),
        ({"best_epoch": True}, "best_epoch must be a whole number"),
        ({"config": []}, "config must be values by their names"),
        ({"config": {"layers": 0}}, "config must be a configuration (layers must be a whole number of at least 1"),
        ({"config": {"wings": 2}}, "config must be a configuration (unknown parameter 'wings'"),
        ({"factors": "1"}, "factors must be a list of numbers, but is '1'"),
        ({"fold_mse_scaled": [None]}, "fold_mse_scaled must be a number"),
        ({"fold_mse_scaled": []}, "fold_mse_scaled must be a list of at least one number"),
        ({"start": None}, "start must be a number, but is None"),
        ({"history": [[0, 1]]}, "history must be rows of 5 numbers"),
        ({"repeats": 0}, "repeats must be the number of an earlier trial, but is 0"),
    ],
)
def test_damaged_record_is_refused_in_one_line(study: optuna.Study, changes: dict[str, Any], words: str) -> None:
    other = optuna.create_study()
    other.add_trial(damaged(study, **changes))
    with pytest.raises(StudyError) as caught:
        read_trials(other)
    text = str(caught.value)
    assert words in text
    assert text.startswith("trial 0 of the study is damaged, or was edited: ")
    assert "restore the study from a copy" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ('"values":["x"]', "value must be a number, but is ['x']"),
        ('"values":[null]', "value must be a number, but is [None]"),
        ('"values":[true]', "value must be a number, but is [True]"),
    ],
)
def test_value_that_was_edited_in_the_journal_is_refused(tmp_path: Path, edit: str, words: str) -> None:
    path = tmp_path / "study.journal"
    optuna.create_study(storage=open_journal(path)).optimize(lambda trial: 0.5, n_trials=1)
    path.write_text(path.read_text().replace('"values":[0.5]', edit))
    study = optuna.load_study(study_name=None, storage=open_journal(path))
    with pytest.raises(StudyError) as caught:
        read_trials(study)
    assert words in str(caught.value)


def test_completed_trial_of_another_program_is_no_member_of_a_model() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=1.0))
    [trial] = read_trials(study)
    assert trial.outcome is None
    assert not trial.trained
    with pytest.raises(StudyError, match=r"trial 0 was not completed by lstm_tune; use another study_name="):
        candidates([trial])


@pytest.mark.parametrize("value", [math.inf, -1.0])
def test_completed_trial_has_a_value_that_an_error_can_have(study: optuna.Study, value: float) -> None:
    first = study.trials[0]
    with pytest.raises(StudyError, match=r"value must be a finite number of at least 0, but is"):
        Trial.of(create_trial(value=value, user_attrs=first.user_attrs))


def test_start_of_a_study_of_an_old_version_is_unknown(study: optuna.Study) -> None:
    frozen = study.trials[0]
    attrs = {name: value for name, value in frozen.user_attrs.items() if name != "start"}
    assert Trial.of(create_trial(value=1.0, user_attrs=attrs)).completed().start == math.inf


def test_trials_are_ranked_by_value_then_number_and_equal_ones_count_once() -> None:
    def trial(number: int, value: float) -> Trial:
        return Trial(number=number, state="COMPLETE", value=value, config=Config(), outcome=outcome(value=value))

    trials = [trial(0, 2.0), trial(1, 1.0), trial(2, 3.0), trial(3, 1.0)]
    assert [t.number for t in completed(trials)] == [1, 3, 0, 2]
    assert [t.number for t in distinct(trials)] == [1, 0, 2]


def test_candidate_without_a_simple_forecast_has_no_start() -> None:
    plain, corrects = Config(), Config(skip="last")
    trials = [
        Trial(number=i, state="COMPLETE", value=1.0 + i, config=c, outcome=outcome(value=1.0 + i, config=c, start=0.9))
        for i, c in enumerate((plain, corrects))
    ]
    assert [(c.number, c.start) for c in candidates(trials)] == [(0, math.inf), (1, 0.9)]


def test_failed_trial_shows_the_last_line_of_its_traceback() -> None:
    frozen = create_trial(state=TrialState.FAIL, user_attrs={"traceback": "Traceback …\nValueError: no luck\n"})
    assert Trial.of(frozen).failure == "ValueError: no luck"


@pytest.mark.parametrize("storage", ["memory", "journal", "sqlite"])
def test_trials_that_have_ended_are_read_once_and_running_ones_each_time(tmp_path: Path, storage: str) -> None:
    names = {"memory": None, "journal": str(tmp_path / "a.journal"), "sqlite": f"sqlite:///{tmp_path / 'a.db'}"}
    study = optuna.create_study(storage=open_storage(names[storage]))
    study.optimize(lambda trial: 0.5, n_trials=2)
    running = study.ask()
    first = read_trials(study)
    running.set_user_attr("run", "here/1/1")
    second = read_trials(study)
    assert [a is b for a, b in zip(first, second, strict=True)] == [True, True, False]
    assert (first[2].run, second[2].run) == (None, "here/1/1")
    study.tell(running, 0.25)
    assert read_trials(study)[2].value == 0.25
