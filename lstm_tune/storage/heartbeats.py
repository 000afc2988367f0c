"""Heartbeats of running trials in a database: how they are recorded, and after which silence a trial counts as lost.

Optuna's own methods for both send seven statements a beat, and read every running trial as an object at each look.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import sqlalchemy as sql
from optuna.trial import TrialState

from lstm_tune.storage.schema import HEARTBEATS, TRIALS

BEAT = 15  # seconds between heartbeats
CHECK = 5.0  # seconds between looks for trials without heartbeats: Optuna looks before each trial
STALE = 120  # seconds without one after which a trial is given to another, or …
_PATIENCE = 3  # … this many times the longest silence after which a trial gave a sign again, if that is more …
_MOST = 5  # … but at most this many times STALE; also times ASLEEP from one excuse to the next
ASLEEP = 2 * BEAT  # seconds without a look or a beat of its own after which a process takes itself for suspended


def record_beat(engine: sql.Engine, trial_id: int) -> None:
    """Record that the worker of a trial is alive, as a rule by one statement."""
    with engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        here = HEARTBEATS.c.trial_id == trial_id
        if not connection.execute(sql.update(HEARTBEATS).where(here).values(heartbeat=sql.func.now())).rowcount:
            first_beat(connection, trial_id)


def first_beat(connection: sql.Connection, trial_id: int) -> None:
    """Record a first heartbeat: if the process is gone before it has sent one, its trial is missed, too."""
    connection.execute(sql.delete(HEARTBEATS).where(HEARTBEATS.c.trial_id == trial_id))
    connection.execute(sql.insert(HEARTBEATS).values(trial_id=trial_id, heartbeat=sql.func.now()))


def read_silences(engine: sql.Engine, study_id: int) -> dict[tuple[int, int], float]:
    """Return the seconds since the last heartbeat of each running trial, by (id, number), on the database's clock."""
    running = (TRIALS.c.study_id == study_id) & (TRIALS.c.state == TrialState.RUNNING)
    beats = sql.select(TRIALS.c.trial_id, TRIALS.c.number, HEARTBEATS.c.heartbeat).where(
        running & (TRIALS.c.trial_id == HEARTBEATS.c.trial_id)
    )
    with engine.connect() as connection:
        rows = connection.execute(beats).all()
        now = connection.execute(sql.select(sql.func.now())).scalar()
    assert now is not None
    now = now.replace(tzinfo=None)  # as Optuna compares them
    return {(row[0], row[1]): (now - row[2]).total_seconds() for row in rows}


class SilenceWatch:
    """Says which running trials are lost: silent for `STALE` seconds, or longer if beats are known to come late.

    On a busy machine, or by a slow network, beats come late. So each silence that a beat ended raises the patience.
    """

    def __init__(self) -> None:
        self._silences: Mapping[int, float] = {}
        self._longest = 0.0
        self._woke, self._signed = -math.inf, time.time()

    def sign(self) -> None:
        """Note that this process runs. After a gap it was suspended, and perhaps workers and server with it.

        If gaps come again and again, the machine is busy, and they no longer excuse anybody.
        """
        now = time.time()
        if now - self._signed > ASLEEP and now - self._woke > _MOST * ASLEEP:
            self._woke = now
        self._signed = now

    def lost(self, silences: Mapping[int, float]) -> list[int]:
        """Return which trials are lost.

        Args:
            silences: seconds since the last heartbeat of each running trial.
        """
        self.sign()
        ended = [before for trial, before in self._silences.items() if silences.get(trial, before) < before]
        self._longest = max(self._longest, *ended, 0.0)
        self._silences = dict(silences)
        if time.time() - self._woke < ASLEEP:
            return []
        patience = min(max(STALE, _PATIENCE * self._longest), _MOST * STALE)
        return [trial for trial, silence in silences.items() if silence > patience]
