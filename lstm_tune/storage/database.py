"""RDB storage with retries: it survives a restart of the server, and repeats no write.

A server that is restarted ends all connections. Whether it had carried out the last request is unknown then. Most
requests set something and can be repeated as they are. A new trial carries a token by which it is found again; a trial
from the queue is marked with a token, too, in the transaction that takes it.
"""

from __future__ import annotations

import contextlib
import copy
import random
import time
import uuid
import warnings
import weakref
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, TypeVar

import optuna
import sqlalchemy as sql
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lstm_tune.errors import StudyError
from lstm_tune.storage.database_errors import Outage, is_outage, may_open_soon, reason, recognise
from lstm_tune.storage.database_statements import TOKEN, set_study_attr_once, take_waiting_trial
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.optuna_private import BaseHeartbeat, FrozenStudy, id_of_trial
from lstm_tune.storage.urls import mask_password

T = TypeVar("T")

LIMIT = 300.0  # seconds that an outage may last
OPENING = 15.0  # seconds that it may last at the start of a study, when the address may be wrong as well
_FIRST, _LONGEST = 0.1, 10.0  # seconds between attempts
_LOOK = 0.5  # seconds between looks at whether the user wants to stop
_BEAT = 15  # seconds between heartbeats
_STALE = 120  # seconds without one after which a trial is given to another


def _retried(name: str) -> Callable[..., Any]:
    """Return a method that calls the method of this name of the storage inside until the database answers."""

    def call(self: Database, *args: Any, **options: Any) -> Any:
        return self._retry(lambda: getattr(self._backend, name)(*args, **options))

    return call


class Database(BaseStorage, BaseHeartbeat):
    """An Optuna database storage that waits for a server that is away, for `LIMIT` seconds.

    Trials that run have heartbeats if the database is a server. A beat that fails is skipped. A trial without one for
    two minutes is failed by whoever begins the next trial, and queued again; its worker, if it lives after all, is
    refused: the trial is finished. Right after an outage no trial counts as stale.

    Args:
        url: as the user wrote it.
        address: the same, with its driver.
        opening: how it is opened.
        engine: options of the SQLAlchemy engine.
        heartbeats: whether running trials have them.
        install: how to install the driver.
        why_not_writable: asked with an open connection before the study begins: why nothing can be written; "": it can.

    Raises:
        StudyError: it cannot be opened; says why, without the password.
    """

    def __init__(
        self,
        url: str,
        address: sql.URL,
        *,
        opening: Opening,
        engine: Mapping[str, Any] | None = None,
        heartbeats: bool = True,
        install: str = "install it with pip",
        why_not_writable: Callable[[sql.Connection], str] = lambda connection: "",
    ) -> None:
        self.url = url
        self.limit = LIMIT
        self.attempts = 0  # failed ones; the supervisor takes them as a sign of life
        self._info = opening.info
        self._stale = opening.stale
        self._down = self._gave_up = False
        self._heartbeats = heartbeats
        self._stop = opening.stop
        seconds = OPENING if opening.seconds is None else opening.seconds
        self._rdb = self._open(address, engine or {}, install, why_not_writable, seconds)
        weakref.finalize(self, self._rdb.engine.dispose)  # closes the connections
        sql.event.listen(self._rdb.engine, "handle_error", recognise)
        self._backend = optuna.storages.get_storage(self._rdb)  # with Optuna's cache of ended trials
        self._up_since = time.monotonic()
        self._mark_up()

    def _open(
        self,
        address: sql.URL,
        engine: Mapping[str, Any],
        install: str,
        why_not_writable: Callable[[sql.Connection], str],
        seconds: float,
    ) -> RDBStorage:
        limit = time.monotonic() + seconds
        pause = _FIRST
        while True:
            try:
                return self._connect(address, engine, why_not_writable)
            except ImportError:
                kind = address.get_backend_name()
                raise self._cannot_open(f"the Python driver of {kind} is missing; {install}") from None
            except sql.exc.NoSuchModuleError:
                raise self._cannot_open(
                    f"there is no database {address.drivername!r}; "
                    f"use postgresql://user@host/name, sqlite:///FILE, or a journal file (.journal or .log)"
                ) from None
            except Exception as error:
                if not may_open_soon(error) or time.monotonic() + pause > limit:
                    raise self._cannot_open(reason(error, self.url)) from None
                self._mark_down()
            self._wait(pause)
            pause = min(2 * pause, 1.0)

    def _connect(
        self, address: sql.URL, engine: Mapping[str, Any], why_not_writable: Callable[[sql.Connection], str]
    ) -> RDBStorage:
        storage = RDBStorage.__new__(RDBStorage)  # its connections must be closed, too, if it fails to open
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                RDBStorage.__init__(
                    storage,
                    address.render_as_string(hide_password=False),
                    engine_kwargs=dict(engine),
                    heartbeat_interval=_BEAT if self._heartbeats else None,
                    grace_period=_STALE if self._heartbeats else None,
                    heartbeat_stale_trial_callback=self._stale.requeue if self._stale else None,
                )
            with storage.engine.connect() as connection:
                if why := why_not_writable(connection):
                    raise Outage(why)
        except BaseException:
            if hasattr(storage, "engine"):
                storage.engine.dispose()
            raise
        return storage

    def _cannot_open(self, why: str) -> StudyError:
        return StudyError(f"cannot open the storage {mask_password(self.url)!r}: {why}")

    def _failure(self, what: str, error: BaseException) -> StudyError:
        return StudyError(f"{what} the storage {mask_password(self.url)!r}: {reason(error, self.url)}")

    def _retry(self, call: Callable[[], T], again: Callable[[], T] | None = None) -> T:
        """Call until the database answers.

        Args:
            call: the first attempt.
            again: every further one, if the first may have been carried out although no answer came; by default `call`.

        Raises:
            StudyError: the outage lasts too long, or the database refuses.
            KeyboardInterrupt: the user wants to stop during an outage.
        """
        began, pause = time.monotonic(), _FIRST
        while True:
            try:
                result = call()
            except (Outage, StorageInternalError, sql.exc.SQLAlchemyError) as error:
                if not is_outage(error):
                    raise self._failure("an error of", error) from None
                self._mark_down()
                if self._gave_up or time.monotonic() - began > self.limit:
                    self._gave_up = True  # what is still to be tidied up need not wait as long again
                    raise StudyError(
                        f"{self._failure('no answer from', error)}; what was finished is kept: when the database is "
                        f"back, repeat the command with --resume"
                    ) from None
            else:
                self._mark_up()
                return result
            self.attempts += 1
            self._wait(random.uniform(0.5, 1.0) * pause)
            pause = min(2 * pause, _LONGEST)
            call = again or call

    def _wait(self, seconds: float) -> None:
        while seconds > 0:
            if self._stop():
                raise KeyboardInterrupt
            time.sleep(min(seconds, _LOOK))
            seconds -= _LOOK

    def _mark_down(self) -> None:
        if not self._down:
            self._down = True
            self._info("the storage does not answer; waiting for it")

    def _mark_up(self) -> None:
        if self._down:
            self._down = self._gave_up = False
            self._up_since = time.monotonic()
            self._info("the storage answers again")

    # ---- what cannot simply be repeated

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial, once."""
        token = uuid.uuid4().hex
        template = copy.copy(template_trial or create_trial(state=TrialState.RUNNING))
        template.system_attrs = template.system_attrs | {TOKEN: token}

        def create() -> int:
            return self._backend.create_new_trial(study_id, template)

        def again() -> int:
            for trial in reversed(self._backend.get_all_trials(study_id, deepcopy=False)):
                if trial.system_attrs.get(TOKEN) == token:
                    return id_of_trial(trial)
            return create()

        return self._retry(create, again)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set the state; False: another process has taken the trial out of the queue.

        Raises:
            UpdateFinishedTrialError: another process has ended the trial.
        """
        if state is TrialState.RUNNING:
            token = uuid.uuid4().hex
            return self._retry(lambda: self._take(trial_id, token))

        def tell() -> bool:
            return self._backend.set_trial_state_values(trial_id, state, values)

        def again() -> bool:
            trial = self._backend.get_trial(trial_id)
            told = None if values is None else list(values)
            return True if trial.state is state and trial.values == told else tell()

        return self._retry(tell, again)

    def _take(self, trial_id: int, token: str) -> bool:
        return take_waiting_trial(self._rdb.engine, trial_id, token)

    def set_study_attr_once(self, study_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a study, unless the study has it."""
        self._retry(lambda: set_study_attr_once(self._rdb.engine, study_id, key, value))

    # ---- heartbeats

    def record_heartbeat(self, trial_id: int) -> None:
        """Record that the trial's worker is alive; a beat that fails is skipped, for the thread must live on."""
        try:
            self._rdb.record_heartbeat(trial_id)
        except Outage:
            self._mark_down()
        except Exception:
            return
        else:
            self._mark_up()

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        if time.monotonic() - self._up_since < _STALE:
            return []  # the other processes could not send heartbeats, either
        stale = []
        for trial_id in self._retry(lambda: self._rdb._get_stale_trial_ids(study_id)):
            with contextlib.suppress(UpdateFinishedTrialError):
                # If this process dies before it has queued the trial again, a resumed study does it.
                for key, value in (self._stale.attributes if self._stale else {}).items():
                    self.set_trial_user_attr(trial_id, key, value)
                stale.append(trial_id)
        return stale

    def get_heartbeat_interval(self) -> int | None:
        """Return the seconds between heartbeats."""
        return self._rdb.get_heartbeat_interval()

    def get_heartbeat_stale_trial_callback(self) -> Callable[[optuna.Study, FrozenTrial], None] | None:
        """Return what is done with a trial that was failed because its heartbeats stopped."""
        return self._rdb.get_heartbeat_stale_trial_callback()

    # ---- what can be repeated as it is

    create_new_study: Callable[..., int] = _retried("create_new_study")
    delete_study: Callable[..., None] = _retried("delete_study")
    set_study_user_attr: Callable[..., None] = _retried("set_study_user_attr")
    set_study_system_attr: Callable[..., None] = _retried("set_study_system_attr")
    get_study_id_from_name: Callable[..., int] = _retried("get_study_id_from_name")
    get_study_name_from_id: Callable[..., str] = _retried("get_study_name_from_id")
    get_study_directions: Callable[..., list[StudyDirection]] = _retried("get_study_directions")
    get_study_user_attrs: Callable[..., dict[str, Any]] = _retried("get_study_user_attrs")
    get_study_system_attrs: Callable[..., dict[str, Any]] = _retried("get_study_system_attrs")
    get_all_studies: Callable[..., list[FrozenStudy]] = _retried("get_all_studies")
    get_trial_id_from_study_id_trial_number: Callable[..., int] = _retried("get_trial_id_from_study_id_trial_number")
    set_trial_intermediate_value: Callable[..., None] = _retried("set_trial_intermediate_value")
    set_trial_user_attr: Callable[..., None] = _retried("set_trial_user_attr")
    set_trial_system_attr: Callable[..., None] = _retried("set_trial_system_attr")
    get_trial: Callable[..., FrozenTrial] = _retried("get_trial")
    get_best_trial: Callable[..., FrozenTrial] = _retried("get_best_trial")

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study in the order of their numbers."""
        return self._retry(lambda: self._backend.get_all_trials(study_id, deepcopy, states))

    def set_trial_param(self, trial_id: int, *args: Any) -> None:
        """Set a parameter; a second time changes nothing."""
        # Past Optuna's cache, which knows no trial that another process has begun.
        self._retry(lambda: self._rdb.set_trial_param(trial_id, *args))

    def remove_session(self) -> None:
        """Close this thread's connection."""
        self._rdb.remove_session()
