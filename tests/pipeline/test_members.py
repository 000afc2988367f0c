"""Which trials make the final model: weights by value, then by least squares."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from series import TINY, daily, run_study, task_of, wave

from lstm_tune import tune
from lstm_tune.config import Config
from lstm_tune.evaluation.score import score
from lstm_tune.pipeline import retrain_step
from lstm_tune.pipeline.members import choose, choose_members
from lstm_tune.search.trials import Trial, read_trials
from lstm_tune.training import stacking
from lstm_tune.training.retrain import Retrained
from lstm_tune.training.task import Task, untrained_models

CONFIGS = (
    {"skip": "none", "window_norm": "none"},
    {"skip": "linear", "window_norm": "last"},
    {"skip": "ets", "window_norm": "last"},
    {"skip": "seasonal", "window_norm": "last"},
)
SPACE = TINY | {
    "skip": ["none", "linear", "seasonal", "ets"],
    "window_norm": ["none", "last"],
    "hidden_units": [4, 5, 6, 7, 8],
}


@pytest.fixture(scope="module")
def study() -> tuple[Task, tuple[Trial, ...]]:
    task = task_of(wave(400), horizon=3, folds=2)
    found, _ = run_study(task, SPACE, *({**config, "hidden_units": 6} for config in CONFIGS))
    return task, read_trials(found)


def weights(chosen: Sequence[tuple[Trial, object]]) -> dict[tuple[int, int, bool], float]:
    return {(trial.number, part.epochs, part.beforehand): part.weight for trial, part in chosen}  # type: ignore[attr-defined]


def test_kept_errors_are_those_of_the_trial_on_its_blocks(study: tuple[Task, tuple[Trial, ...]]) -> None:
    task, trials = study
    for trial in trials:
        outcome = trial.completed()
        assert len(outcome.fold_errors) == len(task.folds) == 2
        for errors, mse in zip(outcome.fold_errors, outcome.fold_mse_scaled, strict=True):
            assert np.mean(errors**2) == pytest.approx(mse, rel=0.35)  # a sample of the windows


def test_untrained_errors_are_those_of_the_forecast_that_a_trial_began_from(
    study: tuple[Task, tuple[Trial, ...]],
) -> None:
    task, trials = study
    outcome = trials[2].completed()
    models = untrained_models(task, outcome.config)
    values = [
        task.normalised(i, score(m, task.windows, fold.epoch_windows, task.scale, each=False).mse_scaled)
        for i, (m, fold) in enumerate(zip(models, task.folds, strict=True))
    ]
    assert np.mean(values) == pytest.approx(outcome.start, rel=1e-4)


def test_one_seed_keeps_the_best_trial_alone(study: tuple[Task, tuple[Trial, ...]]) -> None:
    task, trials = study
    ((trial, part),) = choose_members(trials, task, 1, known=2)
    assert trial.value == min(t.completed().value for t in trials)
    assert part.weight == 1


def least(products: np.ndarray, prior: np.ndarray, penalty: float) -> np.ndarray:
    """Return the weights of least penalised squared error."""
    found = minimize(
        lambda w: w @ products @ w + penalty * products.diagonal().min() * ((w - prior) ** 2).sum(),
        prior,
        bounds=[(0, 1)] * len(prior),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return np.asarray(found.x)


@pytest.mark.parametrize("enough", [60.0, 0.0])
def test_weights_are_least_squares_on_the_kept_errors(
    study: tuple[Task, tuple[Trial, ...]], enough: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn to the prior as hard as the blocks left out ask for, if there are enough windows."""
    monkeypatch.setattr(stacking, "_ENOUGH", enough)
    task, trials = study
    prior = weights(choose(trials, task, 2, known=4))
    keys = [*prior, (max(prior, key=lambda key: prior[key])[0], 0, True)]

    def errors(number: int, epochs: int, beforehand: bool) -> list[np.ndarray]:
        outcome = trials[number].completed()
        if epochs == outcome.best_epoch and not beforehand:
            return list(outcome.fold_errors)
        config = Config(lookback=5, skip="pretrained") if beforehand else outcome.config
        return list(task.sampled_errors(untrained_models(task, config)))

    blocks = [np.stack([errors(*key)[b] for key in keys]) for b in range(2)]
    own = [e @ e.T / e.shape[1] / f.reference_mse for e, f in zip(blocks, task.folds, strict=True)]
    p = np.mean(own, axis=0)
    share = 0.35 * min(1, p.diagonal()[:-1].min() / p[-1, -1]) ** 2  # of the LSTM trained beforehand
    given = np.array([*((1 - share) * np.array(list(prior.values()))), share])
    windows = task.independent_windows * 2 * 3 / 24  # three rows ahead count as 24
    penalty = 0.3 * (40 / windows) ** 2
    if enough:
        penalty *= 10
    else:

        def left_out(factor: float) -> float:
            pairs = ((least(own[1 - b], given, factor * penalty), own[b]) for b in range(2))
            return float(sum(w @ q @ w for w, q in pairs))

        penalty *= min((100.0, 10.0, 1.0, 0.1), key=left_out)
    found = weights(choose_members(trials, task, 2, known=4))
    assert sum(found.values()) == pytest.approx(1)
    for key, expected in zip(keys, least(p, given, penalty), strict=True):
        assert found.get(key, 0.0) == pytest.approx(expected, abs=5e-3)


def test_trials_without_kept_errors_are_weighed_by_their_values(study: tuple[Task, tuple[Trial, ...]]) -> None:
    """A study that an older version began."""
    task, trials = study
    old = [dataclasses.replace(t, outcome=dataclasses.replace(t.completed(), fold_errors=())) for t in trials]
    assert weights(choose_members(old, task, 2, known=4)) == weights(choose(old, task, 2, known=4))


def test_errors_of_a_damaged_study_do_not_count(study: tuple[Task, tuple[Trial, ...]]) -> None:
    task, trials = study
    short = tuple(e[:3] for e in trials[1].completed().fold_errors)
    cut = dataclasses.replace(trials[1], outcome=dataclasses.replace(trials[1].completed(), fold_errors=short))
    some = [trials[0], cut, *trials[2:]]
    assert weights(choose_members(some, task, 2, known=4)) == weights(choose(some, task, 2, known=4))


def test_plain_networks_alone_get_no_member_that_was_trained_beforehand(study: tuple[Task, tuple[Trial, ...]]) -> None:
    task, trials = study
    outcome = trials[0].completed()
    other = dataclasses.replace(trials[3], outcome=dataclasses.replace(outcome, value=1.1 * outcome.value))
    chosen = choose_members([trials[0], other], task, 2, known=4)
    assert len(chosen) == 2
    assert not any(part.beforehand for _, part in chosen)


def test_beyond_the_horizons_of_its_training_the_lstm_trained_beforehand_is_no_member() -> None:
    task = task_of(wave(700), horizon=49)
    found, _ = run_study(task, SPACE, *({**config, "hidden_units": 6} for config in CONFIGS[:2]))
    chosen = choose_members(read_trials(found), task, 2, known=2)
    assert chosen
    assert not any(part.beforehand for _, part in chosen)


@pytest.mark.laws
def test_weights_add_up_to_one_even_if_time_left_some_members_out(
    monkeypatch: pytest.MonkeyPatch, short_epochs: None
) -> None:
    whole = retrain_step.retrain

    def cut(*args: Any, **options: Any) -> Retrained:
        done = whole(*args, **options)
        assert len(done.models[0]) > 1
        return dataclasses.replace(done, seeds=done.seeds[:1], models=(done.models[0][:1],))

    monkeypatch.setattr(retrain_step, "retrain", cut)
    walk = np.random.default_rng(0).normal(size=160).cumsum()
    record = tune(daily(walk), space=TINY | {"skip": ["last", "linear"], "epochs": 1}, n_trials=4).record
    assert [member["weight"] for member in record["ensemble"]] == [1.0]
