"""A storage that stores what a trial writes at most once a second: a call on a database takes longer than an epoch.

A trial of this process (`adopt`) is buffered: parameters, reports and attributes wait for a second, for longer if the
storage is slow, or for the trial's end, and are then stored in one transaction, or as one write to a journal. Whoever
reads through this storage sees them at once. Of a process that is killed, what waited is lost; its trial is done again.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.storage.optuna_private import FrozenStudy, WithHeartbeats, id_of_trial
from lstm_tune.storage.trial_writes import TrialEnd, TrialWrites

_SECONDS = 1.0  # between two transactions of a trial, or …
_TIMES = 50  # … this many times what the last one took, if that is more: many workers must not drown a server …
_MOST_SECONDS = 15.0  # … but at most so many seconds
_FRESH = 0.5  # seconds for which a process that runs a trial does not read the other trials again


# Stores what a running trial of a storage has written, and its end, at once. It raises UpdateFinishedTrialError if
# another process has ended the trial.
WriteTrial = Callable[[Any, int, TrialWrites, TrialEnd | None], None]


@dataclass(kw_only=True, slots=True)
class _Own:
    """A running trial of this process: as it was read, and what is not stored yet."""

    trial: FrozenTrial
    stored: float  # when it was stored for the last time
    pause: float = _SECONDS  # until it is stored again
    writes: TrialWrites = field(default_factory=TrialWrites)


def _passed(name: str) -> Callable[..., Any]:
    """Return a method that calls the method of this name of the storage inside."""

    def call(self: Buffered, *args: Any, **options: Any) -> Any:
        return getattr(self.inside, name)(*args, **options)

    return call


class Buffered(BaseStorage, WithHeartbeats):
    """A storage whose own trials are stored at most once a second.

    Args:
        inside: the storage itself.
        write: how it stores what a trial has written at once.
    """

    def __init__(self, inside: BaseStorage, write: WriteTrial) -> None:
        self.inside = inside
        self._write = write
        self._own: dict[int, _Own] = {}
        # The trials of a study in some states, and when they were read.
        self._seen: dict[tuple[int, frozenset[TrialState]], tuple[float, list[FrozenTrial]]] = {}
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Buffered, (self.inside, self._write)

    def adopt(self, trial_id: int) -> None:
        """Buffer a running trial, whose only writer is this process."""
        trial = self.inside.get_trial(trial_id)
        with self._lock:
            if trial.state is TrialState.RUNNING:
                self._own[trial_id] = _Own(trial=trial, stored=time.monotonic())
            self._seen.clear()  # the sampler sees all that has ended

    def flush(self, trial_id: int) -> None:
        """Store what a trial has written.

        Raises:
            UpdateFinishedTrialError: another process has ended it.
        """
        with self._lock:
            if (own := self._own.get(trial_id)) is not None and own.writes:
                self._store(trial_id, own, None)

    def _store(self, trial_id: int, own: _Own, end: TrialEnd | None) -> None:
        began = time.monotonic()
        try:
            self._write(self.inside, trial_id, own.writes, end)
        except UpdateFinishedTrialError:
            self._own.pop(trial_id, None)  # from now on what is stored counts
            raise
        own.trial, own.writes, own.stored = own.writes.added_to(own.trial), TrialWrites(), time.monotonic()
        own.pause = min(max(_SECONDS, _TIMES * (own.stored - began)), _MOST_SECONDS)
        if end is not None:
            self._own.pop(trial_id, None)

    def _buffer(self, trial_id: int, put: Callable[[TrialWrites], None], store: Callable[[], None]) -> None:
        """Put something into the buffer of an own trial; store it at once if the trial is not an own one."""
        with self._lock:
            if (own := self._own.get(trial_id)) is None:
                store()
                return
            put(own.writes)
            if time.monotonic() - own.stored >= own.pause:
                self._store(trial_id, own, None)

    # ---- what is buffered

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Set a parameter."""
        self._buffer(
            trial_id,
            lambda writes: writes.params.__setitem__(param_name, (param_value_internal, distribution)),
            lambda: self.inside.set_trial_param(trial_id, param_name, param_value_internal, distribution),
        )

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Set what was reported at a step."""
        self._buffer(
            trial_id,
            lambda writes: writes.reports.__setitem__(step, intermediate_value),
            lambda: self.inside.set_trial_intermediate_value(trial_id, step, intermediate_value),
        )

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user attribute."""
        self._buffer(
            trial_id,
            lambda writes: writes.user.__setitem__(key, value),
            lambda: self.inside.set_trial_user_attr(trial_id, key, value),
        )

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a system attribute."""
        self._buffer(
            trial_id,
            lambda writes: writes.system.__setitem__(key, value),
            lambda: self.inside.set_trial_system_attr(trial_id, key, value),
        )

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set the state, together with what the trial has written."""
        with self._lock:
            own = self._own.get(trial_id)
            if own is None or not state.is_finished():
                return self.inside.set_trial_state_values(trial_id, state, values)
            self._store(trial_id, own, TrialEnd(state=state, values=values))
        return True

    # ---- what shows it

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial, with what it has written."""
        with self._lock:
            own = self._own.get(trial_id)
            return self.inside.get_trial(trial_id) if own is None else own.writes.added_to(own.trial)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study in the order of their numbers, with what they have written."""
        with self._lock:
            if not self._own:
                return self.inside.get_all_trials(study_id, deepcopy=deepcopy, states=states)
            # Thousands may wait, and hundreds run: a pruner that asks for completed trials must not read them.
            asked = frozenset(state for state in TrialState if states is None or state in states)
            read, trials = self._seen.get((study_id, asked), (-math.inf, []))
            if time.monotonic() - read > _FRESH:
                trials = self.inside.get_all_trials(study_id, deepcopy=False, states=states)
                self._seen[study_id, asked] = time.monotonic(), trials
            shown = [self._with_writes(trial) for trial in trials]
        return copy.deepcopy(shown) if deepcopy else shown

    def _with_writes(self, trial: FrozenTrial) -> FrozenTrial:
        own = self._own.get(id_of_trial(trial))
        return trial if own is None else own.writes.added_to(own.trial)

    # ---- heartbeats, if the storage inside has them

    def record_heartbeat(self, trial_id: int) -> None:
        """Record that the trial's worker is alive."""
        if isinstance(self.inside, WithHeartbeats):
            self.inside.record_heartbeat(trial_id)

    def get_heartbeat_interval(self) -> int | None:
        """Return the seconds between heartbeats; None: there are none."""
        return self.inside.get_heartbeat_interval() if isinstance(self.inside, WithHeartbeats) else None

    def get_heartbeat_stale_trial_callback(self) -> Any:
        """Return what is done with a trial that was failed because its heartbeats stopped."""
        return self.inside.get_heartbeat_stale_trial_callback() if isinstance(self.inside, WithHeartbeats) else None

    def stale_trial_ids(self, study_id: int) -> list[int]:
        """Return the ids of the running trials whose heartbeats have stopped."""
        return self.inside.stale_trial_ids(study_id) if isinstance(self.inside, WithHeartbeats) else []

    # ---- everything else

    create_new_study: Callable[..., int] = _passed("create_new_study")
    delete_study: Callable[..., None] = _passed("delete_study")
    set_study_user_attr: Callable[..., None] = _passed("set_study_user_attr")
    set_study_system_attr: Callable[..., None] = _passed("set_study_system_attr")
    get_study_id_from_name: Callable[..., int] = _passed("get_study_id_from_name")
    get_study_name_from_id: Callable[..., str] = _passed("get_study_name_from_id")
    get_study_directions: Callable[..., list[StudyDirection]] = _passed("get_study_directions")
    get_study_user_attrs: Callable[..., dict[str, Any]] = _passed("get_study_user_attrs")
    get_study_system_attrs: Callable[..., dict[str, Any]] = _passed("get_study_system_attrs")
    get_all_studies: Callable[..., list[FrozenStudy]] = _passed("get_all_studies")
    create_new_trial: Callable[..., int] = _passed("create_new_trial")
    get_trial_id_from_study_id_trial_number: Callable[..., int] = _passed("get_trial_id_from_study_id_trial_number")
    get_best_trial: Callable[..., FrozenTrial] = _passed("get_best_trial")
    remove_session: Callable[..., None] = _passed("remove_session")


def adopt(storage: BaseStorage, trial_id: int) -> int:
    """Buffer a running trial whose only writer is this process, if the storage has a buffer; return its id."""
    if isinstance(storage, Buffered):
        storage.adopt(trial_id)
    return trial_id


def flush(storage: BaseStorage, trial_id: int) -> None:
    """Store what a trial has written, if the storage has a buffer.

    Raises:
        UpdateFinishedTrialError: another process has ended the trial.
    """
    if isinstance(storage, Buffered):
        storage.flush(trial_id)


def inside(storage: BaseStorage) -> BaseStorage:
    """Return the storage behind the buffer, if there is one."""
    return storage.inside if isinstance(storage, Buffered) else storage
