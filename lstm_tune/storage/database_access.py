"""The URL of a database, and how one is opened to be looked at alone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql
from optuna.storages import RDBStorage

from lstm_tune.errors import StudyError, UsageError
from lstm_tune.storage.database_errors import reason
from lstm_tune.storage.remedies import remedy_for_message
from lstm_tune.storage.urls import mask_password, reads_as_meant


def parse_url(url: str) -> sql.URL:
    """Return the parts of a database's URL.

    Raises:
        UsageError: it is none, or a special character in it is not quoted: then a part of the password would be taken
            for the host, and would be shown by whatever cannot reach that host.
    """
    with contextlib.suppress(sql.exc.ArgumentError, ValueError):
        address = sql.make_url(url)
        if reads_as_meant(url, address.password):
            return address
    raise UsageError(
        f"cannot open the storage {mask_password(url)!r}: this is no URL of a database; "
        f"special characters in the user or the password must be %-encoded"
    )


def check_url(url: str) -> sql.URL:
    """Return the parts of a database's URL; nothing is opened.

    Raises:
        UsageError: it is none, or names a database that SQLAlchemy does not know.
    """
    address = parse_url(url)
    try:
        address.get_dialect()
    except sql.exc.NoSuchModuleError:
        raise UsageError(
            f"cannot open the storage {mask_password(url)!r}: there is no database {address.drivername!r}; "
            f"use postgresql://user@host/name, sqlite:///FILE, or a journal file (.journal or .log)"
        ) from None
    return address


def connect_read_only(url: str, engine: Mapping[str, Any]) -> RDBStorage:
    """Open a database without making tables in it; the engine's options keep its sessions from writing.

    Raises:
        StudyError: it cannot be opened, or holds no study; says why, without the password.
    """
    try:
        return RDBStorage(url, engine_kwargs=dict(engine), skip_table_creation=True)
    except StudyError:
        raise
    except Exception as error:
        said = reason(error, url)
        empty = "version_info" in str(error.__cause__ or error)
        why = "it holds no study; check the URL" if empty else f"{said}; {remedy_for_message(said)}"
        raise StudyError(f"cannot open the storage {mask_password(url)!r}: {why}") from None
