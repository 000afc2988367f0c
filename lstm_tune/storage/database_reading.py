"""Reads the trials of a database, each ended one once: what is new alone is read.

Optuna reads every trial that has not ended again at each look, with six statements through its mapper; with a queue of
a thousand trials this takes longer than a short trial. Who does not ask for the trials that wait gets nothing of them.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sql
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.storage.optuna_private import id_of_trial
from lstm_tune.storage.schema import PARAMS, REPORTS, TRIAL_SYSTEM, TRIAL_USER, TRIALS, VALUES

_MOST_IDS = 500  # in one statement
_FRESH = 0.5  # seconds for which a running trial is not read again
_SPECIAL = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


@dataclass(slots=True)
class _Known:
    """What is known of the trials of a study.

    Attributes:
        trials: as they were read last, by id.
        read: when a trial that had not ended was read, by id.
        last: the id up to which all trials have ended and are known: nothing of them is new.
    """

    trials: dict[int, FrozenTrial] = field(default_factory=dict)
    read: dict[int, float] = field(default_factory=dict)
    last: int = -1


class TrialReader:
    """The trials of a database; not for a pickle.

    Args:
        engine: of the database.
    """

    def __init__(self, engine: sql.Engine) -> None:
        self._engine = engine
        self._studies: dict[int, _Known] = defaultdict(_Known)
        self._ended: dict[int, FrozenTrial] = {}
        self._lock = threading.Lock()

    def forget(self, trial_id: int) -> None:
        """Read a trial again at the next look: this process has changed it."""
        with self._lock:
            for known in self._studies.values():
                known.read.pop(trial_id, None)

    def trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial as it is now.

        Raises:
            KeyError: there is none of this id.
        """
        if (ended := self._ended.get(trial_id)) is not None:
            return ended
        with self._engine.connect() as connection:
            found = _load(connection, [trial_id])
        if not found:
            raise KeyError(f"there is no trial with the id {trial_id}")
        if found[0].state.is_finished():
            self._ended[trial_id] = found[0]
        return found[0]

    def trials(self, study_id: int, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """Return the trials of a study in these states (None: all) in the order of their numbers.

        A running trial may be as it was half a second ago.
        """
        with_waiting = states is None or TrialState.WAITING in states
        with self._lock:
            known = self._studies[study_id]
            passed = known.last
            with self._engine.connect() as connection:
                now = time.monotonic()
                rows = _states(connection, study_id, passed, with_waiting)
                wanted = [(i, state) for i, state, _ in rows if states is None or state in states]
                new = [i for i, state in wanted if _is_new(known, i, state, now)]
                for trial in _load(connection, new):
                    trial = self._ended.get(id_of_trial(trial), trial)  # the same object each time
                    known.trials[id_of_trial(trial)] = trial
                    known.read[id_of_trial(trial)] = now
                    if trial.state.is_finished():
                        self._ended[id_of_trial(trial)] = trial
            _pass_ended(known, rows)
            old = (t for i, t in known.trials.items() if i <= passed)
            found = [*(t for t in old if states is None or t.state in states), *(known.trials[i] for i, _ in wanted)]
        return sorted(found, key=lambda t: t.number)

    def number_to_id(self, study_id: int, number: int) -> int | None:
        """Return the id of a trial that has been read; None: it has not."""
        with self._lock:
            trials = self._studies[study_id].trials.values()
            return next((id_of_trial(t) for t in trials if t.number == number), None)


def _pass_ended(known: _Known, rows: Sequence[tuple[int, TrialState, int | None]]) -> None:
    """Look at no trial again before which all have ended and are known."""
    for trial_id, _, waiting in rows:
        trial = known.trials.get(trial_id)
        if trial is None or not trial.state.is_finished() or (waiting is not None and waiting < trial_id):
            return
        known.last = trial_id


def _is_new(known: _Known, trial_id: int, state: TrialState, now: float) -> bool:
    trial = known.trials.get(trial_id)
    if trial is None or trial.state is not state:
        return True
    return state is TrialState.RUNNING and now - known.read.get(trial_id, -math.inf) > _FRESH


def _states(
    connection: sql.Connection, study_id: int, after: int, with_waiting: bool
) -> list[tuple[int, TrialState, int | None]]:
    """Return (id, state, id of the first that waits) of the trials of a study after one, in the order of their ids.

    With all that wait the third is None: they are there themselves.
    """
    of_study = (TRIALS.c.study_id == study_id) & (TRIALS.c.trial_id > after)
    if with_waiting:
        query = sql.select(TRIALS.c.trial_id, TRIALS.c.state, sql.null()).where(of_study)
    else:
        waits = TRIALS.c.state == TrialState.WAITING
        first = sql.select(sql.func.min(TRIALS.c.trial_id)).where(of_study & waits).scalar_subquery()
        query = sql.select(TRIALS.c.trial_id, TRIALS.c.state, first).where(of_study & ~waits)
    return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(TRIALS.c.trial_id))]


def _load(connection: sql.Connection, ids: Sequence[int]) -> list[FrozenTrial]:
    """Return trials as they are now; those that are not there are left out."""
    return [
        trial
        for start in range(0, len(ids), _MOST_IDS)
        for trial in _load_some(connection, ids[start : start + _MOST_IDS])
    ]


def _load_some(connection: sql.Connection, ids: Collection[int]) -> Iterable[FrozenTrial]:
    trials = connection.execute(sql.select(TRIALS).where(TRIALS.c.trial_id.in_(ids))).all()
    if all(row.state is TrialState.WAITING for row in trials):
        params, values, reports = {}, {}, {}
    else:
        params = _rows_by_trial(connection, PARAMS, ids, PARAMS.c.param_id)
        values = _rows_by_trial(connection, VALUES, ids, VALUES.c.objective)
        reports = _rows_by_trial(connection, REPORTS, ids, REPORTS.c.step)
    user = _rows_by_trial(connection, TRIAL_USER, ids)
    system = _rows_by_trial(connection, TRIAL_SYSTEM, ids)
    for row in trials:
        own = row.trial_id
        kinds = {p.param_name: (_distribution(p.distribution_json), p.param_value) for p in params.get(own, ())}
        yield FrozenTrial(
            number=row.number,
            state=row.state,
            value=None,
            values=[_number(v.value, v.value_type) for v in values.get(own, ())] or None,
            datetime_start=_local(row.datetime_start),
            datetime_complete=_local(row.datetime_complete),
            params={name: kind.to_external_repr(value) for name, (kind, value) in kinds.items()},
            distributions={name: kind for name, (kind, _) in kinds.items()},
            user_attrs={a.key: json.loads(a.value_json) for a in user.get(own, ())},
            system_attrs={a.key: json.loads(a.value_json) for a in system.get(own, ())},
            intermediate_values={
                r.step: _number(r.intermediate_value, r.intermediate_value_type) for r in reports.get(own, ())
            },
            trial_id=own,
        )


def _rows_by_trial(
    connection: sql.Connection, table: sql.TableClause, ids: Collection[int], *order: sql.ColumnElement[Any]
) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(sql.select(table).where(table.c.trial_id.in_(ids)).order_by(*order)):
        found[row.trial_id].append(row)
    return found


@lru_cache(maxsize=1024)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _number(value: float | None, kind: str) -> float:
    return _SPECIAL[kind] if value is None else float(value)


def _local(when: datetime | None) -> datetime | None:
    """Return a time without a zone on this machine's clock, as Optuna does."""
    return None if when is None else when.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
