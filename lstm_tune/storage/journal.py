"""The journal of a study: Optuna's file, written so that neither a killed process nor a full disk damages it.

One record is one line of JSON. A line is written by one call at the end of the file; what is left of one whose writer
was killed, or whose disk was full, is cut off before the next is written, and until then no reader minds it.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileOpenLock
from optuna.trial import TrialState

from lstm_tune.errors import StudyError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_GRACE = 30.0  # seconds after which a lock that does not change hands is broken; the same in Optuna
_BLOCK = 1 << 16
_BEGINNING = b'{"op_code":'  # of every record that Optuna or we write
_OPERATIONS = range(11)


class JournalFile(BaseJournalBackend):
    """Optuna's journal file, which waits for the disk only where a trial has ended.

    A trial writes a hundred lines, and to wait after each takes longer than a short trial. A process that is killed
    loses none of them; a machine that loses power loses what its running trials had written.

    Args:
        path: absolute; every process must mean the same file. It is made where it is missing.

    Raises:
        StudyError: it cannot be written, or it is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts = array.array("q", [0])  # where the lines that were read begin, and where the next one will
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
            with _locked(path) as file:
                self.torn = _mend(file, path)  # bytes of an unfinished line that were cut off
        except OSError as error:
            raise StudyError(f"cannot open the study file {str(path)!r}: {error.strerror or error}") from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append one line for each record, all or none.

        Raises:
            StudyError: the disk is full, or the file is gone.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        ends_a_trial = any(TrialState(log["state"]).is_finished() for log in logs if "state" in log)
        try:
            with _locked(self.path) as file:
                _mend(file, self.path)
                _append(file, lines)
                if ends_a_trial:
                    os.fsync(file)
        except OSError as error:
            raise StudyError(
                f"cannot write to the study file {str(self.path)!r}: {error.strerror or error}; "
                f"what was finished is kept; "
                f"when it can be written again, repeat the command with --resume"
            ) from None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the records from that number on.

        Raises:
            StudyError: one cannot be read; says which line.
        """
        number = min(log_number_from, len(self._starts) - 1)
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self._starts[number]:
                    raise StudyError(
                        f"the study file {str(self.path)!r} was cut or replaced while it was in use; "
                        f"restore it and repeat the command with --resume"
                    )
                file.seek(self._starts[number])
                while (line := file.readline()).endswith(b"\n"):
                    record = _parse(line)
                    if record is None:  # a torn line may have been cut off while we read it
                        with _locked(self.path):
                            file.seek(self._starts[number])
                            line = file.readline()
                        if not line.endswith(b"\n"):
                            return
                        record = _parse(line)
                    if record is None:
                        raise _damaged(self.path, number)
                    number += 1
                    if number == len(self._starts):
                        self._starts.append(self._starts[-1] + len(line))
                    if number > log_number_from:
                        yield record
        except OSError as error:
            raise StudyError(f"cannot read the study file {str(self.path)!r}: {error.strerror or error}") from None


def _damaged(path: Path, number: int) -> StudyError:
    """Return what to say of a file of which so many lines are records, and the next one is none."""
    if number == 0:
        return StudyError(f"the study file {str(path)!r} is no Optuna journal; pass another --storage or --out")
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
    if isinstance(record, dict) and record.get("op_code") in _OPERATIONS and "worker_id" in record:
        return record
    return None


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
        StudyError: it is not the beginning of a record, or what stands before it is damaged; nothing is cut then.
    """
    size = start = os.lseek(file, 0, os.SEEK_END)
    tail = b""
    while start and b"\n" not in tail:
        block = 1 if start == size else min(_BLOCK, start)  # mostly the last byte says all
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


# ---- the lock


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open the file for reading and appending, as the only one who writes to it."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
    try:
        if fcntl is None:
            lock = JournalFileOpenLock(str(path))
            lock.acquire()
            try:
                yield file
            finally:
                lock.release()
        else:
            ours = _claim(path, _lock(file))
            try:
                yield file
            finally:
                if ours:
                    with contextlib.suppress(OSError):
                        os.unlink(_lock_file(path))
    finally:
        os.close(file)  # and the kernel's lock goes with it, as it does where the process is killed


def _lock_file(path: Path) -> str:
    """Return the name of Optuna's lock file: its own programs (dashboard, command line) heed it."""
    return f"{path}.lock"


def _lock(file: int) -> bool:
    """Wait for the kernel's lock, and return whether we have it.

    Not where the file system has none; nor where the holder is frozen for longer than `_GRACE`: what it goes on to do
    then is harmless, a single write at the end of the file.
    """
    limit, pause = time.monotonic() + _GRACE, 0.0005
    while time.monotonic() < limit:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        except OSError:
            return False
        else:
            return True
    return False


def _claim(path: Path, locked: bool) -> bool:
    """Make Optuna's lock file, too, and return whether it is ours to remove.

    It is a link to the journal, with a mark in front of the name. One with our mark, while we have the kernel's lock,
    was left by a process that is dead: it is ours now. For another program's we wait.
    """
    name, mark = _lock_file(path), f"././{path.name}"
    since, seen, pause = time.monotonic(), 0, 0.0005
    while True:
        try:
            os.symlink(mark, name)
            return True
        except FileExistsError:
            pass
        except OSError:
            return False  # a file system without links, or a full one: the kernel's lock must do
        with contextlib.suppress(OSError):  # it is gone, or no link
            if locked and os.readlink(name) == mark:
                return True
        with contextlib.suppress(FileNotFoundError):
            if (changed := os.lstat(name).st_mtime_ns) != seen:
                since, seen = time.monotonic(), changed
            elif time.monotonic() - since > _GRACE:
                os.unlink(name)
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
