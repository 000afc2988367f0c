"""The time budget: what the retrain is expected to take, and when trials must stop for it."""

from __future__ import annotations

import time

import pytest
from studies import outcome

from lstm_tune.search.budget import Clock, RetrainCost
from lstm_tune.search.trials import Outcome


def trial(*, seconds: float, epochs: int, best_epoch: int, setup: float = 0.0) -> Outcome:
    return outcome(seconds=seconds, epochs=epochs, best_epoch=best_epoch, setup_seconds=setup)


def test_each_round_of_the_retrain_takes_as_long_as_its_slowest_model() -> None:
    slow, fast = trial(seconds=50, epochs=10, best_epoch=8), trial(seconds=8, epochs=4, best_epoch=2, setup=1)
    for threads, seconds in ((1, 3 * (40 + 4) + 1), (2, 3 * 40 + 1), (4, 40 + 40 + 1)):
        assert RetrainCost(seeds=3, threads=threads).seconds([slow, fast]) == pytest.approx(seconds)
    assert RetrainCost(seeds=3, growth=2).seconds([slow]) == pytest.approx(240)


def test_untrained_trials_cost_only_their_setup() -> None:
    assert RetrainCost(seeds=3).seconds([trial(seconds=1, epochs=0, best_epoch=0, setup=2)]) == 2


def test_retrain_of_no_trial_has_no_cost_yet() -> None:
    assert RetrainCost(seeds=3).seconds([]) is None


@pytest.mark.parametrize(
    ("retrain", "reserve"),
    [
        (None, 25),  # nothing is known yet: a quarter of what is left
        (0.1, 10),  # at least a tenth of all time
        (20, 36),  # half as much again, 5% of all time for the scores, and a second
        (900, 50),  # at most half
    ],
)
def test_time_is_kept_for_the_retrain(retrain: float | None, reserve: float) -> None:
    clock = Clock(100)
    assert clock.end - clock.study_end(retrain) == pytest.approx(reserve, abs=0.5)
    assert clock.trial_end(retrain) == pytest.approx(time.monotonic() + 0.34 * (100 - reserve), abs=0.5)


def test_without_a_limit_nothing_must_stop() -> None:
    clock = Clock(None)
    assert clock.left() is None
    assert clock.study_end(None) == clock.trial_end(3.0) == clock.retrain_end == float("inf")


def test_run_is_late_if_a_fifth_of_its_time_is_over_before_the_study() -> None:
    now = time.monotonic()
    assert Clock(100, now - 21).is_late
    assert not Clock(100, now - 15).is_late
    assert not Clock(None, now - 1e6).is_late


def test_what_passed_before_the_limit_began_belongs_to_the_run_and_not_to_the_limit() -> None:
    clock = Clock(10, time.monotonic() - 9, before=30)
    assert clock.elapsed == pytest.approx(39, abs=0.5)
    assert clock.left() == pytest.approx(1, abs=0.5)


def test_seconds_of_a_step_add_up() -> None:
    clock = Clock(None)
    for _ in range(2):
        with clock.step("data"):
            time.sleep(0.01)
    assert 0.02 <= clock.seconds["data"] < 1
    assert list(clock.seconds) == ["data"]


def test_time_for_trying_what_is_advised_is_kept_from_trials_and_retrain() -> None:
    plain, kept = Clock(100.0, began=time.monotonic()), Clock(100.0, began=time.monotonic(), advice=0.1)
    assert plain.retrain_end - kept.retrain_end == pytest.approx(10, abs=0.1)
    assert plain.study_end(20) - kept.study_end(20) == pytest.approx(10, abs=0.1)
    assert kept.advice_end() - time.monotonic() == pytest.approx(10, abs=0.1)
    late = Clock(100.0, began=time.monotonic() - 95, advice=0.1)
    assert late.advice_end() == pytest.approx(late.end - 1)  # a second is for the files


def test_advice_on_the_limit_begins_at_what_was_over_before_the_study() -> None:
    busy = {"start": 27.8, "data": 0.6, "setup": 0.1, "study": 13.0}
    assert Clock(5, seconds=busy).least_timeout() == pytest.approx(28.5)
    assert Clock(60, seconds=busy).least_timeout() == 60
    assert Clock(None, seconds=busy).least_timeout() is None
