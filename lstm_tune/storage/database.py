"""RDB storage with retries: it survives a restart of the server, and repeats no write.

A server that is restarted ends all connections. Whether it had carried out the last request is unknown then. Most
requests set something and can be repeated as they are. A new trial carries a token by which it is found again; a trial
from the queue is marked with a token, too, in the transaction that takes it.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
import uuid
import weakref
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, TypeVar, cast

import optuna
import sqlalchemy as sql
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lstm_tune.storage.database_errors import Outage, recognise
from lstm_tune.storage.database_reading import TrialReader
from lstm_tune.storage.database_statements import (
    TOKEN,
    create_waiting_trials,
    find_taken,
    set_study_attr_once,
    take_next_trial,
    take_waiting_trial,
    write_trial,
)
from lstm_tune.storage.heartbeats import BEAT, CHECK, STALE, SilenceWatch, read_silences, record_beat
from lstm_tune.storage.kind import StaleTrials
from lstm_tune.storage.optuna_private import FrozenStudy, WithHeartbeats
from lstm_tune.storage.outages import Outages
from lstm_tune.storage.trial_writes import TrialEnd, TrialWrites

T = TypeVar("T")


def _retried(name: str) -> Callable[..., Any]:
    """Return a method that calls the method of this name of the storage inside until the database answers."""

    def call(self: Database, *args: Any, **options: Any) -> Any:
        return self._retry(lambda: getattr(self._rdb, name)(*args, **options))

    return call


class Database(BaseStorage, WithHeartbeats):
    """An Optuna database storage that waits for a server that is away, for `LIMIT` seconds.

    Trials that run have heartbeats if the database is a server. A beat that fails is skipped. A trial without one for
    two minutes is failed by the process that coordinates the study, and queued again; its worker, if it lives after
    all, is refused: the trial is finished. Right after an outage no trial counts as stale.

    Args:
        rdb: Optuna's storage, open.
        outages: that are waited for.
        stale: what is done with trials whose process is gone; None: nothing, another process sees to them.
        heartbeats: whether running trials have them.
    """

    def __init__(self, rdb: RDBStorage, outages: Outages, *, stale: StaleTrials | None, heartbeats: bool) -> None:
        self.outages = outages
        self._rdb, self._stale, self._heartbeats = rdb, stale, heartbeats
        self._retry = outages.retry
        weakref.finalize(self, rdb.engine.dispose)  # closes the connections
        sql.event.listen(rdb.engine, "handle_error", recognise)
        self._reader = TrialReader(rdb.engine)
        self._checked = -math.inf
        self._watch = SilenceWatch()
        self._read: dict[tuple[str, int], Any] = {}  # what never changes of a study

    @property
    def url(self) -> str:
        """As the user wrote it."""
        return self.outages.url

    @property
    def attempts(self) -> int:
        """Attempts that failed; the supervisor takes them as a sign of life."""
        return self.outages.attempts

    # ---- what cannot simply be repeated

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial, once."""
        token = uuid.uuid4().hex
        template = copy.copy(template_trial or create_trial(state=TrialState.RUNNING))
        template.system_attrs = template.system_attrs | {TOKEN: token}

        def create() -> int:
            return self._rdb.create_new_trial(study_id, template)

        def again() -> int:
            taken = find_taken(self._rdb.engine, token)
            return create() if taken is None else taken

        trial_id = self._retry(create, again)
        if template.state is TrialState.RUNNING and self._heartbeats:
            self.record_heartbeat(trial_id)  # if its process is gone before it has sent one, the trial is missed, too
        return trial_id

    def create_waiting_trials(self, study_id: int, number: int, attributes: Mapping[str, Any]) -> None:
        """Put so many trials with these system attributes into the queue, once."""
        token = uuid.uuid4().hex

        def create() -> None:
            create_waiting_trials(self._rdb.engine, study_id, number, token, attributes)

        def again() -> None:
            if find_taken(self._rdb.engine, token) is None:
                create()

        self._retry(create, again)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set the state; False: another process has taken the trial out of the queue.

        Raises:
            UpdateFinishedTrialError: another process has ended the trial.
        """
        if state is TrialState.RUNNING:
            token = uuid.uuid4().hex
            return self._retry(lambda: self._take(trial_id, token))

        self.write_trial(trial_id, TrialWrites(), TrialEnd(state=state, values=values))
        return True

    def write_trial(self, trial_id: int, writes: TrialWrites, end: TrialEnd | None) -> None:
        """Store what a running trial has written, and its end, in one transaction.

        Raises:
            UpdateFinishedTrialError: another process has ended the trial.
        """

        def write() -> None:
            write_trial(self._rdb.engine, trial_id, writes, end)

        def again() -> None:
            trial = self._reader.trial(trial_id)
            told = None if end is None or end.values is None else list(end.values)
            if end is None or trial.state is not end.state or trial.values != told:
                write()

        self._retry(write, again)
        self._reader.forget(trial_id)

    def take_next_trial(self, study_id: int, last: int, gate: str, attributes: Mapping[str, Any]) -> int | None:
        """Take the next trial out of the queue, and return its id; see `database_statements.take_next_trial`."""
        token = uuid.uuid4().hex

        def take() -> int | None:
            return take_next_trial(self._rdb.engine, study_id, last, gate, token, attributes)

        def again() -> int | None:
            taken = find_taken(self._rdb.engine, token)
            return take() if taken is None else taken

        return self._retry(take, again)

    def _take(self, trial_id: int, token: str) -> bool:
        return take_waiting_trial(self._rdb.engine, trial_id, token)

    def set_study_attr_once(self, study_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a study, unless the study has it."""
        self._retry(lambda: set_study_attr_once(self._rdb.engine, study_id, key, value))

    # ---- heartbeats

    def record_heartbeat(self, trial_id: int) -> None:
        """Record that the trial's worker is alive; a beat that fails is skipped, for the thread must live on."""
        self._watch.sign()
        try:
            record_beat(self._rdb.engine, trial_id)
        except Outage:
            self.outages.mark_down()
        except Exception:
            return
        else:
            self.outages.mark_up()

    def stale_trial_ids(self, study_id: int) -> list[int]:
        """Return the ids of the running trials whose heartbeats have stopped, if this process is to take them back."""
        if self._stale is None or not self._heartbeats:
            return []
        if time.monotonic() - self.outages.up_since < STALE:
            return []  # the other processes could not send heartbeats, either
        if time.monotonic() - self._checked < CHECK:
            return []
        self._checked = time.monotonic()
        silences = self._retry(lambda: read_silences(self._rdb.engine, study_id))
        stale = []
        for trial_id in self._watch.lost({trial_id: seconds for (trial_id, _), seconds in silences.items()}):
            with contextlib.suppress(UpdateFinishedTrialError):
                # If this process dies before it has queued the trial again, a resumed study does it.
                for key, value in self._stale.attributes.items():
                    self.set_trial_user_attr(trial_id, key, value)
                stale.append(trial_id)
        return stale

    def silent_trials(self, study_id: int) -> set[int]:
        """Return the numbers of the running trials without a heartbeat for two minutes."""
        if not self._heartbeats:
            return set()
        silences = self._retry(lambda: read_silences(self._rdb.engine, study_id))
        return {number for (_, number), seconds in silences.items() if seconds > STALE}

    def get_heartbeat_interval(self) -> int | None:
        """Return the seconds between heartbeats."""
        return BEAT if self._heartbeats else None

    def get_heartbeat_stale_trial_callback(self) -> Callable[[optuna.Study, FrozenTrial], None] | None:
        """Return what is done with a trial that was failed because its heartbeats stopped."""
        return self._stale.requeue if self._stale else None

    # ---- what can be repeated as it is

    create_new_study: Callable[..., int] = _retried("create_new_study")
    delete_study: Callable[..., None] = _retried("delete_study")
    set_study_user_attr: Callable[..., None] = _retried("set_study_user_attr")
    set_study_system_attr: Callable[..., None] = _retried("set_study_system_attr")
    get_study_id_from_name: Callable[..., int] = _retried("get_study_id_from_name")
    get_study_user_attrs: Callable[..., dict[str, Any]] = _retried("get_study_user_attrs")
    get_study_system_attrs: Callable[..., dict[str, Any]] = _retried("get_study_system_attrs")
    get_all_studies: Callable[..., list[FrozenStudy]] = _retried("get_all_studies")
    get_best_trial: Callable[..., FrozenTrial] = _retried("get_best_trial")

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of a study, which never changes."""
        return self._once(("name", study_id), lambda: self._rdb.get_study_name_from_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of a study, which never change."""
        return self._once(("directions", study_id), lambda: self._rdb.get_study_directions(study_id))

    def _once(self, key: tuple[str, int], read: Callable[[], T]) -> T:
        if key not in self._read:
            self._read[key] = self._retry(read)
        return cast(T, self._read[key])

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return the id of a trial."""
        known = self._reader.number_to_id(study_id, trial_number)
        find = self._rdb.get_trial_id_from_study_id_trial_number
        return self._retry(lambda: find(study_id, trial_number)) if known is None else known

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial as it is now."""
        return self._retry(lambda: self._reader.trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study in the order of their numbers; a running one may be half a second old."""
        trials = self._retry(lambda: self._reader.trials(study_id, states))
        return copy.deepcopy(trials) if deepcopy else trials

    def set_trial_param(self, trial_id: int, name: str, value: float, distribution: BaseDistribution) -> None:
        """Set a parameter."""
        self.write_trial(trial_id, TrialWrites(params={name: (value, distribution)}), None)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Set what was reported at a step."""
        self.write_trial(trial_id, TrialWrites(reports={step: intermediate_value}), None)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user attribute."""
        self.write_trial(trial_id, TrialWrites(user={key: value}), None)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a system attribute."""
        self.write_trial(trial_id, TrialWrites(system={key: value}), None)

    def remove_session(self) -> None:
        """Close this thread's connection."""
        self._rdb.remove_session()
