"""What Optuna's database storage has no method for: statements that no two processes carry out, and fewer of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sql
from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy.dialects import postgresql, sqlite

from lstm_tune.storage.database_gate import GATE
from lstm_tune.storage.heartbeats import first_beat
from lstm_tune.storage.schema import (
    PARAMS,
    REPORTS,
    STUDIES,
    STUDY_SYSTEM,
    TRIAL_SYSTEM,
    TRIAL_USER,
    TRIALS,
    VALUES,
)
from lstm_tune.storage.trial_writes import TrialEnd, TrialWrites

TOKEN = "lstm_tune:token"  # the system attribute by which a process finds the trial that it has created or taken


def create_waiting_trials(
    engine: sql.Engine, study_id: int, number: int, token: str, attributes: Mapping[str, Any]
) -> None:
    """Put so many trials into the queue of a study in one transaction, numbered as Optuna numbers them.

    Args:
        engine: of the database.
        study_id: of the study.
        number: of trials.
        token: that each of them carries; no other process has it.
        attributes: system attributes that each of them gets.
    """
    with engine.begin() as connection:
        # Optuna locks this row, too, when it numbers a trial.
        connection.execute(sql.select(STUDIES).where(STUDIES.c.study_id == study_id).with_for_update()).one()
        of_study = TRIALS.c.study_id == study_id
        first = connection.execute(sql.select(sql.func.count()).where(of_study)).scalar()
        assert first is not None
        row = {"study_id": study_id, "state": TrialState.WAITING}
        connection.execute(sql.insert(TRIALS), [{**row, "number": first + i} for i in range(number)])
        made = connection.execute(sql.select(TRIALS.c.trial_id).where(of_study & (TRIALS.c.number >= first))).scalars()
        given = {key: json.dumps(value) for key, value in {**attributes, TOKEN: token}.items()}
        rows = [{"trial_id": trial_id, "key": key, "value_json": v} for trial_id in made for key, v in given.items()]
        connection.execute(sql.insert(TRIAL_SYSTEM), rows)


def take_waiting_trial(engine: sql.Engine, trial_id: int, token: str) -> bool:
    """Take a trial out of the queue in one transaction, which also marks it as taken with this token.

    Returns:
        False: another process has taken it.

    Raises:
        KeyError: there is no such trial.
        UpdateFinishedTrialError: it has ended.
    """
    mark = json.dumps(token)
    with engine.begin() as connection:
        state, number = _lock(connection, trial_id)
        if state is not TrialState.WAITING:
            if state.is_finished():
                raise UpdateFinishedTrialError(f"trial {number} has ended and cannot be taken")
            marked = (TRIAL_SYSTEM.c.trial_id == trial_id) & (TRIAL_SYSTEM.c.key == TOKEN)
            return connection.execute(sql.select(TRIAL_SYSTEM.c.value_json).where(marked)).scalar() == mark
        _begin(connection, trial_id, token, {})
    return True


def take_next_trial(
    engine: sql.Engine, study_id: int, last: int, gate: str, token: str, attributes: Mapping[str, Any]
) -> int | None:
    """Take the next trial out of the queue, if the gate has not changed since it was read; see `take_waiting_trial`.

    What another process takes at the same moment is passed over, not waited for. Whoever changes the gate waits until
    such transactions are over, and knows then of every trial that was taken before.

    Args:
        engine: of the database.
        study_id: of the study.
        last: number of the last trial that may be taken.
        gate: text of the system attribute `GATE` of the study, as it was read.
        token: no other process has it.
        attributes: user attributes that the trial gets.

    Returns:
        The id of the trial; None: none waits, or the gate has changed.
    """
    repeats = sql.select(TRIAL_USER.c.key).where(
        (TRIAL_USER.c.trial_id == TRIALS.c.trial_id) & (TRIAL_USER.c.key == "repeats")
    )
    waiting = (TRIALS.c.study_id == study_id) & (TRIALS.c.state == TrialState.WAITING) & (TRIALS.c.number <= last)
    with engine.begin() as connection:
        now = sql.select(STUDY_SYSTEM.c.value_json).where(
            (STUDY_SYSTEM.c.study_id == study_id) & (STUDY_SYSTEM.c.key == GATE)
        )
        if connection.execute(now.with_for_update(read=True)).scalar() != gate:
            return None
        query = sql.select(TRIALS.c.trial_id).where(waiting).limit(1).with_for_update(skip_locked=True)
        lost_first = query.order_by(sql.desc(repeats.exists()), TRIALS.c.number)
        trial_id = connection.execute(lost_first).scalar()
        if trial_id is not None:
            _begin(connection, trial_id, token, attributes)
            first_beat(connection, trial_id)
        return trial_id


def find_taken(engine: sql.Engine, token: str) -> int | None:
    """Return the id of the trial that was taken with a token; None: there is none."""
    query = sql.select(TRIAL_SYSTEM.c.trial_id).where(
        (TRIAL_SYSTEM.c.key == TOKEN) & (TRIAL_SYSTEM.c.value_json == json.dumps(token))
    )
    with engine.connect() as connection:
        return connection.execute(query).scalar()


def _begin(connection: sql.Connection, trial_id: int, token: str, attributes: Mapping[str, Any]) -> None:
    start = {"state": TrialState.RUNNING, "datetime_start": _now()}
    connection.execute(sql.update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(**start))
    _set_attributes(connection, TRIAL_SYSTEM, trial_id, {TOKEN: token})  # in place of the one that queued it
    _set_attributes(connection, TRIAL_USER, trial_id, attributes)


def _lock(connection: sql.Connection, trial_id: int) -> tuple[TrialState, int]:
    """Return the state and the number of a trial, which no other transaction can change before this one ends.

    Raises:
        KeyError: there is no such trial.
    """
    row = connection.execute(
        sql.select(TRIALS.c.state, TRIALS.c.number).where(TRIALS.c.trial_id == trial_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise KeyError(f"there is no trial with the id {trial_id}")
    return row.state, row.number


def write_trial(engine: sql.Engine, trial_id: int, writes: TrialWrites, end: TrialEnd | None) -> None:
    """Store what a running trial has written, and its end, in one transaction; a second time changes nothing.

    Raises:
        KeyError: there is no such trial.
        UpdateFinishedTrialError: it has ended otherwise.
    """
    here = TRIALS.c.trial_id == trial_id
    with engine.begin() as connection:
        state, number = _lock(connection, trial_id)
        if state.is_finished():
            raise UpdateFinishedTrialError(f"trial {number} has already ended and cannot be changed")
        params = [
            {"param_name": name, "param_value": value, "distribution_json": distribution_to_json(kind)}
            for name, (value, kind) in writes.params.items()
        ]
        _set(connection, PARAMS, trial_id, "param_name", params)
        reports = [
            {"step": step, "intermediate_value": _finite(v), "intermediate_value_type": _kind(v)}
            for step, v in writes.reports.items()
        ]
        _set(connection, REPORTS, trial_id, "step", reports)
        _set_attributes(connection, TRIAL_USER, trial_id, writes.user)
        _set_attributes(connection, TRIAL_SYSTEM, trial_id, writes.system)
        if end is not None:
            values = [
                {"objective": i, "value": _finite(v), "value_type": _kind(v)} for i, v in enumerate(end.values or ())
            ]
            _set(connection, VALUES, trial_id, "objective", values)
            connection.execute(sql.update(TRIALS).where(here).values(state=end.state, datetime_complete=_now()))


def set_study_attr_once(engine: sql.Engine, study_id: int, key: str, value: Any) -> None:
    """Set a system attribute of a study, unless the study has it: the database itself refuses a second one."""
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    try:
        with engine.begin() as connection:
            connection.execute(sql.insert(STUDY_SYSTEM).values(**row))
    except sql.exc.IntegrityError:
        return


def _set_attributes(
    connection: sql.Connection, table: sql.TableClause, trial_id: int, attributes: Mapping[str, Any]
) -> None:
    _set(connection, table, trial_id, "key", [{"key": k, "value_json": json.dumps(v)} for k, v in attributes.items()])


def _set(
    connection: sql.Connection, table: sql.TableClause, trial_id: int, key: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Set rows of a trial, each known by its key; what was there before is replaced."""
    if not rows:
        return
    insert = _upsert(connection.dialect.name, table, key)
    if insert is None:
        same = (table.c.trial_id == trial_id) & table.c[key].in_([row[key] for row in rows])
        connection.execute(sql.delete(table).where(same))
        insert = sql.insert(table)
    connection.execute(insert, [{"trial_id": trial_id, **row} for row in rows])


@cache
def _upsert(dialect: str, table: sql.TableClause, *key: str) -> Any:
    """Return a statement that inserts rows, or replaces those with the same trial and key; None: it has none."""
    insert: Any
    match dialect:
        case "postgresql":
            insert = postgresql.insert(table)
        case "sqlite":
            insert = sqlite.insert(table)
        case _:
            return None
    known = {"trial_id", *key}
    replaced = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in known}
    replaced.pop("param_id", None)
    return insert.on_conflict_do_update(index_elements=sorted(known), set_=replaced)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _kind(value: float) -> str:
    if math.isnan(value):
        return "NAN"
    return "FINITE" if math.isfinite(value) else "INF_POS" if value > 0 else "INF_NEG"


def _now() -> datetime:
    """Return the time as Optuna's tables hold it: in UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)
