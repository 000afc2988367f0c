"""Time: what the retrain is expected to take, and when trials must stop for it."""

from __future__ import annotations

import time
from typing import Any

import optuna
import pytest

from lstm_tune.search.budget import Budget


def trial(*, seconds: float, epochs: int, best_epoch: int, setup: float = 0.0) -> optuna.trial.FrozenTrial:
    attrs: dict[str, Any] = {
        "seconds": seconds,
        "epochs": epochs,
        "best_epoch": best_epoch,
        "setup_seconds": setup,
    }
    return optuna.trial.create_trial(value=1.0, user_attrs=attrs)


def test_each_round_of_the_retrain_takes_as_long_as_its_slowest_model() -> None:
    slow, fast = trial(seconds=50, epochs=10, best_epoch=8), trial(seconds=8, epochs=4, best_epoch=2, setup=1)
    for threads, seconds in ((1, 3 * (40 + 4) + 1), (2, 3 * 40 + 1), (4, 40 + 40 + 1)):
        assert Budget(timeout=600, seeds=3, threads=threads).retrain_seconds([slow, fast]) == pytest.approx(seconds)
    assert Budget(timeout=600, seeds=3, growth=2).retrain_seconds([slow]) == pytest.approx(240)


def test_untrained_trials_cost_only_their_setup() -> None:
    assert Budget(timeout=600, seeds=3).retrain_seconds([trial(seconds=1, epochs=0, best_epoch=0, setup=2)]) == 2


@pytest.mark.parametrize(
    ("members", "reserve"),
    [
        ([], 25),  # nothing is known yet: a quarter of what is left
        ([trial(seconds=0.1, epochs=1, best_epoch=1)], 10),  # at least a tenth of all time
        (
            [trial(seconds=20, epochs=10, best_epoch=10)],
            36,
        ),  # 20 s, half as much again, 5% of all time for the scores, and a second
        ([trial(seconds=900, epochs=10, best_epoch=10)], 50),  # at most half
    ],
)
def test_time_is_kept_for_the_retrain(members: list[optuna.trial.FrozenTrial], reserve: float) -> None:
    budget = Budget(timeout=100)
    assert budget.end - budget.study_end(members) == pytest.approx(reserve, abs=0.5)
    assert budget.trial_end(members) == pytest.approx(time.monotonic() + 0.34 * (100 - reserve), abs=0.5)


def test_without_a_limit_nothing_must_stop() -> None:
    budget = Budget(timeout=None)
    assert budget.left() is None
    assert budget.study_end([]) == budget.trial_end([]) == budget.retrain_end == float("inf")
