"""A running trial is stored at most once a second, all at once; whoever reads through the buffer sees it before."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from lstm_tune.storage import buffered, journal
from lstm_tune.storage.buffered import Buffered, adopt, flush, inside
from lstm_tune.storage.journal import open_journal
from lstm_tune.storage.open import open_storage
from lstm_tune.storage.trial_writes import TrialEnd, TrialWrites


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(buffered, "time", clock)
    return clock


class Kept:
    """A journal behind a buffer that records what is stored at once, with one running trial of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stored: list[tuple[TrialWrites, TrialEnd | None]] = []
        self.storage = Buffered(open_journal(path), self._write)
        self.study = self.storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
        self.trial = adopt(self.storage, self.storage.create_new_trial(self.study))

    def _write(self, storage: Any, trial_id: int, writes: TrialWrites, end: TrialEnd | None) -> None:
        self.stored.append((writes, end))
        journal.write_trial(storage, trial_id, writes, end)

    def elsewhere(self) -> BaseStorage:
        """The same journal, opened by another process."""
        return open_storage(self.path)


@pytest.fixture
def kept(tmp_path: Path, clock: Clock) -> Kept:
    return Kept(tmp_path / "s.journal")


def write_all(storage: BaseStorage, trial: int) -> None:
    storage.set_trial_param(trial, "rate", 0.25, FloatDistribution(0, 1))
    storage.set_trial_intermediate_value(trial, 3, 0.5)
    storage.set_trial_user_attr(trial, "run", "a/1/1")
    storage.set_trial_system_attr(trial, "token", [1, 2])


def contents(storage: BaseStorage, trial: int) -> tuple[Any, ...]:
    found = storage.get_trial(trial)
    kinds = found.distributions
    return found.params, kinds, found.intermediate_values, found.user_attrs, found.system_attrs, found.state


WRITTEN = ({"rate": 0.25}, {"rate": FloatDistribution(0, 1)}, {3: 0.5}, {"run": "a/1/1"}, {"token": [1, 2]})


def test_what_a_trial_writes_waits_and_is_seen_here_at_once(kept: Kept) -> None:
    write_all(kept.storage, kept.trial)
    assert not kept.stored
    assert contents(kept.storage, kept.trial) == (*WRITTEN, TrialState.RUNNING)
    (listed,) = kept.storage.get_all_trials(kept.study)
    assert (listed.params, listed.intermediate_values) == ({"rate": 0.25}, {3: 0.5})
    assert contents(kept.elsewhere(), kept.trial) == ({}, {}, {}, {}, {}, TrialState.RUNNING)


def test_after_a_second_all_is_stored_at_once(kept: Kept, clock: Clock) -> None:
    write_all(kept.storage, kept.trial)
    clock.now += 1.0
    kept.storage.set_trial_intermediate_value(kept.trial, 4, 0.4)
    assert len(kept.stored) == 1
    kept.storage.set_trial_intermediate_value(kept.trial, 5, 0.3)  # of the next second
    assert len(kept.stored) == 1
    assert kept.elsewhere().get_trial(kept.trial).intermediate_values == {3: 0.5, 4: 0.4}
    assert kept.storage.get_trial(kept.trial).intermediate_values == {3: 0.5, 4: 0.4, 5: 0.3}


@pytest.mark.parametrize(("seconds", "pause"), [(0.01, 1.0), (0.1, 5.0), (4.0, 15.0)])
def test_a_storage_that_is_slow_is_written_to_less_often(
    kept: Kept, clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: float, pause: float
) -> None:
    def slow(*_: Any) -> None:
        clock.now += seconds
        stored.append(clock.now)

    stored: list[float] = []
    monkeypatch.setattr(kept.storage, "_write", slow)
    for step in range(100):
        clock.now += 0.25
        kept.storage.set_trial_intermediate_value(kept.trial, step, 0.5)
    pauses = [later - before - seconds for before, later in pairwise(stored)]
    assert pauses
    assert all(pause - 0.01 <= p <= pause + 0.3 for p in pauses), pauses


def test_an_attribute_that_is_set_twice_has_its_last_value(kept: Kept) -> None:
    kept.storage.set_trial_user_attr(kept.trial, "epochs", 1)
    kept.storage.set_trial_user_attr(kept.trial, "epochs", 2)
    flush(kept.storage, kept.trial)
    assert kept.elsewhere().get_trial(kept.trial).user_attrs == {"epochs": 2}


def test_flush_stores_once_and_nothing_if_nothing_waits(kept: Kept) -> None:
    flush(kept.storage, kept.trial)
    write_all(kept.storage, kept.trial)
    flush(kept.storage, kept.trial)
    flush(kept.storage, kept.trial)
    assert len(kept.stored) == 1
    assert contents(kept.elsewhere(), kept.trial) == (*WRITTEN, TrialState.RUNNING)


def test_the_end_is_stored_together_with_what_waits(kept: Kept) -> None:
    write_all(kept.storage, kept.trial)
    assert kept.storage.set_trial_state_values(kept.trial, TrialState.COMPLETE, [0.5])
    ((writes, end),) = kept.stored
    assert (end, bool(writes)) == (TrialEnd(state=TrialState.COMPLETE, values=[0.5]), True)
    there = kept.elsewhere().get_trial(kept.trial)
    assert (there.state, there.values, there.params) == (TrialState.COMPLETE, [0.5], {"rate": 0.25})
    with pytest.raises(UpdateFinishedTrialError):  # it is no trial of this process any more
        kept.storage.set_trial_user_attr(kept.trial, "late", 1)


@pytest.mark.parametrize(
    "act",
    [
        lambda storage, trial: flush(storage, trial),
        lambda storage, trial: storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.1]),
    ],
    ids=["flush", "end"],
)
def test_what_a_trial_wrote_that_another_process_has_ended_is_dropped(
    act: Callable[[BaseStorage, int], Any], kept: Kept
) -> None:
    write_all(kept.storage, kept.trial)
    kept.elsewhere().set_trial_state_values(kept.trial, TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        act(kept.storage, kept.trial)
    assert contents(kept.storage, kept.trial) == ({}, {}, {}, {}, {}, TrialState.FAIL)


def test_a_trial_of_another_process_is_written_at_once(kept: Kept) -> None:
    other = kept.storage.create_new_trial(kept.study)
    write_all(kept.storage, other)
    assert not kept.stored
    assert contents(kept.elsewhere(), other) == (*WRITTEN, TrialState.RUNNING)


def test_a_trial_that_has_ended_is_not_adopted(kept: Kept) -> None:
    other = kept.storage.create_new_trial(kept.study)
    kept.elsewhere().set_trial_state_values(other, TrialState.FAIL)
    adopt(kept.storage, other)
    with pytest.raises(UpdateFinishedTrialError):
        kept.storage.set_trial_user_attr(other, "run", "a/1/1")


def test_other_trials_are_read_again_after_half_a_second_or_for_the_next_trial(kept: Kept, clock: Clock) -> None:
    def seen() -> int:
        return len(kept.storage.get_all_trials(kept.study))

    assert seen() == 1
    kept.elsewhere().create_new_trial(kept.study)
    assert seen() == 1
    clock.now += 0.6
    assert seen() == 2
    third = kept.elsewhere().create_new_trial(kept.study)
    assert seen() == 2
    adopt(kept.storage, third)
    assert seen() == 3


def test_trials_in_states_that_nobody_asks_for_are_not_read(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    read = kept.storage.inside.get_all_trials

    def note(study: int, deepcopy: bool = True, states: Any = None) -> Any:
        asked.append(states)
        return read(study, deepcopy, states)

    monkeypatch.setattr(kept.storage.inside, "get_all_trials", note)
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    for _ in range(2):
        assert not kept.storage.get_all_trials(kept.study, states=ended)
        assert len(kept.storage.get_all_trials(kept.study, states=(TrialState.RUNNING,))) == 1
    assert asked == [ended, (TrialState.RUNNING,)]


def test_trials_are_chosen_by_state_and_copied_if_asked_for(kept: Kept) -> None:
    kept.storage.set_trial_user_attr(kept.trial, "list", [1])
    assert not kept.storage.get_all_trials(kept.study, states=(TrialState.COMPLETE,))
    (copied,) = kept.storage.get_all_trials(kept.study, states=(TrialState.RUNNING,))
    copied.user_attrs["list"].append(2)
    (again,) = kept.storage.get_all_trials(kept.study, deepcopy=False)
    assert again.user_attrs["list"] == [1]


def test_a_buffer_goes_to_another_process_without_its_trials(tmp_path: Path) -> None:
    here = open_storage(tmp_path / "s.journal")
    study = here.create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
    trial = adopt(here, here.create_new_trial(study))
    here.set_trial_user_attr(trial, "run", "a/1/1")
    there = ForkingPickler.loads(ForkingPickler.dumps(here))
    assert isinstance(there, Buffered)
    assert not there.get_trial(trial).user_attrs  # which process owns it does not travel
    there.set_trial_user_attr(trial, "note", 1)
    assert open_storage(tmp_path / "s.journal").get_trial(trial).user_attrs == {"note": 1}


def test_storages_without_a_buffer_are_left_as_they_are() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
    trial = storage.create_new_trial(study)
    assert adopt(storage, trial) == trial
    flush(storage, trial)
    assert inside(storage) is storage
