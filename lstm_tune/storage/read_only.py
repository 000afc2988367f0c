"""Storages for looking on: nothing is written, no lock is taken, no file is made, whatever is called."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.errors import StudyError
from lstm_tune.storage.optuna_private import FrozenStudy, id_of_study
from lstm_tune.storage.urls import mask_password

_POSTGRESQL = {"options": "-c default_transaction_read_only=on", "connect_timeout": 10}


class ReadOnlyJournal(BaseJournalBackend):
    """A journal file as far as it is written: a line that is not ended, or cannot be read, ends it for now.

    Args:
        path: of a file that is there.

    Attributes:
        damaged: the number, from 1, of a line that is ended and yet cannot be read; None: there was none.
    """

    def __init__(self, path: Path) -> None:
        self.damaged: int | None = None
        self._path = path
        self._begins = [0]  # the byte at which each line begins

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the records from a number on."""
        with self._path.open("rb") as file:
            file.seek(self._begins[log_number_from])
            for number, line in enumerate(file, log_number_from):
                if not line.endswith(b"\n"):
                    return
                try:
                    record = json.loads(line)
                except ValueError:
                    self.damaged = number + 1
                    return
                if number + 1 == len(self._begins):
                    self._begins.append(self._begins[number] + len(line))
                yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> NoReturn:
        """Refuse.

        Raises:
            StudyError: always.
        """
        _refuse()


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise StudyError("the study was opened to be looked at alone; nothing can be written to it")


class ReadOnlyStorage(BaseStorage):
    """Another storage, of which only what reads is passed on.

    Raises:
        StudyError: by every method that would write.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    create_new_study: Callable[..., int] = _refuse
    delete_study: Callable[..., None] = _refuse
    set_study_user_attr: Callable[..., None] = _refuse
    set_study_system_attr: Callable[..., None] = _refuse
    create_new_trial: Callable[..., int] = _refuse
    set_trial_param: Callable[..., None] = _refuse
    set_trial_state_values: Callable[..., bool] = _refuse
    set_trial_intermediate_value: Callable[..., None] = _refuse
    set_trial_user_attr: Callable[..., None] = _refuse
    set_trial_system_attr: Callable[..., None] = _refuse

    def get_study_id_from_name(self, study_name: str) -> int:
        """Pass on."""
        return self._storage.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Pass on."""
        return self._storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Pass on."""
        return self._storage.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Pass on."""
        return self._storage.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Pass on."""
        return self._storage.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Pass on, in the order of their numbers."""
        return sorted(self._storage.get_all_studies(), key=id_of_study)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Pass on."""
        return self._storage.get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Pass on."""
        return self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Pass on."""
        return self._storage.get_best_trial(study_id)

    def remove_session(self) -> None:
        """Pass on."""
        self._storage.remove_session()


def open_read_only(source: str | Path) -> ReadOnlyStorage:
    """Open a journal file or what a storage URL names, to look at it alone.

    Raises:
        StudyError: it cannot be opened, is damaged, or is not there.
    """
    if isinstance(source, Path):
        try:
            journal = ReadOnlyJournal(source.resolve(strict=True))
            storage = ReadOnlyStorage(JournalStorage(journal))
        except OSError as error:
            raise StudyError(f"cannot open the study file {str(source)!r}: {error.strerror or error}") from None
        except Exception as error:  # records that are none, in a file that is no journal
            raise StudyError(f"{str(source)!r} is no journal of a study ({type(error).__name__})") from None
        if journal.damaged == 1:
            raise StudyError(f"{str(source)!r} is no journal of a study; name a run folder, or another file")
        if journal.damaged:  # or else the trials after it would be missing without a word
            raise StudyError(
                f"the study file {str(source)!r} is damaged: line {journal.damaged} is no record; "
                f"restore it from a copy, or keep the lines before (head -n {journal.damaged - 1})"
            )
        return storage
    try:
        return ReadOnlyStorage(_read_only_database(source))
    except StudyError:
        raise
    except Exception as error:
        cause = str(error.__cause__ or error).strip() or type(error).__name__
        reason = "it holds no study" if "version_info" in cause else cause.splitlines()[0]
        raise StudyError(f"cannot open the storage {mask_password(source)!r}: {reason}") from None


def _read_only_database(url: str) -> RDBStorage:
    """Open a database without making tables in it, in sessions that the server itself keeps from writing."""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    backend = parsed.get_backend_name()
    arguments: dict[str, Any]
    if backend == "sqlite":
        path = Path(parsed.database or "").resolve()
        if not path.is_file():
            raise StudyError(f"there is no study at {url!r}: no such file; check the path")
        arguments = {"creator": lambda: sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)}
        return RDBStorage(url, engine_kwargs=arguments, skip_table_creation=True)
    arguments = {"pool_size": 2, "max_overflow": 4, "pool_pre_ping": True}
    if backend == "postgresql":
        arguments["connect_args"] = _POSTGRESQL
    return RDBStorage(url, engine_kwargs=arguments, skip_table_creation=True)
