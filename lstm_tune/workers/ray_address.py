"""The address of a Ray cluster, and which storages its nodes can reach; Ray itself is not needed for that."""

from __future__ import annotations

import re
from typing import Any

from lstm_tune.errors import UsageError
from lstm_tune.storage.urls import is_url
from lstm_tune.utils import arguments

LOCAL = "local"
_CLIENT = re.compile(r"ray://[^/\s:]+:\d+|ray://\[[0-9a-fA-F:]+\]:\d+")


def checked_address(name: str, value: Any) -> str | None:
    """Return "local", "auto", "ray://HOST:PORT", or None.

    Raises:
        UsageError: it is none of these.
    """
    if value is None or (isinstance(value, str) and (value in (LOCAL, "auto") or _CLIENT.fullmatch(value))):
        return value
    raise arguments.refuse(name, "local, auto or ray://HOST:PORT", value)


def check_reachable(address: str, storage: object) -> None:
    """Refuse a storage that nodes other than this machine cannot open.

    Raises:
        UsageError: says what to use.
    """
    if address == LOCAL or (isinstance(storage, str) and is_url(storage)):
        return
    where = "a file of this machine" if storage is None or isinstance(storage, str) else "an object of this process"
    raise UsageError(
        f"ray is {address!r}, so every node must reach the study's storage, which is {where}; "
        f'pass storage="postgresql://user@host/name", or ray="local"'
    )
