"""Samplers and pruners: what their names mean, and what a suggestion depends on."""

from __future__ import annotations

import optuna
import pytest
from studies import SPACE, study_of, tried, value_of

from lstm_tune.errors import UsageError
from lstm_tune.search.pruners import PRUNERS, make_pruner
from lstm_tune.search.samplers import SAMPLERS, make_sampler
from lstm_tune.storage.open import open_storage


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_searches_and_repeats_itself_by_its_seed(sampler: str) -> None:
    found = []
    for seed in (3, 3, 4):
        study = study_of(sampler, seed=seed)
        study.optimize(value_of, n_trials=12 if sampler != "gp" else 5)
        found.append(tried(study))
    assert found[0] == found[1] != found[2]
    assert len({str(params) for params in found[0]}) > 3


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_suggestions_depend_on_seed_and_number_alone(sampler: str) -> None:
    whole = study_of(sampler)
    whole.optimize(value_of, n_trials=14)
    storage = open_storage(None)
    for _ in range(2):  # as after an interruption: a new sampler on the same study
        part = study_of(sampler, storage=storage, resume=True)
        part.optimize(value_of, n_trials=7)
    assert tried(part) == tried(whole)


def test_own_sampler_and_pruner_are_taken_as_they_are() -> None:
    sampler, pruner = optuna.samplers.RandomSampler(), optuna.pruners.NopPruner()
    assert make_sampler(sampler, 0, SPACE) is sampler
    assert make_pruner(pruner, 30) is pruner


@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_pruner_has_a_name(pruner: str) -> None:
    assert isinstance(make_pruner(pruner, 30), optuna.pruners.BasePruner)
    assert isinstance(make_pruner(pruner, 1), optuna.pruners.BasePruner)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="sampler must be one of tpe, random, gp, cmaes, grid, but is 'x'"):
        make_sampler("x", 0, SPACE)
    with pytest.raises(UsageError, match="pruner must be one of median, none"):
        make_pruner("x", 30)
