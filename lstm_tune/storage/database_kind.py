"""What databases alone can tell."""

from __future__ import annotations

from optuna.storages import BaseStorage, RDBStorage

from lstm_tune.storage.buffered import inside
from lstm_tune.storage.database import Database
from lstm_tune.storage.optuna_private import without_cache


def is_database(storage: BaseStorage) -> bool:
    """Return whether a storage is a database: a call on it takes as long as a short epoch."""
    return isinstance(without_cache(inside(storage)), (Database, RDBStorage))


def silent_trials(storage: BaseStorage, study_id: int) -> set[int]:
    """Return the numbers of the running trials whose last heartbeat is old; none in a storage without heartbeats."""
    storage = inside(storage)
    return storage.silent_trials(study_id) if isinstance(storage, Database) else set()
