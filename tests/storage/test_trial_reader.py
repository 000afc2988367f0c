"""The reader of databases returns what Optuna's own storage returns, and reads what is new alone."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sql
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from lstm_tune.storage import database_reading
from lstm_tune.storage.database_reading import TrialReader
from lstm_tune.storage.optuna_private import id_of_study, id_of_trial


class Read:
    """A study in SQLite, a reader of it, and the statements that the reader has sent."""

    def __init__(self, path: Path) -> None:
        self.storage = RDBStorage(f"sqlite:///{path}")
        self.study = optuna.create_study(storage=self.storage)
        self.number = id_of_study(self.study)
        engine = sql.create_engine(f"sqlite:///{path}")
        self.statements: list[str] = []
        self.asked: list[tuple[Any, ...]] = []  # values in the statements
        sql.event.listen(engine, "before_cursor_execute", self._note)
        self.reader = TrialReader(engine)

    def _note(self, connection: Any, cursor: Any, statement: str, asked: Any, *_: Any) -> None:
        self.statements.append(statement)
        self.asked.append(tuple(asked))

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Read, and forget which statements were sent before."""
        self.statements.clear()
        self.asked.clear()
        return self.reader.trials(self.number, states or None)

    def all_of_optuna(self) -> list[FrozenTrial]:
        return self.storage.get_all_trials(self.number)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return Read(tmp_path / "s.db")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(database_reading.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that differs from that of the database."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


def parts(trial: FrozenTrial) -> dict[str, Any]:
    """Everything that a trial holds, NaN as text, so that it equals itself."""
    held = {name.lstrip("_"): value for name, value in vars(trial).items()}
    held["intermediate_values"] = {step: repr(value) for step, value in trial.intermediate_values.items()}
    return held


def complete(value: float = 0.5) -> FrozenTrial:
    params = {"rate": 1e-3, "units": 8, "cell": "lstm", "skip": None}
    kinds = {
        "rate": FloatDistribution(1e-5, 1.0, log=True),
        "units": IntDistribution(1, 16),
        "cell": CategoricalDistribution(["gru", "lstm"]),
        "skip": CategoricalDistribution([None, "linear"]),
    }
    reports = {0: math.nan, 1: math.inf, 2: -math.inf, 10: 0.25}
    attrs: dict[str, Any] = {"text": "Zürich", "list": [1, None, 2.5]}
    return create_trial(
        value=value,
        params=params,
        distributions=kinds,
        intermediate_values=reports,
        user_attrs=attrs,
        system_attrs={"of": {"a": 1}},
    )


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system has no tzset")
@pytest.mark.usefixtures("new_york")
def test_trials_of_every_state_are_those_of_optuna(read: Read) -> None:
    read.study.add_trial(complete())
    read.study.add_trial(complete(math.inf))
    read.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"why": "x" * 5000}))
    read.study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={3: 1.0}))
    read.study.ask()
    read.study.enqueue_trial({"units": 4}, user_attrs={"n": 1})
    found = read.trials()
    assert [t.state.name for t in found] == ["COMPLETE", "COMPLETE", "FAIL", "PRUNED", "RUNNING", "WAITING"]
    assert [parts(t) for t in found] == [parts(t) for t in read.all_of_optuna()]
    for trial in found:
        one = read.reader.trial(id_of_trial(trial))
        assert parts(one) == parts(trial)


def test_a_trial_that_has_ended_is_read_once(read: Read) -> None:
    for value in range(5):
        read.study.add_trial(complete(value))
    first = read.trials()
    assert len(read.statements) > 1
    again = read.trials()
    assert read.asked == [(read.number, id_of_trial(first[-1]))]  # which trials follow the last one
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert read.reader.trial(id_of_trial(first[0])) is first[0]
    assert len(read.statements) == 1


def test_new_trials_alone_are_loaded(read: Read) -> None:
    for value in range(3):
        read.study.add_trial(complete(value))
    read.trials()
    read.study.add_trial(complete(7.0))
    assert [t.value for t in read.trials()] == [0.0, 1.0, 2.0, 7.0]
    new = id_of_trial(read.all_of_optuna()[-1])
    assert all(asked == (new,) for asked in read.asked[1:]), "a statement named a trial that was known"


def test_a_running_trial_is_read_again_after_half_a_second(read: Read, clock: list[float]) -> None:
    trial = read.study.ask()
    read.trials()
    trial.report(0.5, 1)
    assert read.trials()[0].intermediate_values == {}
    assert read.reader.trial(id_of_trial(trial)).intermediate_values == {1: 0.5}  # by itself a trial is as it is now
    clock[0] += 0.6
    assert read.trials()[0].intermediate_values == {1: 0.5}


def test_what_this_process_has_changed_is_read_at_once(read: Read, clock: list[float]) -> None:
    trial = read.study.ask()
    read.trials()
    trial.report(0.5, 1)
    read.reader.forget(id_of_trial(trial))
    assert read.trials()[0].intermediate_values == {1: 0.5}


def test_a_trial_that_has_ended_meanwhile_is_seen_at_once(read: Read, clock: list[float]) -> None:
    first, second = read.study.ask(), read.study.ask()
    read.trials()
    read.study.tell(second, 2.0)
    assert [t.state for t in read.trials()] == [TrialState.RUNNING, TrialState.COMPLETE]
    read.study.tell(first, 1.0)
    assert [t.value for t in read.trials()] == [1.0, 2.0]
    assert [t.value for t in read.trials()] == [1.0, 2.0]


def test_a_waiting_trial_that_was_taken_is_seen_at_once(read: Read, clock: list[float]) -> None:
    read.study.enqueue_trial({})
    assert [t.state for t in read.trials()] == [TrialState.WAITING]
    read.study.ask()
    assert [t.state for t in read.trials()] == [TrialState.RUNNING]


def test_who_does_not_ask_for_waiting_trials_gets_nothing_of_them(read: Read, clock: list[float]) -> None:
    """A worker among thousands of tickets must neither read nor pass them."""
    for _ in range(3):
        read.study.enqueue_trial({})
    taken = read.study.ask()
    assert [t.number for t in read.trials(TrialState.RUNNING, TrialState.COMPLETE)] == [0]
    assert not read.reader._studies[read.number].trials.keys() - {taken._trial_id}
    second = read.study.ask()
    read.study.tell(second, 2.0)
    assert [t.number for t in read.trials(TrialState.COMPLETE)] == [1]
    assert [t.number for t in read.trials()] == [0, 1, 2]
    read.study.tell(taken, 1.0)
    assert [t.number for t in read.trials(TrialState.COMPLETE)] == [0, 1]
    third = read.study.ask()  # has waited while trials after it had ended
    read.study.add_trial(complete(7.0))
    assert [t.number for t in read.trials(TrialState.COMPLETE)] == [0, 1, 3]
    read.study.tell(third, 3.0)
    assert [t.number for t in read.trials(TrialState.COMPLETE)] == [0, 1, 2, 3]


def test_a_trial_whose_end_was_read_by_itself_is_not_passed_over(read: Read) -> None:
    read.study.add_trial(complete(1.0))
    read.reader.trial(id_of_trial(read.all_of_optuna()[0]))
    assert not read.trials(TrialState.RUNNING)
    assert [t.number for t in read.trials()] == [0]


def test_trials_are_chosen_by_state_before_and_after_they_are_known(read: Read) -> None:
    read.study.add_trial(complete(1.0))
    read.study.ask()
    for _ in range(2):
        assert [t.number for t in read.trials(TrialState.COMPLETE)] == [0]
        assert [t.number for t in read.trials(TrialState.RUNNING)] == [1]
        assert [t.number for t in read.trials()] == [0, 1]


def test_more_trials_than_one_statement_takes_are_all_read(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_reading, "_MOST_IDS", 2)
    for value in range(5):
        read.study.add_trial(complete(value))
    assert [t.value for t in read.trials()] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_studies_of_one_database_are_kept_apart(read: Read) -> None:
    read.study.add_trial(complete(1.0))
    other = optuna.create_study(storage=read.storage)
    other.add_trial(complete(2.0))
    assert [t.value for t in read.trials()] == [1.0]
    assert [t.value for t in read.reader.trials(id_of_study(other), None)] == [2.0]
    assert [t.number for t in read.reader.trials(id_of_study(other), None)] == [0]


def test_numbers_lead_to_ids_of_trials_that_were_read(read: Read) -> None:
    read.study.add_trial(complete())
    assert read.reader.number_to_id(read.number, 0) is None
    (trial,) = read.trials()
    assert read.reader.number_to_id(read.number, 0) == id_of_trial(trial)
    assert read.reader.number_to_id(read.number, 1) is None


def test_trial_that_is_not_there_is_a_key_error(read: Read) -> None:
    with pytest.raises(KeyError, match="there is no trial with the id 99"):
        read.reader.trial(99)
