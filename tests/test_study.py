"""The study: samplers and pruners, resuming, the budget of trials, equal configurations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from support import TINY, task_of, wave

from lstm_tune.errors import StudyError, UsageError
from lstm_tune.objective import Objective
from lstm_tune.pruners import PRUNERS, make_pruner
from lstm_tune.requeue import spent
from lstm_tune.samplers import SAMPLERS, make_sampler
from lstm_tune.space import space_from_mapping
from lstm_tune.storage import (
    journal_storage,
    mask_password,
    open_storage,
)
from lstm_tune.study import (
    completed,
    create_study,
    enqueue_known,
    gained_nothing,
    stop_after_failures,
)

pytestmark = pytest.mark.usefixtures("short_epochs")

SPACE = space_from_mapping(
    {
        "lookback": {"low": 2, "high": 60},
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "skip": ["none", "last"],
    }
)


def study_of(sampler: Any = "random", pruner: Any = "none", seed: int = 0, **options: Any) -> optuna.Study:
    given = {
        "name": "s",
        "settings": {"seed": 0},
        "resume": False,
        "alone": False,
        "storage": open_storage(None),
    } | options
    return create_study(
        given.pop("storage"),
        given.pop("name"),
        given.pop("settings"),
        sampler=make_sampler(sampler, seed, SPACE),
        pruner=make_pruner(pruner, 30),
        **given,
    )


def value_of(trial: optuna.Trial) -> float:
    config = SPACE.suggest(trial)
    return (config.lookback - 20) ** 2 + config.learning_rate + (config.skip == "none")


def tried(study: optuna.Study) -> list[dict[str, Any]]:
    return [t.params for t in study.trials]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_searches_and_repeats_itself_by_its_seed(sampler: str) -> None:
    found = []
    for seed in (3, 3, 4):
        study = study_of(sampler, seed=seed)
        study.optimize(value_of, n_trials=12 if sampler != "gp" else 5)
        found.append(tried(study))
    assert found[0] == found[1] != found[2]
    assert len({str(params) for params in found[0]}) > 3


@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_pruner_has_a_name(pruner: str) -> None:
    assert isinstance(make_pruner(pruner, 30), optuna.pruners.BasePruner)
    assert isinstance(make_pruner(pruner, 1), optuna.pruners.BasePruner)


def test_own_sampler_and_pruner_are_taken_as_they_are() -> None:
    sampler, pruner = optuna.samplers.RandomSampler(), optuna.pruners.NopPruner()
    assert make_sampler(sampler, 0, SPACE) is sampler
    assert make_pruner(pruner, 30) is pruner


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="sampler must be one of tpe, random, gp, cmaes, grid, but is 'x'"):
        make_sampler("x", 0, SPACE)
    with pytest.raises(UsageError, match="pruner must be one of median, none"):
        make_pruner("x", 30)


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_suggestions_depend_on_seed_and_number_alone(sampler: str) -> None:
    whole = study_of(sampler)
    whole.optimize(value_of, n_trials=14)
    storage = open_storage(None)
    for _ in range(2):  # as after an interruption: a new sampler on the same study
        part = study_of(sampler, storage=storage, resume=True)
        part.optimize(value_of, n_trials=7)
    assert tried(part) == tried(whole)


def test_study_is_refused_without_resume_and_with_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    study_of(storage=open_storage(path), settings={"seed": 0, "split": [0.7, 0.1, 0.2]})
    for options, words in (
        ({"settings": {"seed": 0}}, "pass --resume"),
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


def test_trial_that_was_left_running_is_failed_and_tried_again_once() -> None:
    storage = open_storage(None)
    study = study_of(storage=storage)
    study.optimize(value_of, n_trials=2)
    params = SPACE.suggest(killed := study.ask()).params()
    for _ in range(2):
        study = study_of(storage=storage, resume=True)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 2 + [TrialState.FAIL, TrialState.WAITING]
    assert spent(study) == 2
    study.optimize(value_of, n_trials=1)
    assert study.trials[3].params == killed.params
    assert study.trials[3].params["lookback"] == params["lookback"]
    assert spent(study) == 3


def test_failed_and_pruned_trials_count_and_interrupted_ones_do_not() -> None:
    study = study_of()
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        study.add_trial(optuna.trial.create_trial(state=state, value=1.0 if state is TrialState.COMPLETE else None))
    gone = optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"interrupted": True})
    study.add_trial(gone)
    assert spent(study) == 3


def test_completed_trials_are_ranked_by_value_then_number() -> None:
    study = study_of()
    for value in (2.0, 1.0, 3.0, 1.0):
        study.add_trial(optuna.trial.create_trial(value=value))
    assert [t.number for t in completed(study)] == [1, 3, 0, 2]


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


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:secret@host:5/db", "postgresql+psycopg://me:***@host:5/db"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("runs/study.journal", "runs/study.journal"),
    ],
)
def test_password_is_not_shown(url: str, shown: str) -> None:
    assert mask_password(url) == shown


def test_storage_that_cannot_be_opened_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        open_storage("nosuch://me:secret@host/db")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(StudyError, match="cannot open the study file"):
        open_storage(tmp_path / "nothing" / "study.journal")


def test_journal_means_one_file_whatever_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study_of(storage=journal_storage(Path("study.journal")))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    again = journal_storage(Path("../study.journal"))
    assert optuna.get_all_study_names(again) == ["s"]


def test_journal_waits_for_the_disk_once_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    study = study_of(storage=journal_storage(tmp_path / "study.journal"))
    monkeypatch.setattr(os, "fsync", synced.append)
    study.optimize(value_of, n_trials=3)
    assert len(synced) == 3
    again = study_of(storage=journal_storage(tmp_path / "study.journal"), resume=True)
    assert tried(again) == tried(study)


# ---- the objective


def test_equal_configurations_are_trained_once() -> None:
    begun: list[int] = []
    objective = Objective(task_of(wave()), TINY | {"skip": ["none", "last"]}, on_epoch=lambda n, s: begun.append(n))
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
    study.optimize(Objective(task_of(1e3 * wave()), TINY | wild), n_trials=2)
    assert [t.state for t in study.trials] == [TrialState.PRUNED] * 2
    assert study.trials[1].user_attrs["pruned_because"] == "the same configuration as trial 0, which was pruned"


def test_value_is_a_function_of_configuration_and_seed_not_of_the_number() -> None:
    problem = task_of(wave())
    values = []
    for order in (("none", "last"), ("last", "none")):
        study = study_of()
        for skip in order:
            study.enqueue_trial({"skip": skip})
        study.optimize(Objective(problem, TINY | {"skip": ["none", "last"], "dropout": 0.3}), n_trials=2)
        values.append({t.params["skip"]: t.value for t in study.trials})
    assert values[0] == values[1]


def test_failed_trial_keeps_its_traceback() -> None:
    def broken(number: int, stats: Any) -> None:
        raise ZeroDivisionError("on purpose")

    study = study_of()
    study.optimize(Objective(task_of(wave()), TINY, on_epoch=broken), n_trials=1, catch=(Exception,))
    assert study.trials[0].state is TrialState.FAIL
    assert study.trials[0].user_attrs["traceback"].strip().endswith("ZeroDivisionError: on purpose")


def test_lack_of_memory_is_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int, stats: Any) -> None:
        raise MemoryError("no more")

    study = study_of()
    study.optimize(Objective(task_of(wave()), TINY, on_epoch=full), n_trials=1)
    assert study.trials[0].state is TrialState.PRUNED
    assert study.trials[0].user_attrs["pruned_because"] == "out of memory: no more"


def test_best_models_of_the_process_are_kept() -> None:
    objective = Objective(task_of(wave()), TINY | {"skip": ["none", "last"]})
    study = study_of()
    for skip in ("none", "last"):
        study.enqueue_trial({"skip": skip})
    study.optimize(objective, n_trials=2)
    assert objective.best is not None
    assert (objective.best.number, objective.best.value) == (study.best_trial.number, study.best_value)


@pytest.mark.parametrize("directions", [["maximize"], ["minimize", "minimize"]])
def test_a_study_that_does_not_minimize_one_value_is_refused(directions: list[str]) -> None:
    study = optuna.create_study(directions=directions)
    with pytest.raises(UsageError, match="one direction 'minimize'"):
        study.optimize(Objective(task_of(wave()), TINY), n_trials=1)


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
    assert gained_nothing(study_with(values), 3) is not gained


def test_study_with_trials_in_the_queue_has_not_gained_nothing_yet() -> None:
    study = study_with([0.5, 0.6, 0.6, 0.6])
    study.enqueue_trial({"lookback": 3})
    assert not gained_nothing(study, 3)


def test_what_each_completed_trial_trained_is_handed_over() -> None:
    handed: list[tuple[int, int]] = []
    objective = Objective(
        task_of(wave(), folds=2),
        TINY | {"lookback": [4, 8]},
        on_trained=lambda trained: handed.append((trained.number, len(trained.models))),
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.NopPruner())
    study.optimize(objective, n_trials=3)
    trained = [t.number for t in completed(study) if "same_as_trial" not in t.user_attrs]
    assert handed == [(number, 2) for number in sorted(trained)]
