"""A study in another database that SQLAlchemy knows, such as MySQL: it should work, and is not tested."""

from __future__ import annotations

from typing import Any

from optuna.storages import BaseStorage

from lstm_tune.storage.kind import Opening, StorageKind
from lstm_tune.storage.urls import is_url

_POOL: dict[str, Any] = {"pool_size": 2, "max_overflow": 1, "pool_pre_ping": True}


def _open(url: str, opening: Opening) -> BaseStorage:
    from lstm_tune.storage.database_access import check_url
    from lstm_tune.storage.database_opening import open_database

    return open_database(url, check_url(url), opening=opening, engine=_POOL)


def _open_read_only(url: str) -> BaseStorage:
    from lstm_tune.storage.database_access import check_url, connect_read_only

    check_url(url)
    return connect_read_only(url, _POOL | {"max_overflow": 4})


def _check(url: str) -> None:
    from lstm_tune.storage.database_access import check_url

    check_url(url)


OTHER_DATABASE = StorageKind(matches=is_url, open=_open, open_read_only=_open_read_only, check=_check)
