"""What Optuna's database storage has no method for: statements that a second process cannot repeat."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sql
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

TOKEN = "lstm_tune:token"  # the system attribute by which a process finds the trial that it has created or taken
_TRIALS = sql.table(
    "trials",
    sql.column("trial_id"),
    sql.column("number"),
    sql.column("state", sql.Enum(TrialState, name="trialstate")),
    sql.column("datetime_start", sql.DateTime()),
)
_OF_TRIALS = sql.table(
    "trial_system_attributes",
    sql.column("trial_id"),
    sql.column("key", sql.String()),
    sql.column("value_json", sql.Text()),
)
_OF_STUDIES = sql.table(
    "study_system_attributes",
    sql.column("study_id"),
    sql.column("key", sql.String()),
    sql.column("value_json", sql.Text()),
)


def take_waiting_trial(engine: sql.Engine, trial_id: int, token: str) -> bool:
    """Take a trial out of the queue in one transaction, which also marks it as taken with this token.

    Returns:
        False: another process has taken it.

    Raises:
        KeyError: there is no such trial.
        UpdateFinishedTrialError: it has ended.
    """
    here, mark = _TRIALS.c.trial_id == trial_id, json.dumps(token)
    with engine.begin() as connection:
        row = connection.execute(
            sql.select(_TRIALS.c.state, _TRIALS.c.number).where(here).with_for_update()
        ).one_or_none()
        if row is None:
            raise KeyError(f"there is no trial with the id {trial_id}")
        marked = (_OF_TRIALS.c.trial_id == trial_id) & (_OF_TRIALS.c.key == TOKEN)
        if row.state is not TrialState.WAITING:
            if row.state.is_finished():
                raise UpdateFinishedTrialError(f"trial {row.number} has ended and cannot be taken")
            return connection.execute(sql.select(_OF_TRIALS.c.value_json).where(marked)).scalar() == mark
        connection.execute(
            sql.update(_TRIALS).where(here).values(state=TrialState.RUNNING, datetime_start=datetime.now())
        )
        connection.execute(sql.delete(_OF_TRIALS).where(marked))  # of the process that queued it
        connection.execute(sql.insert(_OF_TRIALS).values(trial_id=trial_id, key=TOKEN, value_json=mark))
    return True


def set_study_attr_once(engine: sql.Engine, study_id: int, key: str, value: Any) -> None:
    """Set a system attribute of a study, unless the study has it: the database itself refuses a second one."""
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    try:
        with engine.begin() as connection:
            connection.execute(sql.insert(_OF_STUDIES).values(**row))
    except sql.exc.IntegrityError:
        return
