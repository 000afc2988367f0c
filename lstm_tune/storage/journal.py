"""A study in a journal file: for the processes of one machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage

from lstm_tune.errors import StudyError
from lstm_tune.storage.buffered import Buffered
from lstm_tune.storage.journal_file import JournalFile, ReadOnlyJournalFile
from lstm_tune.storage.kind import Opening, StorageKind
from lstm_tune.storage.optuna_private import backend_of
from lstm_tune.storage.remedies import remedy_for_file
from lstm_tune.storage.trial_writes import TrialEnd, TrialWrites
from lstm_tune.storage.urls import is_url

SUFFIXES = (".journal", ".log")


def open_journal(path: Path, info: Callable[[str], None] = lambda text: None, *, create: bool = True) -> JournalStorage:
    """Open (or begin) a journal file. The path is made absolute: every process must mean the same file.

    Args:
        path: of the file.
        info: told of an unfinished line that was cut off.
        create: whether a file that is not there is begun.

    Raises:
        StudyError: it cannot be opened, is damaged, or is no journal.
    """
    file = JournalFile(path.resolve(), create=create)
    storage = _replay(file)
    if file.torn:
        info(f"the study file ended within a record, whose {file.torn} bytes were cut off; all before is intact")
    return storage


def _replay(file: JournalFile | ReadOnlyJournalFile) -> JournalStorage:
    """Let Optuna build the studies from the records; it raises anything if they do not fit together."""
    try:
        return JournalStorage(file)
    except StudyError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(
            f"the study file {str(file.path)!r} is damaged: its records do not fit together ({reason}); "
            f"restore it from a copy, or name another file"
        ) from None


def write_trial(storage: JournalStorage, trial_id: int, writes: TrialWrites, end: TrialEnd | None) -> None:
    """Append what a running trial has written, and its end, by one call.

    Raises:
        UpdateFinishedTrialError: another process has ended the trial.
    """
    file = backend_of(storage)
    assert isinstance(file, JournalFile)
    with file.batch():
        for name, (value, kind) in writes.params.items():
            storage.set_trial_param(trial_id, name, value, kind)
        for step, report in writes.reports.items():
            storage.set_trial_intermediate_value(trial_id, step, report)
        for key, attribute in writes.user.items():
            storage.set_trial_user_attr(trial_id, key, attribute)
        for key, attribute in writes.system.items():
            storage.set_trial_system_attr(trial_id, key, attribute)
        if end is not None:
            storage.set_trial_state_values(trial_id, end.state, end.values)
    refused = None
    while True:  # of a trial that has ended each record is refused
        try:
            storage.get_trial(trial_id)
        except UpdateFinishedTrialError as error:
            refused = error
        else:
            break
    if refused is not None:
        raise refused


def buffered(storage: JournalStorage) -> Buffered:
    """Return a journal whose running trials are stored at most once a second."""
    return Buffered(storage, write_trial)


def _open(path: str, opening: Opening) -> BaseStorage:
    return buffered(open_journal(Path(path), opening.info, create=opening.create))


def _open_read_only(path: str) -> BaseStorage:
    try:
        file = ReadOnlyJournalFile(Path(path).resolve(strict=True))
    except OSError as error:
        raise StudyError(
            f"cannot open the study file {path!r}: {error.strerror or error}; {remedy_for_file(Path(path))}"
        ) from None
    return _replay(file)


def _check(name: str) -> None:
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        raise StudyError(f"cannot open the study file {name!r}: {remedy_for_file(path)}")


JOURNAL = StorageKind(matches=lambda name: not is_url(name), open=_open, open_read_only=_open_read_only, check=_check)
