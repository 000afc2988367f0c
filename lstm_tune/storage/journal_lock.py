"""The lock of a journal: the kernel's, and the file by which Optuna's own programs lock it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from optuna.storages.journal import JournalFileOpenLock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_GRACE = 30.0  # seconds after which a lock that does not change hands is broken; the same in Optuna


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
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
        os.close(file)  # which releases the kernel's lock, as the end of a killed process does


def _lock_file(path: Path) -> str:
    """Return the name of Optuna's lock file: its own programs (dashboard, command line) heed it."""
    return f"{path}.lock"


def _lock(file: int) -> bool:
    """Wait for the kernel's lock, and return whether we have it.

    We don't if the file system has no locks, or if the holder is frozen for longer than `_GRACE`: what it goes on to
    do then is harmless, a single write at the end of the file.
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

    It is a link to the journal, with a mark in front of the name. If a link has our mark while we hold the kernel's
    lock, a process that is dead has left it: it is ours now. For another program's link we wait.
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
