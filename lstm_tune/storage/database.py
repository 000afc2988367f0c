"""A study in a database: Optuna's storage, which waits where the server is away, and does nothing twice for that.

A server that is restarted ends all connections. Whether it had done what it was asked last is not known then, so that
asking again must find out: most calls set something and can be repeated as they are; a new trial carries a token by
which it is found again; a trial from the queue is marked with a token, too, in the transaction that takes it.
"""

from __future__ import annotations

import contextlib
import copy
import random
import time
import uuid
import warnings
import weakref
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from importlib.util import find_spec
from typing import Any, TypeVar

import optuna
import sqlalchemy as sql
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lstm_tune.errors import StudyError
from lstm_tune.storage.optuna_private import BaseHeartbeat, id_of_trial
from lstm_tune.storage.urls import mask_password, without_secrets

T = TypeVar("T")
OnStale = Callable[[optuna.Study, FrozenTrial], None]

LIMIT = 300.0  # seconds that an outage may last
OPENING = 15.0  # seconds that it may last at the start of a study, where the address may be wrong as well
_FIRST, _LONGEST = 0.1, 10.0  # seconds between attempts
_LOOK = 0.5  # seconds between looks at whether the user wants to stop
_BEAT = 15  # seconds between heartbeats
_STALE = 120  # seconds without one after which a trial is given to another
_TOKEN = "lstm_tune:token"
_DISK_FULL = "53100"
_READ_ONLY = "25006"  # what a standby says until it takes over
_TRANSIENT = ("starting up", "shutting down", "recovery", "not yet accepting", "too many")
_TRIALS = sql.table(
    "trials",
    sql.column("trial_id"),
    sql.column("number"),
    sql.column("state", sql.Enum(TrialState, name="trialstate")),
    sql.column("datetime_start", sql.DateTime()),
)
_ATTRIBUTES = sql.table(
    "trial_system_attributes",
    sql.column("trial_id"),
    sql.column("key", sql.String()),
    sql.column("value_json", sql.Text()),
)


class Outage(Exception):
    """The database does not answer at the moment."""


class Database(BaseStorage, BaseHeartbeat):
    """An Optuna database storage that waits for a server that is away, for `LIMIT` seconds.

    Trials that run have heartbeats where the database is a server. A beat that fails is left out. A trial without one
    for two minutes is failed by whoever begins the next trial, and given to `on_stale`; its worker, should it live
    after all, is refused: the trial is finished. Right after an outage no trial counts as stale.

    Args:
        url: of SQLAlchemy.
        on_stale: called after a trial without heartbeats was failed.
        note: told of outages.
        opening: seconds that an outage may last before the storage is open.
        stop: whether the user wants to stop; then an outage is not waited for.

    Raises:
        StudyError: it cannot be opened; says why, without the password.
    """

    def __init__(
        self,
        url: str,
        *,
        on_stale: OnStale | None = None,
        note: Callable[[str], None] = lambda text: None,
        opening: float = OPENING,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.url = url
        self.limit = LIMIT
        self.attempts = 0  # in vain so far: who waits is not frozen
        self._note = note
        self._stop = stop
        self._down = self._gave_up = False
        self._rdb = self._open(url, on_stale, opening)
        weakref.finalize(self, self._rdb.engine.dispose)  # closes the connections
        sql.event.listen(self._rdb.engine, "handle_error", _recognise)
        self._backend = optuna.storages.get_storage(self._rdb)  # with Optuna's cache of ended trials
        self._up_since = time.monotonic()
        self._mark_up()

    def _open(self, url: str, on_stale: OnStale | None, opening: float) -> RDBStorage:
        try:
            address = sql.make_url(url)
        except (sql.exc.ArgumentError, ValueError):
            raise StudyError(
                f"cannot open the storage {mask_password(url)!r}: this is no URL of a database; "
                f"special characters in the user or the password must be %-encoded"
            ) from None
        kind = address.get_backend_name()
        if kind in ("postgresql", "postgres"):
            address = address.set(drivername=_driver(address.drivername))
        limit = time.monotonic() + opening
        pause = _FIRST
        while True:
            try:
                return _connect(address, on_stale)
            except ImportError:
                remedy = 'pip install "lstm-tune[postgres]"' if kind.startswith("postgres") else "install it with pip"
                raise StudyError(
                    f"cannot open the storage {mask_password(url)!r}: the Python driver of {kind} is missing; {remedy}"
                ) from None
            except sql.exc.NoSuchModuleError:
                raise StudyError(
                    f"cannot open the storage {mask_password(url)!r}: there is no database {address.drivername!r}; "
                    f"use postgresql://user@host/name, sqlite:///FILE, or a journal file (.journal or .log)"
                ) from None
            except Exception as error:
                if not _worth_another_try(error) or time.monotonic() + pause > limit:
                    raise self._failure("cannot open", error) from None
                self._mark_down()
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _failure(self, what: str, error: BaseException) -> StudyError:
        return StudyError(f"{what} the storage {mask_password(self.url)!r}: {_reason(error, self.url)}")

    def _retry(self, call: Callable[[], T], again: Callable[[], T] | None = None) -> T:
        """Call until the database answers.

        Args:
            call: the first attempt.
            again: every further one, where the first may have been done although no answer came; `call` by default.

        Raises:
            StudyError: the outage lasts too long, or the database refuses.
            KeyboardInterrupt: the user wants to stop during an outage.
        """
        began, pause = time.monotonic(), _FIRST
        while True:
            try:
                result = call()
            except (Outage, StorageInternalError, sql.exc.SQLAlchemyError) as error:
                if not _is_outage(error):
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
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._stop():
                raise KeyboardInterrupt
            time.sleep(min(left, _LOOK))

    def _mark_down(self) -> None:
        if not self._down:
            self._down = True
            self._note("the storage does not answer; waiting for it")

    def _mark_up(self) -> None:
        if self._down:
            self._down = self._gave_up = False
            self._up_since = time.monotonic()
            self._note("the storage answers again")

    # ---- what cannot simply be repeated

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial, once."""
        token = uuid.uuid4().hex
        template = copy.copy(template_trial or create_trial(state=TrialState.RUNNING))
        template.system_attrs = template.system_attrs | {_TOKEN: token}

        def create() -> int:
            return self._backend.create_new_trial(study_id, template)

        def again() -> int:
            for trial in reversed(self._backend.get_all_trials(study_id, deepcopy=False)):
                if trial.system_attrs.get(_TOKEN) == token:
                    return id_of_trial(trial)
            return create()

        return self._retry(create, again)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set the state; False: another has taken the trial out of the queue.

        Raises:
            UpdateFinishedTrialError: the trial has ended, by another's hand.
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
        """Take a trial out of the queue in one transaction, which also marks it as taken with this token."""
        here, mark = _TRIALS.c.trial_id == trial_id, f'"{token}"'
        with self._rdb.engine.begin() as connection:
            row = connection.execute(
                sql.select(_TRIALS.c.state, _TRIALS.c.number).where(here).with_for_update()
            ).one_or_none()
            if row is None:
                raise KeyError(f"there is no trial with the id {trial_id}")
            marked = (_ATTRIBUTES.c.trial_id == trial_id) & (_ATTRIBUTES.c.key == _TOKEN)
            if row.state is not TrialState.WAITING:
                if row.state.is_finished():
                    raise UpdateFinishedTrialError(f"trial {row.number} has ended and cannot be taken")
                return connection.execute(sql.select(_ATTRIBUTES.c.value_json).where(marked)).scalar() == mark
            connection.execute(
                sql.update(_TRIALS).where(here).values(state=TrialState.RUNNING, datetime_start=datetime.now())
            )
            connection.execute(sql.delete(_ATTRIBUTES).where(marked))  # of the one who queued it
            connection.execute(sql.insert(_ATTRIBUTES).values(trial_id=trial_id, key=_TOKEN, value_json=mark))
        return True

    # ---- heartbeats

    def record_heartbeat(self, trial_id: int) -> None:
        """Say that the trial's worker is alive; a failed beat is left out, for the thread must live on."""
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
            return []  # others had no way to beat, either
        stale = []
        for trial_id in self._retry(lambda: self._rdb._get_stale_trial_ids(study_id)):
            with contextlib.suppress(UpdateFinishedTrialError):
                # Should this process die before it has queued the trial again, a resumed study does it.
                self.set_trial_user_attr(trial_id, "lost", f"no heartbeat for {_STALE} s")
                self.set_trial_user_attr(trial_id, "traceback", f"no heartbeat for {_STALE} s")
                stale.append(trial_id)
        return stale

    def get_heartbeat_interval(self) -> int | None:
        """Return the seconds between heartbeats."""
        return self._rdb.get_heartbeat_interval()

    def get_heartbeat_stale_trial_callback(self) -> OnStale | None:
        """Return what is done with a trial that was failed for want of heartbeats."""
        return self._rdb.get_heartbeat_stale_trial_callback()

    # ---- what can be repeated as it is

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Create a study."""
        return self._retry(lambda: self._backend.create_new_study(directions, study_name))

    def delete_study(self, study_id: int) -> None:
        """Delete a study."""
        self._retry(lambda: self._backend.delete_study(study_id))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set a user attribute of the study."""
        self._retry(lambda: self._backend.set_study_user_attr(study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set a system attribute of the study."""
        self._retry(lambda: self._backend.set_study_system_attr(study_id, key, value))

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of a study."""
        return self._retry(lambda: self._backend.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of a study."""
        return self._retry(lambda: self._backend.get_study_name_from_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of a study."""
        return self._retry(lambda: self._backend.get_study_directions(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the user attributes of a study."""
        return self._retry(lambda: self._backend.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the system attributes of a study."""
        return self._retry(lambda: self._backend.get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[Any]:
        """Return all studies."""
        return self._retry(lambda: self._backend.get_all_studies())

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Set a parameter; a second time changes nothing."""
        # Past Optuna's cache, which knows no trial that another process has begun.
        self._retry(lambda: self._rdb.set_trial_param(trial_id, param_name, param_value_internal, distribution))

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return the id of a trial."""
        return self._retry(lambda: self._backend.get_trial_id_from_study_id_trial_number(study_id, trial_number))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Set the value of a step."""
        self._retry(lambda: self._backend.set_trial_intermediate_value(trial_id, step, intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user attribute of a trial."""
        self._retry(lambda: self._backend.set_trial_user_attr(trial_id, key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a trial."""
        self._retry(lambda: self._backend.set_trial_system_attr(trial_id, key, value))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial."""
        return self._retry(lambda: self._backend.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study in the order of their numbers."""
        return self._retry(lambda: self._backend.get_all_trials(study_id, deepcopy, states))

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Return the completed trial of the best value."""
        return self._retry(lambda: self._backend.get_best_trial(study_id))

    def remove_session(self) -> None:
        """Close this thread's connection."""
        self._rdb.remove_session()


def _connect(address: sql.URL, on_stale: OnStale | None) -> RDBStorage:
    server = address.get_backend_name() != "sqlite"
    storage = RDBStorage.__new__(RDBStorage)  # what fails to open has connections to close
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            RDBStorage.__init__(
                storage,
                address.render_as_string(hide_password=False),
                engine_kwargs=_engine_options(address),
                heartbeat_interval=_BEAT if server else None,
                grace_period=_STALE if server else None,
                heartbeat_stale_trial_callback=on_stale,
            )
    except BaseException:
        if hasattr(storage, "engine"):
            storage.engine.dispose()
        raise
    return storage


def _driver(name: str) -> str:
    """Return the driver of PostgreSQL where the URL names none: psycopg 3, or psycopg2 where that alone is there."""
    if "+" in name:
        return name
    there = "psycopg2" if find_spec("psycopg") is None and find_spec("psycopg2") else "psycopg"
    return f"postgresql+{there}"


def _engine_options(address: sql.URL) -> dict[str, Any]:
    if address.get_backend_name() == "sqlite":
        return {}
    options: dict[str, Any] = {"pool_size": 2, "max_overflow": 1, "pool_pre_ping": True}
    if "psycopg" in address.drivername:
        # A server that is gone without a word is noticed within half a minute.
        options["connect_args"] = {
            "connect_timeout": 10,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        }
    return options


def _recognise(context: sql.engine.ExceptionContext) -> Exception | None:
    """Make an outage of what the driver raises; Optuna would take it for bad data, and try a new trial five times."""
    error = context.sqlalchemy_exception
    if context.is_pre_ping or error is None:
        return None
    return Outage(str(context.original_exception)) if context.is_disconnect or _is_transient(error) else None


def _is_transient(error: sql.exc.StatementError) -> bool:
    """Return whether an error of the database is one that goes by."""
    cause = error.orig
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if code == _READ_ONLY:
        return True
    if code == _DISK_FULL or not isinstance(error, (sql.exc.OperationalError, sql.exc.InterfaceError)):
        return False
    return type(cause).__module__ != "sqlite3" or "locked" in str(cause)


def _is_outage(error: Exception) -> bool:
    if isinstance(error, Outage):
        return True
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    # No connection is free, or one broke while it was given back.
    return isinstance(cause, (sql.exc.TimeoutError, sql.exc.PendingRollbackError, sql.exc.ResourceClosedError))


def _worth_another_try(error: Exception) -> bool:
    """Return whether opening may succeed soon: the server is away, or another process makes the tables just now."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    if isinstance(cause, sql.exc.IntegrityError) or "already exists" in str(cause):
        return True
    if not isinstance(cause, sql.exc.DBAPIError) or not _is_transient(cause):
        return False
    said = str(cause.orig)
    return "FATAL" not in said or any(word in said for word in _TRANSIENT)  # FATAL: there is a server, and it refuses


def _reason(error: BaseException, url: str) -> str:
    """Return the cause of an error in one line, without the URL's password."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    said = str(getattr(cause, "orig", None) or cause).strip()
    return without_secrets(" ".join(said.split()), url) or type(cause).__name__
