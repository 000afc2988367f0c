from __future__ import annotations

from typing import Any

import pytest

from lstm_tune.config import Config
from lstm_tune.ensemble import Candidate, weigh


def candidate(number: int, value: float, **params: Any) -> Candidate:
    return Candidate(number=number, value=value, config=Config(**params))


def test_a_single_trial_has_all_the_weight() -> None:
    assert weigh([candidate(7, 0.4)]) == {7: 1.0}


def test_weights_fall_with_the_square_of_the_value_and_the_best_trial_comes_first() -> None:
    weights = weigh([candidate(0, 0.4, skip="last"), candidate(1, 0.3, skip="linear")])
    assert list(weights) == [1, 0]
    assert weights[1] / weights[0] == pytest.approx((0.4 / 0.3) ** 2)
    assert sum(weights.values()) == pytest.approx(1)


def test_trials_of_equal_value_made_the_same_forecast_and_count_once() -> None:
    assert weigh([candidate(5, 0.3), candidate(2, 0.3), candidate(4, 0.3)]) == {2: 1.0}


def test_a_trial_far_from_the_best_value_is_left_out() -> None:
    assert weigh([candidate(0, 0.1, skip="last"), candidate(1, 0.151, skip="linear")]) == {0: 1.0}


@pytest.mark.parametrize(
    "other", [{"transform": "log"}, {"difference": "first"}, {"window_norm": "last"}, {"skip": "linear"}]
)
def test_the_best_of_each_kind_comes_before_better_ones_of_the_same_kind(other: dict[str, str]) -> None:
    trials = [candidate(0, 0.10), candidate(1, 0.11), candidate(2, 0.12), candidate(3, 0.13, **other)]
    assert list(weigh(trials, members=2)) == [0, 3]
    assert list(weigh(trials, members=3)) == [0, 3, 1]


def test_other_parameters_do_not_make_another_kind() -> None:
    trials = [candidate(0, 0.10), candidate(1, 0.12, hidden_units=8), candidate(2, 0.11)]
    assert list(weigh(trials, members=2)) == [0, 2]


def test_a_perfect_forecast_stands_alone() -> None:
    assert weigh([candidate(0, 0.0), candidate(1, 1e-9)]) == {0: 1.0}
