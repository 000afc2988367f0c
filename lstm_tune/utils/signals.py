"""Ctrl-C and SIGTERM: they interrupt what runs, but never where that would leave something half done."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

_BURST = 2.0  # seconds for which a signal after one that interrupted only counts: Ctrl-C is often pressed repeatedly
_INSISTS = 4  # this signal waits for nothing any more …
_PATIENCE = 30.0  # … if the first came so many seconds before: to end the workers may take ten
_seen: Seen | None = None  # of the `watched` that we are in
_held = 0  # depth of `held`
_waiting = False  # whether a signal came meanwhile


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
        self.begin()

    def begin(self) -> None:
        """Forget what came before."""
        self.times = 0
        self.terminated = False
        self._first = self._raised = -math.inf

    @property
    def in_haste(self) -> bool:
        """Whether nothing is to be begun any more that takes long: Ctrl-C came twice, or SIGTERM."""
        return self.times > 1 or self.terminated

    @property
    def exit_status(self) -> int:
        """What a command ends with that was stopped so."""
        return 128 + (signal.SIGTERM if self.terminated else signal.SIGINT)

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Take note, and raise KeyboardInterrupt: now, at the end of `held`, or at the next `interruptible`.

        One more signal within `_BURST` seconds only counts: what was interrupted tidies up.
        """
        global _waiting
        now = time.monotonic()
        self.times += 1
        self.terminated |= signum == signal.SIGTERM
        if self.times == 1:
            self._first = now
        if _held and not (self.times >= _INSISTS and now - self._first > _PATIENCE):
            _waiting = True
        elif now - self._raised > _BURST:
            self._raised = now
            raise KeyboardInterrupt

    def listen(self) -> None:
        """Let the next signal interrupt, however soon it comes."""
        self._raised = -math.inf


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """Let Ctrl-C end the process at once inside the `with`, with one line, while nothing has begun.

    Libraries swallow a KeyboardInterrupt that comes while they are imported, and the study would begin all the same.
    """
    usual = signal.getsignal(signal.SIGINT)
    ours = _in_main_thread() and usual == signal.default_int_handler
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
    """Let SIGTERM do inside the `with` what Ctrl-C does, and count both, from none on.

    Inside another `watched` that one goes on counting, so that its caller is disturbed no more than what it called. A
    handler of the caller's own stays as it is, and outside the main thread nothing changes.
    """
    global _seen
    if _seen is not None and _in_main_thread():
        _seen.begin()
        yield _seen
        return
    seen = Seen()
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {}
    try:
        if _in_main_thread():
            _seen = seen
            for signum, handler in usual.items():
                if signal.getsignal(signum) == handler:
                    before[signum] = signal.signal(signum, seen.handle)
        yield seen
    finally:
        if _in_main_thread():
            _seen = None
        for signum, handler in before.items():
            if signal.getsignal(signum) == seen.handle:
                signal.signal(signum, handler)


def ignore() -> None:
    """Ignore Ctrl-C from now on: this process has nothing left to do but to say how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let signals wait until the end of the `with`: what is inside must not be left half done.

    The fourth and further ones wait for nothing any more, if it takes longer than `_PATIENCE` seconds.

    Raises:
        KeyboardInterrupt: at the end, if one came, unless what is inside failed.
    """
    global _held, _waiting
    if not _in_main_thread():
        yield
        return
    _held += 1
    try:
        yield
    except BaseException:
        _held -= 1
        _waiting = _waiting and _held > 0
        raise
    _held -= 1
    _raise_what_waits()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let signals interrupt what is inside the `with`, itself inside `held`.

    Raises:
        KeyboardInterrupt: at once where one waits.
    """
    global _held
    if not _in_main_thread():
        yield
        return
    if _seen is not None:
        _seen.listen()
    before, _held = _held, 0
    try:
        _raise_what_waits()
        yield
    finally:
        _held = before


def _raise_what_waits() -> None:
    global _waiting
    if _waiting and not _held:
        _waiting = False
        raise KeyboardInterrupt


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
