"""Where a study is stored: a journal file, memory, or what an Optuna storage URL names."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from lstm_tune.errors import StudyError


class JournalFile(JournalFileBackend):
    """Optuna's journal file, which waits for the disk only where a trial has ended.

    A trial writes a hundred lines, and to wait after each takes longer than a short trial. A process that is killed
    loses none of them; a machine that loses power loses what its running trials had written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open_lock = JournalFileOpenLock(str(path))
        super().__init__(str(path), lock_obj=self._open_lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append one line for each record."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._open_lock.acquire()
        try:
            with open(self._path, "ab") as file:
                file.write(lines.encode())
                file.flush()
                if any(TrialState(log["state"]).is_finished() for log in logs if "state" in log):
                    os.fsync(file.fileno())
        finally:
            self._open_lock.release()


def journal_storage(path: Path) -> JournalStorage:
    """Open (or begin) a journal file. The path is made absolute: every process must mean the same file."""
    return JournalStorage(JournalFile(path.resolve()))


def temporary_journal() -> JournalStorage:
    """Return a journal in a temporary folder, which goes with it."""
    folder = tempfile.mkdtemp(prefix="lstm-tune-")
    storage = journal_storage(Path(folder) / "study.journal")
    weakref.finalize(storage, shutil.rmtree, folder, ignore_errors=True)
    return storage


def open_storage(storage: str | Path | BaseStorage | None) -> BaseStorage:
    """Return the storage behind a URL, a journal file's path, or None (in memory).

    Raises:
        StudyError: it cannot be opened.
    """
    if isinstance(storage, BaseStorage):
        return storage
    if storage is None:
        return optuna.storages.InMemoryStorage()
    if isinstance(storage, Path) or "://" not in storage:
        try:
            return journal_storage(Path(storage))
        except OSError as error:
            raise StudyError(f"cannot open the study file {str(storage)!r}: {error.strerror or error}") from None
    try:
        return optuna.storages.RDBStorage(storage)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StudyError(f"cannot open the storage {mask_password(storage)!r}: {reason}") from None


def mask_password(url: str) -> str:
    """Return a storage URL that can be shown: the password is ***."""
    if "://" not in url:
        return url
    from sqlalchemy.engine import make_url  # a path needs none of it
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url
