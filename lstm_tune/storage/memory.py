"""A study in the memory of its process."""

from __future__ import annotations

from typing import NoReturn

from optuna.storages import BaseStorage, InMemoryStorage

from lstm_tune.errors import StudyError
from lstm_tune.storage.kind import Opening, StorageKind
from lstm_tune.storage.urls import scheme_of


def is_memory(url: str) -> bool:
    """Return whether a URL names an SQLite database in memory, which ends with its process."""
    if scheme_of(url) != "sqlite":
        return False
    path, _, query = url.partition("://")[2].partition("?")
    return path in ("", "/") or ":memory:" in path or "mode=memory" in query


def _open(url: str, opening: Opening) -> BaseStorage:
    return InMemoryStorage()


def _open_read_only(url: str) -> NoReturn:
    raise StudyError(f"storage {url!r} is in the memory of another process; name a file or a database")


MEMORY = StorageKind(
    matches=is_memory,
    open=_open,
    open_read_only=_open_read_only,
    not_shareable="a storage in memory cannot be shared by several workers",
    not_resumable="is in memory, where nothing could be resumed or looked at",
)
