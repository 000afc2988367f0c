"""Opens the storage of a study: a journal file, a database, or memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage

from lstm_tune.errors import UsageError
from lstm_tune.storage.buffered import Buffered
from lstm_tune.storage.journal import JOURNAL, SUFFIXES, buffered, open_journal
from lstm_tune.storage.kind import Opening, StorageKind
from lstm_tune.storage.memory import MEMORY
from lstm_tune.storage.other_database import OTHER_DATABASE
from lstm_tune.storage.postgresql import POSTGRESQL
from lstm_tune.storage.read_only import ReadOnlyStorage
from lstm_tune.storage.sqlite import SQLITE
from lstm_tune.storage.urls import is_url

KINDS = (MEMORY, SQLITE, POSTGRESQL, OTHER_DATABASE, JOURNAL)  # the first that matches


def kind_of(storage: str | Path) -> StorageKind:
    """Return the kind of storage that a URL or the path of a file names."""
    return next(kind for kind in KINDS if kind.matches(str(storage)))


def check_storage(storage: str | BaseStorage | None) -> None:
    """Refuse what names neither a database nor a journal (a word that was meant for something else), and memory.

    Raises:
        UsageError: says what is accepted.
        StudyError: its folder is not there.
    """
    if not isinstance(storage, str):
        return
    kind = kind_of(storage)
    if (why := kind.not_resumable) is not None:
        raise UsageError(f"storage {storage!r} {why}; name a file, such as sqlite:///study.db, or leave it out")
    if not is_url(storage) and not storage.endswith(SUFFIXES) and not (storage and Path(storage).exists()):
        raise UsageError(
            f"storage must be a URL such as postgresql://user@host/name, or a journal file whose name ends with "
            f"{' or '.join(SUFFIXES)}, but is {storage!r}"
        )
    kind.check(storage)


def why_not_shareable(storage: str | BaseStorage | None) -> str | None:
    """Return why several processes cannot share a storage; None: they can, as far as its kind tells."""
    if isinstance(storage, InMemoryStorage):
        return MEMORY.not_shareable
    if isinstance(storage, RDBStorage):
        storage = storage.url
    return kind_of(storage).not_shareable if isinstance(storage, str) else None


def is_on_server(storage: str) -> bool:
    """Return whether a storage is a database on a server, which makes no file here."""
    return kind_of(storage) in (POSTGRESQL, OTHER_DATABASE)


def open_storage(storage: str | Path | BaseStorage | None, opening: Opening | None = None) -> BaseStorage:
    """Return the storage behind a URL, a journal file's path, or None (in memory).

    Raises:
        StudyError: it cannot be opened.
    """
    if isinstance(storage, BaseStorage):
        return storage
    if storage is None:
        return optuna.storages.InMemoryStorage()
    return kind_of(storage).open(str(storage), opening or Opening())


def open_read_only(storage: str | Path) -> ReadOnlyStorage:
    """Open what a URL or the path of a journal file names, to look at it alone.

    Raises:
        StudyError: it cannot be opened, is damaged, or is not there.
    """
    return ReadOnlyStorage(kind_of(storage).open_read_only(str(storage)))


def temporary_journal() -> Buffered:
    """Return a journal in a temporary folder, which is removed with it."""
    folder = tempfile.mkdtemp(prefix="lstm-tune-")
    storage = buffered(open_journal(Path(folder) / "study.journal"))
    weakref.finalize(storage, shutil.rmtree, folder, ignore_errors=True)
    return storage
