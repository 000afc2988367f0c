"""First come, first served: of several processes that claim something in a storage, exactly one gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.storages import BaseStorage, RDBStorage

from lstm_tune.storage.buffered import inside
from lstm_tune.storage.database import Database
from lstm_tune.storage.database_statements import set_study_attr_once
from lstm_tune.storage.optuna_private import without_cache
from lstm_tune.storage.schema import check_schema


def claim(storage: BaseStorage, study_id: int, key: str, token: str) -> bool:
    """Claim a key of a study, and return whether this claim came first.

    Args:
        storage: of the study.
        study_id: of the study.
        key: what is claimed; it is claimed once, and stays so.
        token: of the one who claims; no other has it.

    Raises:
        StudyError: the storage is a database of Optuna's whose schema the tests have not seen.
    """
    database = without_cache(inside(storage))
    if isinstance(database, Database):
        database.set_study_attr_once(study_id, key, token)
    elif isinstance(database, RDBStorage):
        with database.engine.connect() as connection:
            check_schema(connection)
        set_study_attr_once(database.engine, study_id, key, token)
    else:
        storage.set_study_system_attr(study_id, f"{key}:{token}", token)
    return holder(storage.get_study_system_attrs(study_id), key) == token


def holder(attributes: Mapping[str, Any], key: str) -> str | None:
    """Return the token whose claim of a key came first; None: nobody has claimed it.

    In a database the key is unique. In a journal, and in memory, attributes keep the order in which they were written,
    so that each claim has a key of its own, and the first one counts.

    Args:
        attributes: system attributes of the study.
        key: what was claimed.
    """
    claims = (value for name, value in attributes.items() if name == key or name.startswith(f"{key}:"))
    return next((str(value) for value in claims), None)
