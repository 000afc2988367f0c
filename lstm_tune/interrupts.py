"""Ctrl-C and SIGTERM: they interrupt what runs, but never where that would leave something half done."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_INSISTS = 4  # this signal waits for nothing any more
_held = 0  # depth of `held`
_waiting = 0  # signals that came meanwhile


class Stopped(KeyboardInterrupt):
    """The user, or the system, stopped the study; what had been found by then was kept.

    Attributes:
        result: what was found, as `tune` would have returned it; None: no trial was completed, or no model was left.
        exit_status: for the command line: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, result: Any = None, exit_status: int = 130) -> None:
        super().__init__("stopped")
        self.result = result
        self.exit_status = exit_status


class Seen:
    """The signals that came so far.

    Attributes:
        times: how many.
        terminated: whether SIGTERM was among them.
    """

    def __init__(self) -> None:
        self.times = 0
        self.terminated = False

    @property
    def in_haste(self) -> bool:
        """Whether nothing is to be begun any more that takes long: Ctrl-C came twice, or SIGTERM."""
        return self.times > 1 or self.terminated

    @property
    def exit_status(self) -> int:
        """What a command ends with that was stopped so."""
        return 128 + (signal.SIGTERM if self.terminated else signal.SIGINT)

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Take note, and raise KeyboardInterrupt: now, or at the end of `held`."""
        global _waiting
        self.times += 1
        self.terminated |= signum == signal.SIGTERM
        if _held and self.times < _INSISTS:
            _waiting += 1
        else:
            raise KeyboardInterrupt


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """Let Ctrl-C end the process at once inside the `with`, with one line, while nothing has begun.

    Libraries swallow a KeyboardInterrupt that comes while they are imported, and the study would begin all the same.
    """
    usual = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and usual == signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, usual)


def _leave(signum: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"stopped; nothing had begun\n")
    os._exit(128 + signum)


@contextlib.contextmanager
def watched() -> Iterator[Seen]:
    """Let SIGTERM do inside the `with` what Ctrl-C does, and count both.

    A handler of the caller's own stays as it is, and outside the main thread nothing changes.
    """
    seen = Seen()
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in usual.items():
                if signal.getsignal(signum) == handler:
                    before[signum] = signal.signal(signum, seen.handle)
        yield seen
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let signals wait until the end of the `with`, up to the third: what is inside must not be left half done.

    Raises:
        KeyboardInterrupt: at the end, if one came.
    """
    global _held, _waiting
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if not _held and _waiting:
            _waiting = 0
            raise KeyboardInterrupt
