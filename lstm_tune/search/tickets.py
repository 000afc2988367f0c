"""Tickets: trials that wait in Optuna's queue, so that workers on any machine do exactly as many as are wanted.

The coordinator alone makes tickets. Its gate, an attribute of the study, says whether tickets may be taken, and up to
which number. A database checks the gate in the transaction that takes a ticket, so nobody takes one after the
coordinator has closed it.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.search.trial_attributes import Attr
from lstm_tune.search.trial_queue import give_back
from lstm_tune.search.trials import Trial
from lstm_tune.storage.buffered import inside
from lstm_tune.storage.database import Database
from lstm_tune.storage.database_gate import GATE
from lstm_tune.storage.optuna_private import id_of_study, id_of_trial, storage_of

ANY = 2**31 - 1  # as the last number: every ticket may be taken
_SECONDS = "lstm_tune:trial_seconds"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """Which tickets may be taken.

    Attributes:
        open: whether any may.
        last: number of the last one that may.
    """

    open: bool
    last: int = ANY


def set_gate(study: optuna.Study, gate: Gate) -> None:
    """Let these tickets be taken, and no others, from now on."""
    storage_of(study).set_study_system_attr(id_of_study(study), GATE, asdict(gate))


def read_gate(attributes: Mapping[str, Any]) -> Gate | None:
    """Return the gate in the system attributes of a study; None: nobody has opened one yet."""
    match attributes.get(GATE):
        case {"open": bool(is_open), "last": int(last)}:
            return Gate(open=is_open, last=last)
    return None


def set_trial_seconds(study: optuna.Study, seconds: float) -> None:
    """Say how long a trial may take that begins now; inf: without a limit."""
    value = None if math.isinf(seconds) else round(seconds, 1)
    storage_of(study).set_study_system_attr(id_of_study(study), _SECONDS, value)


def read_trial_seconds(attributes: Mapping[str, Any]) -> float:
    """Return how long a trial may take that begins now; inf: without a limit."""
    seconds = attributes.get(_SECONDS)
    return float(seconds) if isinstance(seconds, int | float) else math.inf


def make_tickets(study: optuna.Study, number: int) -> None:
    """Make tickets, whose parameters the sampler is free to choose; on a database, all in one transaction."""
    database = inside(storage_of(study))
    if isinstance(database, Database) and number > 0:
        database.create_waiting_trials(id_of_study(study), number, _attributes_of_a_ticket())
        return
    for _ in range(number):
        study.enqueue_trial({})


@cache
def _attributes_of_a_ticket() -> Mapping[str, Any]:
    """Return the system attributes that Optuna's queue gives to a trial whose parameters are free."""
    storage = InMemoryStorage()
    storage.create_new_study([StudyDirection.MINIMIZE], "queue")
    study = optuna.Study("queue", storage)
    study.enqueue_trial({})
    return study.trials[0].system_attrs


def is_free(trial: Trial) -> bool:
    """Return whether a waiting trial is a plain ticket: nothing is queued that must still be tried."""
    return not trial.queued_params and trial.repeats is None


def take_ticket(study: optuna.Study, run: str) -> FrozenTrial | None:
    """Take the next ticket, what was lost first; None: there is none at the moment.

    Args:
        study: with a gate.
        run: the process that takes it; see `this_run`.
    """
    storage, study_id = storage_of(study), id_of_study(study)
    attributes = storage.get_study_system_attrs(study_id)
    gate = read_gate(attributes)
    if gate is None or not gate.open:
        return None
    database = inside(storage)
    if isinstance(database, Database):
        text = json.dumps(attributes[GATE])  # as the database holds it
        taken = database.take_next_trial(study_id, gate.last, text, {Attr.RUN: run})
        return None if taken is None else storage.get_trial(taken)
    return _take_of_journal(study, storage, gate, run)


def _take_of_journal(study: optuna.Study, storage: BaseStorage, gate: Gate, run: str) -> FrozenTrial | None:
    """Take a ticket where the gate cannot be checked at the same moment: give it back if it was closed meanwhile."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    allowed = [trial for trial in waiting if trial.number <= gate.last]
    for trial in sorted(allowed, key=lambda t: (Trial.of(t).repeats is None, t.number)):
        with contextlib.suppress(UpdateFinishedTrialError):
            if storage.set_trial_state_values(id_of_trial(trial), state=TrialState.RUNNING):
                storage.set_trial_user_attr(id_of_trial(trial), Attr.RUN, run)
                now = read_gate(storage.get_study_system_attrs(id_of_study(study)))
                if now == gate:
                    return storage.get_trial(id_of_trial(trial))
                give_back(study, trial.number)
                return None
    return None
