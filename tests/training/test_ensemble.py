from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest

from lstm_tune.config import Config
from lstm_tune.training.ensemble import Candidate, Part, weigh

MANY = 1e9  # independent windows: what is known beforehand counts for nothing


def candidate(number: int, value: float, epochs: int = 3, start: float = math.inf, **params: Any) -> Candidate:
    return Candidate(number=number, value=value, epochs=epochs, config=Config(**params), start=start)


def weights_of(candidates: Sequence[Candidate], *, independent: float = MANY, known: int = 0) -> dict[int, float]:
    """{trial: weight} where no trial has an untrained forecast to start from."""
    return {part.number: part.weight for part in weigh(candidates, known=known, independent=independent)}


def by_key(parts: Sequence[Part]) -> dict[tuple[int, int], float]:
    return {(part.number, part.epochs): part.weight for part in parts}


def test_a_single_trial_has_all_the_weight() -> None:
    assert weights_of([candidate(7, 0.4)], independent=1) == {7: 1.0}


def test_weights_fall_with_the_square_of_the_value_and_the_heaviest_comes_first() -> None:
    weights = weights_of([candidate(0, 0.4, skip="last"), candidate(1, 0.3, skip="linear")])
    assert list(weights) == [1, 0]
    assert weights[1] / weights[0] == pytest.approx((0.4 / 0.3) ** 2)
    assert sum(weights.values()) == pytest.approx(1)


def test_searched_trials_of_equal_value_made_the_same_forecast_and_count_once() -> None:
    trials = [candidate(5, 0.3), candidate(2, 0.3), candidate(4, 0.3)]
    assert weights_of(trials) == {2: 1.0}
    assert weights_of(trials, known=3) == {2: 1.0}  # known, so that the search adds nothing


def test_a_trial_far_from_the_best_value_is_left_out() -> None:
    for known in (0, 2):
        assert weights_of([candidate(0, 0.1, skip="last"), candidate(1, 0.201, skip="linear")], known=known) == {0: 1.0}


def test_all_known_configurations_are_members_and_the_search_fills_up_to_ten_or_adds_three() -> None:
    kinds = [{"transform": t, "difference": d} for t in ("none", "log") for d in ("none", "first", "seasonal")]
    trials = [candidate(i, 0.10 + i / 1000, **kinds[i % 6]) for i in range(20)]
    assert set(weights_of(trials, known=4)) == set(range(10))
    assert set(weights_of(trials, known=12)) == set(range(15))
    assert set(weights_of(trials[:5], known=12)) == set(range(5))


def test_the_best_searched_trial_of_each_kind_comes_before_a_better_one_of_the_same_kind() -> None:
    changes: list[dict[str, str]] = [{"transform": "log"}, {"difference": "first"}, {"skip": "last"}]
    known = [candidate(i, 0.15 + i / 1000, hidden_units=8 + i) for i in range(8)]
    trials = [
        *known,
        candidate(8, 0.10),
        candidate(9, 0.11),
        *(candidate(10 + i, 0.13, **c) for i, c in enumerate(changes)),
    ]
    trials = [dataclasses.replace(c, value=c.value + c.number * 1e-6) for c in trials]
    assert set(weights_of(trials, known=8)) == {*range(8), 8, 10, 11}
    assert set(weights_of(trials[:10], known=8)) == set(range(10))


def test_no_more_than_two_searched_trials_of_a_kind_are_averaged() -> None:
    trials = [candidate(i, 0.10 + i / 1000) for i in range(5)]
    assert set(weights_of(trials)) == {0, 1}
    assert set(weights_of(trials, known=2)) == {0, 1, 2, 3}


def test_other_parameters_do_not_make_another_kind() -> None:
    trials = [candidate(0, 0.10), candidate(1, 0.12, hidden_units=8), candidate(2, 0.11)]
    assert list(weights_of(trials)) == [0, 2]


def test_a_perfect_forecast_is_the_only_member() -> None:
    assert weights_of([candidate(0, 0.0), candidate(1, 1e-9)]) == {0: 1.0}


@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize("skip", ["none", "last", "seasonal"])
def test_an_untrained_naive_forecast_counts_only_where_nothing_is_better(skip: str, known: int) -> None:
    naive, trained = candidate(0, 0.11, epochs=0, skip=skip), candidate(1, 0.10, skip="linear")
    fitted = candidate(0, 0.11, epochs=0, skip="linear", window_norm="last")
    assert weights_of([naive, trained], known=known) == {1: 1.0}
    assert set(weights_of([candidate(0, 0.09, epochs=0, skip=skip), trained], known=known)) == {0, 1}
    assert set(weights_of([fitted, trained], known=known)) == {0, 1}


def test_few_independent_windows_shift_weight_from_what_learned_the_level_to_what_corrects_a_linear_forecast() -> None:
    anchored = candidate(0, 0.10, skip="linear", window_norm="last")
    differenced = candidate(1, 0.10 + 1e-12, skip="linear", difference="first")
    plain = candidate(2, 0.10 + 2e-12, window_norm="last")
    level = candidate(3, 0.10 + 3e-12, skip="linear")
    trials = [level, plain, anchored, differenced]
    assert list(weights_of(trials).values()) == pytest.approx([0.25] * 4, rel=1e-6)
    few = weights_of(trials, independent=1)
    assert list(few)[-1] == 3  # time may run out: what weighs most is retrained first
    assert few[0] == pytest.approx(few[1]) == pytest.approx(3 * few[2])
    assert few[2] == pytest.approx(3 * few[3])


# ---- untrained forecasts


@pytest.mark.parametrize("skip", ["linear", "ets"])
def test_what_known_configurations_correct_is_a_member_untrained_and_weighs_by_its_own_value(skip: str) -> None:
    trials = [
        candidate(0, 0.10, start=0.15, window_norm="last"),  # begins from persistence, which is not fitted
        candidate(1, 0.11, start=0.12, window_norm="last", skip=skip),
        candidate(2, 0.12, start=0.21, window_norm="standard", skip=skip),  # too far from the best value
        candidate(3, 0.13, start=0.14, difference="first", skip=skip),  # not known
    ]
    weights = by_key(weigh(trials, known=3, independent=1e-3))
    assert weights.keys() == {(0, 3), (1, 3), (2, 3), (3, 3), (1, 0)}
    assert weights[1, 3] / weights[1, 0] == pytest.approx((0.12 / 0.11) ** 2, rel=1e-6)
    assert sum(weights.values()) == pytest.approx(1)


def test_a_forecast_that_several_trials_begin_from_is_one_member() -> None:
    trials = [candidate(i, 0.1 + i / 100, start=0.13, window_norm="last", skip="linear") for i in range(3)]
    trials.append(candidate(3, 0.13, epochs=0, start=0.13, window_norm="last", skip="linear"))
    weights = by_key(weigh(trials, known=4, independent=1e-3))
    assert weights.keys() == {(0, 3), (1, 3), (2, 3), (0, 0)}
    assert weights[0, 0] / weights[0, 3] == pytest.approx(5 * (0.10 / 0.13) ** 2, rel=1e-6)


def test_searched_trials_bring_what_they_correct_if_no_known_configuration_corrects_a_fitted_forecast() -> None:
    trials = [candidate(0, 0.10), candidate(1, 0.11, start=0.12, window_norm="last", skip="ets")]
    assert by_key(weigh(trials, known=1, independent=1e-3)).keys() == {(0, 3), (1, 3), (1, 0)}


def share(value: float, start: float, *, independent: float, blocks: int = 1) -> float:
    """The part of the untrained forecast beside one trained trial that begins from the last value."""
    parts = weigh([candidate(4, value, start=start, skip="last")], known=0, independent=independent, blocks=blocks)
    assert sum(part.weight for part in parts) == pytest.approx(1)
    return by_key(parts).get((4, 0), 0.0)


def test_where_many_windows_show_no_gain_the_untrained_forecast_takes_its_part() -> None:
    assert share(0.1, 0.1, independent=150) == pytest.approx(0.5)
    assert share(0.1, 0.1, independent=450) == pytest.approx(0.9)
    assert share(0.1, 0.1, independent=150, blocks=3) == pytest.approx(0.9)  # their windows count alike


def test_few_windows_say_little_and_a_clear_gain_says_all() -> None:
    assert share(0.1, 0.1, independent=10) < 0.01
    assert share(0.09, 0.1, independent=100) == pytest.approx(2 / 13)  # a gain of one in ten, its error one in ten
    assert share(0.05, 0.1, independent=900) < 0.01
    assert share(0.1, math.inf, independent=900) == 0


def test_the_best_start_of_all_trials_is_taken_and_one_that_is_a_member_is_not_taken_twice() -> None:
    trials = [
        candidate(0, 0.10, start=0.30, skip="last"),
        candidate(1, 0.11, start=0.12, skip="last", difference="first"),
        candidate(2, 0.12, epochs=0, start=0.12, skip="linear", window_norm="last"),
    ]
    untrained = 4 / 13 / (1 + 100 * (1 - 0.10 / 0.12) ** 2)
    parts = weigh(trials[:2], known=0, independent=100)
    assert by_key(parts)[1, 0] == pytest.approx(untrained)
    parts = weigh(trials, known=0, independent=100)
    assert by_key(parts).keys() == {(0, 3), (1, 3), (1, 0)}
    assert [part.weight for part in parts] == sorted((part.weight for part in parts), reverse=True)
    own = [1 / 1.02, (0.10 / 0.11) ** 2, 2 * 1.02 * (0.10 / 0.12) ** 2]  # the last one trained and untrained: no epoch
    assert by_key(parts)[1, 0] == pytest.approx(untrained + (1 - untrained) * own[2] / sum(own), rel=1e-6)


def test_of_a_gain_that_the_search_found_on_few_windows_a_part_is_believed() -> None:
    trials = [candidate(0, 0.4), candidate(1, 0.1, skip="last")]
    for independent, blocks in ((10, 1), (5, 2)):
        parts = {part.number: part.weight for part in weigh(trials, known=1, independent=independent, blocks=blocks)}
        assert parts[1] / parts[0] == pytest.approx((0.4 / 0.2) ** 2)  # 0.2: half of the way in logarithms
    assert weights_of(trials, independent=MANY, known=1) == {1: 1.0}
    worse = [candidate(0, 0.4), candidate(1, 0.5, skip="last")]
    assert weights_of(worse, independent=1, known=1)[1] == pytest.approx(0.4**2 / (0.4**2 + 0.5**2))
    assert weights_of(worse[1:], independent=1, known=1) == {1: 1.0}  # no known one was completed
