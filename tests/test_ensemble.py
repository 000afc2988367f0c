from __future__ import annotations

from typing import Any

import pytest

from lstm_tune.config import Config
from lstm_tune.ensemble import Candidate, weigh

MANY = 1e9  # independent windows: what is known beforehand counts for nothing


def candidate(number: int, value: float, epochs: int = 3, **params: Any) -> Candidate:
    return Candidate(number=number, value=value, epochs=epochs, config=Config(**params))


def test_a_single_trial_has_all_the_weight() -> None:
    assert weigh([candidate(7, 0.4)], independent=1) == {7: 1.0}


def test_weights_fall_with_the_square_of_the_value_and_the_heaviest_comes_first() -> None:
    weights = weigh([candidate(0, 0.4, skip="last"), candidate(1, 0.3, skip="linear")], independent=MANY)
    assert list(weights) == [1, 0]
    assert weights[1] / weights[0] == pytest.approx((0.4 / 0.3) ** 2)
    assert sum(weights.values()) == pytest.approx(1)


def test_trials_of_equal_value_made_the_same_forecast_and_count_once() -> None:
    assert weigh([candidate(5, 0.3), candidate(2, 0.3), candidate(4, 0.3)], independent=MANY) == {2: 1.0}


def test_a_trial_far_from_the_best_value_is_left_out() -> None:
    assert weigh([candidate(0, 0.1, skip="last"), candidate(1, 0.201, skip="linear")], independent=MANY) == {0: 1.0}


@pytest.mark.parametrize(
    "other", [{"transform": "log"}, {"difference": "first"}, {"window_norm": "last"}, {"skip": "linear"}]
)
def test_the_best_of_each_kind_comes_before_better_ones_of_the_same_kind(other: dict[str, str]) -> None:
    trials = [candidate(0, 0.10), candidate(1, 0.11), candidate(2, 0.12), candidate(3, 0.13, **other)]
    assert set(weigh(trials, independent=MANY, members=2)) == {0, 3}
    assert set(weigh(trials, independent=MANY, members=3)) == {0, 1, 3}


def test_no_more_than_two_trials_of_a_kind_are_averaged() -> None:
    trials = [candidate(i, 0.10 + i / 1000) for i in range(5)]
    assert set(weigh(trials, independent=MANY)) == {0, 1}


def test_other_parameters_do_not_make_another_kind() -> None:
    trials = [candidate(0, 0.10), candidate(1, 0.12, hidden_units=8), candidate(2, 0.11)]
    assert list(weigh(trials, independent=MANY, members=2)) == [0, 2]


def test_a_perfect_forecast_stands_alone() -> None:
    assert weigh([candidate(0, 0.0), candidate(1, 1e-9)], independent=MANY) == {0: 1.0}


@pytest.mark.parametrize("skip", ["none", "last", "seasonal"])
def test_an_untrained_naive_forecast_counts_only_where_nothing_is_better(skip: str) -> None:
    naive, trained = candidate(0, 0.11, epochs=0, skip=skip), candidate(1, 0.10, skip="linear")
    assert weigh([naive, trained], independent=MANY) == {1: 1.0}
    assert set(weigh([candidate(0, 0.09, epochs=0, skip=skip), trained], independent=MANY)) == {0, 1}
    assert set(weigh([candidate(0, 0.11, epochs=0, skip="linear", window_norm="last"), trained], independent=MANY)) == {
        0,
        1,
    }


def test_few_independent_windows_shift_weight_from_what_learned_the_level_to_what_corrects_a_linear_forecast() -> None:
    anchored = candidate(0, 0.10, skip="linear", window_norm="last")
    differenced = candidate(1, 0.10 + 1e-12, skip="linear", difference="first")
    plain = candidate(2, 0.10 + 2e-12, window_norm="last")
    level = candidate(3, 0.10 + 3e-12, skip="linear")
    trials = [level, plain, anchored, differenced]
    assert list(weigh(trials, independent=MANY).values()) == pytest.approx([0.25] * 4, rel=1e-6)
    few = weigh(trials, independent=4)
    assert list(few)[-1] == 3  # time may run out: what weighs most is retrained first
    assert few[0] == pytest.approx(few[1]) == pytest.approx(3 * few[2])
    assert few[2] == pytest.approx(3 * few[3])
