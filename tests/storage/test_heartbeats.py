"""After which silence a trial counts as lost, and what a heartbeat costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sql
from optuna.storages import RDBStorage

from lstm_tune.storage import heartbeats
from lstm_tune.storage.heartbeats import ASLEEP, STALE, SilenceWatch, read_silences, record_beat
from lstm_tune.storage.optuna_private import id_of_study


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1e6]
    monkeypatch.setattr(heartbeats.time, "time", lambda: now[0])
    return now


@pytest.fixture
def watch(clock: list[float]) -> SilenceWatch:
    return SilenceWatch()


def run(watch: SilenceWatch, clock: list[float], seconds: int) -> None:
    for _ in range(seconds):
        clock[0] += 1
        watch.sign()


def test_trial_is_lost_after_two_minutes_without_a_beat(watch: SilenceWatch) -> None:
    assert watch.lost({1: STALE - 1.0, 2: 3.0}) == []
    assert watch.lost({1: STALE + 1.0, 2: 8.0}) == [1]


def test_a_late_beat_makes_the_watch_more_patient_with_all(watch: SilenceWatch) -> None:
    watch.lost({1: 100.0, 2: 5.0})
    watch.lost({1: 4.0, 2: 10.0})  # it lived after all
    assert watch.lost({1: 9.0, 2: 299.0}) == []
    assert watch.lost({1: 14.0, 2: 301.0}) == [2]


def test_patience_has_an_end(watch: SilenceWatch) -> None:
    for silence in (590.0, 1.0):
        watch.lost({1: silence})
    assert watch.lost({2: 5 * STALE + 1.0}) == [2]


def test_trial_that_has_ended_makes_nobody_patient(watch: SilenceWatch) -> None:
    watch.lost({1: 110.0, 2: 5.0})
    assert watch.lost({2: STALE + 1.0}) == [2]


def test_process_that_was_suspended_lets_beats_come_first(watch: SilenceWatch, clock: list[float]) -> None:
    clock[0] += 3600.0
    assert watch.lost({1: 3600.0, 2: 3600.0}) == []
    run(watch, clock, ASLEEP + 1)
    assert watch.lost({1: 4.0, 2: 3631.0}) == [2]


def test_gaps_that_come_again_and_again_excuse_nobody(watch: SilenceWatch, clock: list[float]) -> None:
    for _ in range(2):
        clock[0] += ASLEEP + 1
        found = watch.lost({1: 400.0})
    assert found == [1]


def test_a_beat_is_one_statement_and_moves_the_silence(tmp_path: Path) -> None:
    storage = RDBStorage(f"sqlite:///{tmp_path / 's.db'}")
    study = optuna.create_study(storage=storage)
    trial, number = study.ask(), id_of_study(study)
    assert read_silences(storage.engine, number) == {}
    record_beat(storage.engine, trial._trial_id)
    with storage.engine.begin() as connection:
        connection.execute(sql.text("update trial_heartbeats set heartbeat = '2020-01-01 00:00:00.000000'"))
    assert read_silences(storage.engine, number)[trial._trial_id, 0] > 1e6
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sql.event.listen(storage.engine, "before_cursor_execute", note)
    record_beat(storage.engine, trial._trial_id)
    assert [s.split()[0] for s in statements] == ["UPDATE"]
    assert read_silences(storage.engine, number)[trial._trial_id, 0] < 5
    study.tell(trial, 1.0)
    assert read_silences(storage.engine, number) == {}
    storage.engine.dispose()
