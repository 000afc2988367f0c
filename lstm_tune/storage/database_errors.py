"""Which errors of a database are an outage that passes, and what is shown of an error."""

from __future__ import annotations

import sqlalchemy as sql
from optuna.exceptions import StorageInternalError

from lstm_tune.storage.urls import without_secrets

_DISK_FULL = "53100"
_READ_ONLY = "25006"  # what a standby says until it takes over
_TRANSIENT = ("starting up", "shutting down", "recovery", "not yet accepting", "too many")


class Outage(Exception):
    """The database does not answer at the moment."""


def recognise(context: sql.engine.ExceptionContext) -> Exception | None:
    """Turn a lost connection into an `Outage`; Optuna would take it for bad data, and try a new trial five times."""
    error = context.sqlalchemy_exception
    if context.is_pre_ping or error is None:
        return None
    return Outage(str(context.original_exception)) if context.is_disconnect or _is_transient(error) else None


def _is_transient(error: sql.exc.StatementError) -> bool:
    """Return whether an error of the database passes by itself."""
    cause = error.orig
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if code == _READ_ONLY:
        return True
    if code == _DISK_FULL or not isinstance(error, (sql.exc.OperationalError, sql.exc.InterfaceError)):
        return False
    return type(cause).__module__ != "sqlite3" or "locked" in str(cause)


def is_outage(error: Exception) -> bool:
    """Return whether the database may answer when it is asked again."""
    if isinstance(error, Outage):
        return True
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    # No connection is free, or one broke while it was returned to the pool.
    return isinstance(cause, (sql.exc.TimeoutError, sql.exc.PendingRollbackError, sql.exc.ResourceClosedError))


def may_open_soon(error: Exception) -> bool:
    """Return whether opening may succeed soon: the server is away, or another process makes the tables just now."""
    if isinstance(error, Outage):
        return True
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    if isinstance(cause, sql.exc.IntegrityError) or "already exists" in str(cause):
        return True
    if not isinstance(cause, sql.exc.DBAPIError) or not _is_transient(cause):
        return False
    said = str(cause.orig)
    return "FATAL" not in said or any(word in said for word in _TRANSIENT)  # FATAL: there is a server, and it refuses


def reason(error: BaseException, url: str) -> str:
    """Return the cause of an error in one line, without the URL's password."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    said = str(getattr(cause, "orig", None) or cause).strip()
    return without_secrets(" ".join(said.split()), url) or type(cause).__name__
