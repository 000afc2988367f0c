"""The journal of a study: Optuna's file, written so that neither a killed process nor a full disk damages it.

One record is one line of JSON. A line is written by one call at the end of the file. What is left of a line whose
writer was killed, or whose disk was full, is cut off before the next one is written; until then readers ignore it.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from optuna.storages.journal import BaseJournalBackend
from optuna.trial import TrialState

from lstm_tune.errors import StudyError
from lstm_tune.storage.journal_lock import locked
from lstm_tune.storage.optuna_private import JournalOperation
from lstm_tune.storage.read_only import refuse
from lstm_tune.storage.remedies import remedy_for_file

_BLOCK = 1 << 16
_BEGINNING = b'{"op_code":'  # of every record that Optuna or we write
_OPERATIONS = frozenset(int(operation) for operation in JournalOperation)


class JournalFile(BaseJournalBackend):
    """Optuna's journal file, which waits for the disk only when a trial has ended.

    A trial writes a hundred lines, and to wait after each takes longer than a short trial. A process that is killed
    loses none of them; a machine that loses power loses what its running trials had written.

    Args:
        path: absolute; every process must mean the same file.
        create: whether it is made if it is missing.

    Raises:
        StudyError: it cannot be written, or it is no journal.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        self._reader = _Reader(path, partial(locked, path))  # no lambda: workers are sent this object
        self._held: list[dict[str, Any]] | None = None  # records of a batch
        self._holder = 0  # the thread whose batch it is
        try:
            os.close(os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666))
            with locked(path) as file:
                self.torn = _mend(file, path)  # bytes of an unfinished line that were cut off
        except OSError as error:
            raise StudyError(
                f"cannot open the study file {str(path)!r}: {error.strerror or error}; {remedy_for_file(path)}"
            ) from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append one line for each record, all or none.

        Raises:
            StudyError: the disk is full, or the file is gone.
        """
        if self._holds():
            assert self._held is not None
            self._held += logs
            return
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        ends_a_trial = any(TrialState(log["state"]).is_finished() for log in logs if "state" in log)
        try:
            with locked(self.path) as file:
                _mend(file, self.path)
                _append(file, lines)
            if ends_a_trial:  # without the lock: others need not wait for the disk
                _sync(self.path)
        except OSError as error:
            raise StudyError(
                f"cannot write to the study file {str(self.path)!r}: {error.strerror or error}; "
                f"what was finished is kept; "
                f"when it can be written again, repeat tune with resume=True"
            ) from None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the records from that number on; see `_Reader`."""
        return iter(()) if self._holds() else self._reader.records(log_number_from)

    def _holds(self) -> bool:
        return self._held is not None and self._holder == threading.get_ident()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Append all that this thread appends inside the `with` at its end, by one call; one batch at a time."""
        logs: list[dict[str, Any]] = []
        try:
            self._holder, self._held = threading.get_ident(), logs
            yield
        finally:
            self._held = None  # Ctrl-C: nothing of the batch is written
        if logs:
            self.append_logs(logs)


class ReadOnlyJournalFile(BaseJournalBackend):
    """A journal file that is only read: no lock is taken, no file is made.

    Args:
        path: of a file that exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = _Reader(path, contextlib.nullcontext)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the records from that number on; see `_Reader`."""
        return self._reader.records(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> NoReturn:
        """Refuse.

        Raises:
            StudyError: always.
        """
        refuse()


class _Reader:
    """Reads the records of a journal; remembers where their lines begin.

    Args:
        path: of the journal.
        pause_writers: makes a context in which no other process writes, if there is such a way.
    """

    def __init__(self, path: Path, pause_writers: Callable[[], AbstractContextManager[Any]]) -> None:
        self._path = path
        self._pause_writers = pause_writers
        self._starts = array.array("q", [0])  # where the lines that were read begin, and where the next one will

    def records(self, first: int) -> Iterator[dict[str, Any]]:
        """Yield the records from a number on; a line without an end is not there yet.

        Raises:
            StudyError: a line cannot be read; says which one.
        """
        number = min(first, len(self._starts) - 1)
        try:
            with open(self._path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self._starts[number]:
                    raise StudyError(
                        f"the study file {str(self._path)!r} was cut or replaced while it was in use; "
                        f"restore it and repeat tune with resume=True"
                    )
                file.seek(self._starts[number])
                while (line := file.readline()).endswith(b"\n"):
                    record = _parse(line)
                    if record is None:  # a torn line may have been cut off while it was read
                        with self._pause_writers():
                            file.seek(self._starts[number])
                            line = file.readline()
                        if not line.endswith(b"\n"):
                            return
                        record = _parse(line)
                    if record is None:
                        raise _damaged(self._path, number)
                    if record["op_code"] not in _OPERATIONS:
                        raise StudyError(
                            f"the study file {str(self._path)!r} was written by a newer Optuna (line {number + 1} has "
                            f"operation {record['op_code']}); install that one"
                        )
                    number += 1
                    if number == len(self._starts):
                        self._starts.append(self._starts[-1] + len(line))
                    if number > first:
                        yield record
        except OSError as error:
            raise StudyError(
                f"cannot read the study file {str(self._path)!r}: {error.strerror or error}; "
                f"{remedy_for_file(self._path)}"
            ) from None


def _damaged(path: Path, number: int) -> StudyError:
    """Return the error for a file whose first `number` lines are records, and whose next line is none."""
    if number == 0:
        return StudyError(f"{str(path)!r} is no journal of a study; name another file")
    return StudyError(
        f"the study file {str(path)!r} is damaged: line {number + 1} is no record; "
        f"restore it from a copy, or keep the lines before (head -n {number})"
    )


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None: it holds none."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or "worker_id" not in record:
        return None
    operation = record.get("op_code")
    return record if isinstance(operation, int) and not isinstance(operation, bool) and operation >= 0 else None


def _append(file: int, data: bytes) -> None:
    """Write all at the end of the file, or nothing."""
    before, written = os.lseek(file, 0, os.SEEK_END), 0
    try:
        while written < len(data):
            written += os.write(file, data[written:])
    finally:
        # A record that is there as a whole may have been read already.
        if 0 < written < len(data) and os.fstat(file).st_size == before + written:
            os.ftruncate(file, before)


def _mend(file: int, path: Path) -> int:
    """Cut off a last line that has no end, and return how many bytes it had.

    Raises:
        StudyError: it is not the beginning of a record, or a line before it is damaged; nothing is cut then.
    """
    size = start = os.lseek(file, 0, os.SEEK_END)
    tail = b""
    while start and b"\n" not in tail:
        block = 1 if start == size else min(_BLOCK, start)  # mostly the last byte is enough
        start -= block
        os.lseek(file, start, os.SEEK_SET)
        tail = os.read(file, block) + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    if tail:
        lines, ends = _good(file)
        beginning = tail[: len(_BEGINNING)].rstrip(b"\0")  # which a machine that lost power may leave behind
        if not _BEGINNING.startswith(beginning) or ends + len(tail) != size:
            raise _damaged(path, lines)
        os.ftruncate(file, size - len(tail))
    return len(tail)


def _sync(path: Path) -> None:
    """Return when all that was written to a file is on the disk."""
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _good(file: int) -> tuple[int, int]:
    """Return how many lines of a file are records, up to the first that is none, and how many bytes they have."""
    os.lseek(file, 0, os.SEEK_SET)
    lines = ends = 0
    with open(file, "rb", closefd=False) as whole:
        for line in whole:
            if not line.endswith(b"\n") or _parse(line) is None:
                break
            lines, ends = lines + 1, ends + len(line)
    return lines, ends
