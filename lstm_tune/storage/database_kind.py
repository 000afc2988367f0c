"""What databases alone can tell."""

from __future__ import annotations

from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage

from lstm_tune.storage.buffered import inside
from lstm_tune.storage.database import Database
from lstm_tune.storage.optuna_private import without_cache

_ASK_EVERY = 1.0


def is_database(storage: BaseStorage) -> bool:
    """Return whether a storage is a database, or Optuna's proxy before one: a call takes as long as a short epoch."""
    return isinstance(without_cache(inside(storage)), (Database, RDBStorage, GrpcStorageProxy))


def seconds_between_questions(storage: BaseStorage) -> float:
    """Return how often one of several workers asks the pruner: after every epoch, or once a second on a database."""
    return _ASK_EVERY if is_database(storage) else 0.0


def silent_trials(storage: BaseStorage, study_id: int) -> set[int]:
    """Return the numbers of the running trials whose last heartbeat is old; none in a storage without heartbeats."""
    storage = inside(storage)
    return storage.silent_trials(study_id) if isinstance(storage, Database) else set()
