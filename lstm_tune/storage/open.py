"""Where a study is stored: a journal file, memory, or what an Optuna storage URL names."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage

from lstm_tune.errors import StudyError, UsageError
from lstm_tune.storage.journal import JournalFile
from lstm_tune.storage.urls import is_memory, is_url, mask_password

JOURNAL_SUFFIXES = (".journal", ".log")


def journal_storage(path: Path, note: Callable[[str], None] = lambda text: None) -> JournalStorage:
    """Open (or begin) a journal file. The path is made absolute: every process must mean the same file.

    Raises:
        StudyError: it cannot be opened, is damaged, or is no journal.
    """
    file = JournalFile(path.resolve())
    try:
        storage = JournalStorage(file)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(
            f"the study file {str(path)!r} is damaged: its records do not fit together ({reason}); "
            f"restore it from a copy, or pass another --storage or --out"
        ) from None
    if file.torn:
        note(f"the study file ended within a record, whose {file.torn} bytes were cut off; all before is intact")
    return storage


def temporary_journal() -> JournalStorage:
    """Return a journal in a temporary folder, which goes with it."""
    folder = tempfile.mkdtemp(prefix="lstm-tune-")
    storage = journal_storage(Path(folder) / "study.journal")
    weakref.finalize(storage, shutil.rmtree, folder, ignore_errors=True)
    return storage


def check_storage(storage: str | BaseStorage | None) -> None:
    """Refuse what names neither a database nor a journal (a word that was meant for something else), and memory.

    Raises:
        UsageError: says what is taken.
    """
    if not isinstance(storage, str):
        return
    if is_memory(storage):
        raise UsageError(
            f"storage {storage!r} is in memory, where nothing could be resumed or looked at; "
            f"name a file, such as sqlite:///study.db, or leave it out"
        )
    if is_url(storage):
        return
    if not storage.endswith(JOURNAL_SUFFIXES) and not Path(storage).is_file():
        raise UsageError(
            f"storage must be a URL such as postgresql://user@host/name, or a journal file whose name ends with "
            f"{' or '.join(JOURNAL_SUFFIXES)}, but is {storage!r}"
        )


def open_storage(
    storage: str | Path | BaseStorage | None,
    *,
    on_stale: Callable[[optuna.Study, optuna.trial.FrozenTrial], None] | None = None,
    note: Callable[[str], None] = lambda text: None,
    opening: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> BaseStorage:
    """Return the storage behind a URL, a journal file's path, or None (in memory).

    Args:
        storage: to open.
        on_stale: called where a trial without heartbeats was failed; databases alone have heartbeats.
        note: told what was repaired, and of outages.
        opening: seconds that the database may be away before it is open; None: a few.
        stop: whether the user wants to stop; then an outage is not waited for.

    Raises:
        StudyError: it cannot be opened.
    """
    if isinstance(storage, BaseStorage):
        return storage
    if storage is None:
        return optuna.storages.InMemoryStorage()
    if isinstance(storage, Path) or not is_url(storage):
        return journal_storage(Path(storage), note)
    try:
        from lstm_tune.storage import database
    except ImportError as error:
        raise StudyError(f"cannot open the storage {mask_password(storage)!r}: {error}") from None
    wait = database.OPENING if opening is None else opening
    return database.Database(storage, on_stale=on_stale, note=note, opening=wait, stop=stop)
