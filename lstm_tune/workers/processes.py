"""Starts child processes within milliseconds; they run nothing of the user's own script.

A server process imports the package once, while this process is busy with other things, and forks the children. On
systems without fork (Windows) each child imports the package by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import types
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, cast

_PRELOADED = ["lstm_tune.workers.preload"]
_FORKS = "forkserver" in multiprocessing.get_all_start_methods()
_STARTS = 3  # attempts to start a child
_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def context() -> BaseContext:
    """Return how children are started, for `Pipe` and the like."""
    return multiprocessing.get_context("forkserver" if _FORKS else "spawn")


def prepare() -> None:
    """Start the server if there is none yet, and return at once."""
    if _FORKS:
        from multiprocessing import forkserver, resource_tracker

        resource_tracker.ensure_running()  # starting it later would let Ctrl-C through
        forkserver.set_forkserver_preload(_PRELOADED)
        with _undisturbed():
            forkserver.ensure_running()


def start(work: Callable[..., None], *args: Any) -> BaseProcess:
    """Run work(*args) in a child, with SIGINT blocked. It ends with this process."""
    for attempt in range(_STARTS):
        prepare()
        process = context().Process(target=work, args=args, daemon=True)  # type: ignore[attr-defined]
        try:
            with _undisturbed():
                process.start()
            break
        except (EOFError, OSError):  # the server was killed meanwhile; `prepare` starts another one
            if attempt + 1 == _STARTS:
                raise
    return cast(BaseProcess, process)


def end_with_starter() -> None:
    """In the server: end when the process that started it ends, and wake its frozen children so that they end (Linux).

    A frozen process cannot notice that its parent is gone, and would stay for ever. So the kernel is asked to send
    SIGCONT, which does nothing to a running process: to the server when its starter ends, and to the children when the
    server ends.
    """
    if sys.platform != "linux":
        return
    prctl, starter = ctypes.CDLL(None).prctl, os.getppid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT), 0, 0, 0)

    def look(signum: int, frame: object) -> None:
        if os.getppid() != starter:  # otherwise one of its threads has ended, or somebody else has sent the signal
            os._exit(0)

    def ask_in_child() -> None:
        signal.signal(signal.SIGCONT, signal.SIG_DFL)
        ask()

    signal.signal(signal.SIGCONT, look)
    os.register_at_fork(after_in_child=ask_in_child)
    ask()


@contextlib.contextmanager
def no_main() -> Iterator[None]:
    """Hide the user's script, notebook or stdin inside the `with`.

    Children would run it again: a script without `if __name__ == "__main__"` would start children without end. What
    was defined there cannot be pickled meanwhile.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Start a process inside the `with`: Ctrl-C waits until the child can handle it, and the child uses one core."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        with no_main():
            yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
