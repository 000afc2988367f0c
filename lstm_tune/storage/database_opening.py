"""How a database is opened for a study: with patience, and with one line that says why it cannot be."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sql
from optuna.storages import RDBStorage

from lstm_tune.errors import StudyError
from lstm_tune.storage.buffered import Buffered
from lstm_tune.storage.database import Database
from lstm_tune.storage.database_errors import Outage, may_open_soon, reason
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.outages import Outages
from lstm_tune.storage.remedies import remedy_for_message
from lstm_tune.storage.schema import check_schema
from lstm_tune.storage.urls import mask_password

OPENING = 15.0  # seconds that an outage may last at the start of a study, when the address may be wrong as well
_FIRST, _LONGEST = 0.1, 1.0  # seconds between attempts

WhyNotWritable = Callable[[sql.Connection], str]


def open_database(
    url: str,
    address: sql.URL,
    *,
    opening: Opening,
    engine: Mapping[str, Any] | None = None,
    heartbeats: bool = True,
    install: str = "install it with pip, or name another in the URL (mysql+pymysql://...)",
    why_not_writable: WhyNotWritable = lambda connection: "",
) -> Buffered:
    """Open a database; running trials of this process are stored at most once a second.

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
    outages = Outages(url, opening.info, opening.stop)
    limit = time.monotonic() + (OPENING if opening.seconds is None else opening.seconds)
    pause = _FIRST
    while True:
        try:
            rdb = _connect(address, engine or {}, why_not_writable)
            break
        except ImportError as error:
            kind, module = address.get_backend_name(), f" ({error.name})" if error.name else ""
            raise _cannot_open(url, f"the Python driver of {kind}{module} is missing; {install}") from None
        except StudyError as error:
            raise _cannot_open(url, str(error)) from None
        except Exception as error:
            if not may_open_soon(error) or time.monotonic() + pause > limit:
                why = reason(error, url)
                raise _cannot_open(url, f"{why}; {remedy_for_message(why)}") from None
            outages.mark_down()
        outages.wait(pause)
        pause = min(2 * pause, _LONGEST)
    outages.mark_up()
    return Buffered(Database(rdb, outages, stale=opening.stale, heartbeats=heartbeats), Database.write_trial)


def _connect(address: sql.URL, engine: Mapping[str, Any], why_not_writable: WhyNotWritable) -> RDBStorage:
    storage = RDBStorage.__new__(RDBStorage)  # its connections must be closed, too, if it fails to open
    try:
        RDBStorage.__init__(storage, address.render_as_string(hide_password=False), engine_kwargs=dict(engine))
        with storage.engine.connect() as connection:
            check_schema(connection)
            if why := why_not_writable(connection):
                raise Outage(why)
    except BaseException:
        if hasattr(storage, "engine"):
            storage.engine.dispose()
        raise
    return storage


def _cannot_open(url: str, why: str) -> StudyError:
    return StudyError(f"cannot open the storage {mask_password(url)!r}: {why}")
