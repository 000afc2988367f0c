from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from lstm_tune.config import Config
from lstm_tune.training.ensemble import MEMBERS, Candidate, weigh

MANY = 1e9  # independent windows: what is known beforehand counts for nothing


def candidate(number: int, value: float, epochs: int = 3, start: float = math.inf, **params: Any) -> Candidate:
    return Candidate(number=number, value=value, epochs=epochs, config=Config(**params), start=start)


def weights_of(candidates: Sequence[Candidate], *, independent: float, members: int = MEMBERS) -> dict[int, float]:
    """{trial: weight} where no trial has an untrained forecast to start from."""
    return {part.number: part.weight for part in weigh(candidates, independent=independent, members=members)}


def test_a_single_trial_has_all_the_weight() -> None:
    assert weights_of([candidate(7, 0.4)], independent=1) == {7: 1.0}


def test_weights_fall_with_the_square_of_the_value_and_the_heaviest_comes_first() -> None:
    weights = weights_of([candidate(0, 0.4, skip="last"), candidate(1, 0.3, skip="linear")], independent=MANY)
    assert list(weights) == [1, 0]
    assert weights[1] / weights[0] == pytest.approx((0.4 / 0.3) ** 2)
    assert sum(weights.values()) == pytest.approx(1)


def test_trials_of_equal_value_made_the_same_forecast_and_count_once() -> None:
    assert weights_of([candidate(5, 0.3), candidate(2, 0.3), candidate(4, 0.3)], independent=MANY) == {2: 1.0}


def test_a_trial_far_from_the_best_value_is_left_out() -> None:
    assert weights_of([candidate(0, 0.1, skip="last"), candidate(1, 0.201, skip="linear")], independent=MANY) == {
        0: 1.0
    }


@pytest.mark.parametrize(
    "other", [{"transform": "log"}, {"difference": "first"}, {"window_norm": "last"}, {"skip": "linear"}]
)
def test_the_best_of_each_kind_comes_before_better_ones_of_the_same_kind(other: dict[str, str]) -> None:
    trials = [candidate(0, 0.10), candidate(1, 0.11), candidate(2, 0.12), candidate(3, 0.13, **other)]
    assert set(weights_of(trials, independent=MANY, members=2)) == {0, 3}
    assert set(weights_of(trials, independent=MANY, members=3)) == {0, 1, 3}


def test_no_more_than_two_trials_of_a_kind_are_averaged() -> None:
    trials = [candidate(i, 0.10 + i / 1000) for i in range(5)]
    assert set(weights_of(trials, independent=MANY)) == {0, 1}


def test_other_parameters_do_not_make_another_kind() -> None:
    trials = [candidate(0, 0.10), candidate(1, 0.12, hidden_units=8), candidate(2, 0.11)]
    assert list(weights_of(trials, independent=MANY, members=2)) == [0, 2]


def test_a_perfect_forecast_is_the_only_member() -> None:
    assert weights_of([candidate(0, 0.0), candidate(1, 1e-9)], independent=MANY) == {0: 1.0}


@pytest.mark.parametrize("skip", ["none", "last", "seasonal"])
def test_an_untrained_naive_forecast_counts_only_where_nothing_is_better(skip: str) -> None:
    naive, trained = candidate(0, 0.11, epochs=0, skip=skip), candidate(1, 0.10, skip="linear")
    assert weights_of([naive, trained], independent=MANY) == {1: 1.0}
    assert set(weights_of([candidate(0, 0.09, epochs=0, skip=skip), trained], independent=MANY)) == {0, 1}
    assert set(
        weights_of([candidate(0, 0.11, epochs=0, skip="linear", window_norm="last"), trained], independent=MANY)
    ) == {
        0,
        1,
    }


def test_few_independent_windows_shift_weight_from_what_learned_the_level_to_what_corrects_a_linear_forecast() -> None:
    anchored = candidate(0, 0.10, skip="linear", window_norm="last")
    differenced = candidate(1, 0.10 + 1e-12, skip="linear", difference="first")
    plain = candidate(2, 0.10 + 2e-12, window_norm="last")
    level = candidate(3, 0.10 + 3e-12, skip="linear")
    trials = [level, plain, anchored, differenced]
    assert list(weights_of(trials, independent=MANY).values()) == pytest.approx([0.25] * 4, rel=1e-6)
    few = weights_of(trials, independent=4)
    assert list(few)[-1] == 3  # time may run out: what weighs most is retrained first
    assert few[0] == pytest.approx(few[1]) == pytest.approx(3 * few[2])
    assert few[2] == pytest.approx(3 * few[3])


# ---- the untrained forecast


def share(value: float, start: float, *, independent: float, blocks: int = 1) -> float:
    """The part of the untrained forecast beside one trained trial."""
    trial = candidate(4, value, start=start, skip="linear")
    parts = weigh([trial], independent=independent, blocks=blocks)
    assert sum(part.weight for part in parts) == pytest.approx(1)
    return sum(part.weight for part in parts if (part.number, part.epochs) == (4, 0))


def test_where_many_windows_show_no_gain_the_untrained_forecast_takes_its_part() -> None:
    assert share(0.1, 0.1, independent=150) == pytest.approx(0.5)
    assert share(0.1, 0.1, independent=450) == pytest.approx(0.9)
    assert share(0.1, 0.1, independent=150, blocks=3) == pytest.approx(0.9)  # their windows count alike


def test_few_windows_say_little_and_a_clear_gain_says_all() -> None:
    assert share(0.1, 0.1, independent=10) < 0.01
    assert share(0.09, 0.1, independent=100) == pytest.approx(2 / 13)  # a gain of one in ten, its error one in ten
    assert share(0.05, 0.1, independent=900) < 0.01


def test_no_untrained_forecast_without_one_or_for_a_single_trial() -> None:
    assert share(0.1, math.inf, independent=900) == 0
    only = weigh([candidate(4, 0.1, start=0.1, skip="linear")], independent=900, members=1)
    assert [(part.number, part.epochs, part.weight) for part in only] == [(4, 3, 1.0)]


def test_the_best_start_of_all_trials_is_taken_and_one_that_is_a_member_is_not_taken_twice() -> None:
    trials = [
        candidate(0, 0.10, start=0.30, skip="last"),
        candidate(1, 0.11, start=0.12, skip="linear"),
        candidate(2, 0.12, epochs=0, start=0.12, skip="linear", window_norm="last"),
    ]
    without = weigh(trials[:2], independent=100)
    assert {(part.number, part.epochs) for part in without} == {(0, 3), (1, 3), (1, 0)}
    parts = weigh(trials, independent=100)
    assert {(part.number, part.epochs) for part in parts} == {(0, 3), (1, 3), (2, 0)}
    assert [part.weight for part in parts] == sorted((part.weight for part in parts), reverse=True)
    gain = 1 - 0.10 / 0.12
    untrained = 4 / 13 / (1 + 100 * gain**2)
    own = weights_of([candidate(c.number, c.value, c.epochs, **vars_of(c)) for c in trials], independent=100)[2]
    assert {p.number: p.weight for p in parts}[2] == pytest.approx(untrained + (1 - untrained) * own)


def vars_of(candidate: Candidate) -> dict[str, Any]:
    return {name: getattr(candidate.config, name) for name in ("skip", "window_norm")}
