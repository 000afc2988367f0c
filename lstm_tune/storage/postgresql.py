"""A study in a PostgreSQL database: for any number of processes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from optuna.storages import BaseStorage

from lstm_tune.storage.kind import Opening, StorageKind
from lstm_tune.storage.urls import scheme_of

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

_POOL: dict[str, Any] = {"pool_size": 2, "max_overflow": 1, "pool_pre_ping": True}
_CONNECTION: dict[str, Any] = {  # a server that vanishes without a word is noticed within half a minute
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_READ_ONLY = {"options": "-c default_transaction_read_only=on", "connect_timeout": 10}


def _open(url: str, opening: Opening) -> BaseStorage:
    from lstm_tune.storage.database_opening import open_database

    address = _address(url)
    engine = _POOL | ({"connect_args": _CONNECTION} if "psycopg" in address.drivername else {})
    return open_database(
        url,
        address,
        opening=opening,
        engine=engine,
        install='pip install "lstm-tune[postgres]"',
        why_not_writable=_why_not_writable,
    )


def _open_read_only(url: str) -> BaseStorage:
    from lstm_tune.storage.database_access import connect_read_only

    address = _address(url).render_as_string(hide_password=False)
    return connect_read_only(address, _POOL | {"max_overflow": 4, "connect_args": _READ_ONLY})


def _why_not_writable(connection: Connection) -> str:
    """Return why the database is read-only, as a standby is until it takes over; "": it is not."""
    from sqlalchemy import text

    if connection.execute(text("select current_setting('transaction_read_only')")).scalar() != "on":
        return ""
    return "the database is read-only (a standby, or default_transaction_read_only = on)"


def _address(url: str) -> URL:
    """Return the URL with its driver: if it names none, psycopg 3, or psycopg2 if that alone is installed."""
    from lstm_tune.storage.database_access import check_url, parse_url

    address = parse_url(url)
    if "+" in address.drivername:
        return check_url(url)
    driver = "psycopg2" if find_spec("psycopg") is None and find_spec("psycopg2") else "psycopg"
    return address.set(drivername=f"postgresql+{driver}")


POSTGRESQL = StorageKind(
    matches=lambda url: scheme_of(url) in ("postgresql", "postgres"),
    open=_open,
    open_read_only=_open_read_only,
    check=_address,
)
