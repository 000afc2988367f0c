"""A study in an SQLite file: for one process."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from optuna.storages import BaseStorage

from lstm_tune.errors import StudyError
from lstm_tune.storage.kind import Opening, StorageKind
from lstm_tune.storage.remedies import remedy_for_file
from lstm_tune.storage.urls import check_file_there, scheme_of

if TYPE_CHECKING:
    import sqlalchemy as sql


def _open(url: str, opening: Opening) -> BaseStorage:
    from lstm_tune.storage.database_access import parse_url
    from lstm_tune.storage.database_opening import open_database

    _check(url)
    address = parse_url(url)
    path = Path(address.database or "")
    if not opening.create and not str(path).startswith("file:"):
        check_file_there(str(path))
    return open_database(url, address, opening=opening, heartbeats=False, why_not_writable=_check_writable)


def _check(url: str) -> None:
    from lstm_tune.storage.database_access import check_url

    path = Path(check_url(url).database or "")
    if not str(path).startswith("file:") and (path.is_dir() or not path.parent.is_dir()):
        raise StudyError(f"cannot open the storage {url!r}: {remedy_for_file(path, 'study.db')}")


def _open_read_only(url: str) -> BaseStorage:
    from lstm_tune.storage.database_access import connect_read_only, parse_url

    path = Path(parse_url(url).database or "").resolve()
    if not path.is_file():
        raise StudyError(f"there is no study at {url!r}: no such file; check the path")
    file = f"file:{quote(str(path))}?mode=ro"
    return connect_read_only(url, {"creator": lambda: sqlite3.connect(file, uri=True)})


def _check_writable(connection: sql.Connection) -> str:
    """Write to the file without changing it.

    Raises:
        StudyError: the file is read-only.
    """
    from sqlalchemy.exc import OperationalError

    try:
        connection.exec_driver_sql("update studies set study_name = study_name where 0")
        connection.rollback()
    except OperationalError as error:  # or another process writes just now
        if "readonly" in str(error.orig):
            raise StudyError("the file is read-only; make it writable, or name another one") from None
    return ""


SQLITE = StorageKind(
    matches=lambda url: scheme_of(url) == "sqlite",
    open=_open,
    open_read_only=_open_read_only,
    check=_check,
    not_shareable="SQLite can hand one trial to two workers",
)
