"""Ctrl-C and SIGTERM: a handler only takes note; long work looks at the note where it looks at its deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

_INSISTS = 4  # this signal is not waited for any more …
_PATIENCE = 30.0  # … if the first one came this many seconds before it: to stop the workers may take ten


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


class StopRequest:
    """Whether the user, or the system, wants to stop.

    At first a signal interrupts at once, as Python does by itself: nothing is lost while data are read. From
    `cooperate` on it only takes note, so that nothing is left half done: `requested` and `urgent` tell long work to
    end where it looks at its deadline.

    Attributes:
        count: how many requests there were.
        terminated: whether SIGTERM was among them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.terminated = False
        self._cooperative = False
        self._first = 0.0  # when the first request came

    @property
    def requested(self) -> bool:
        """Whether to stop, in order: the best so far is retrained, tested and written."""
        return self.count > 0

    @property
    def urgent(self) -> bool:
        """Whether to begin nothing that takes long any more: Ctrl-C came twice, or SIGTERM."""
        return self.count > 1 or self.terminated

    @property
    def exit_status(self) -> int:
        """The exit status of a command that was stopped."""
        return 128 + (signal.SIGTERM if self.terminated else signal.SIGINT)

    def cooperate(self) -> None:
        """Only take note of signals from now on."""
        self._cooperative = True

    def request(self) -> None:
        """Ask to stop, as Ctrl-C does."""
        if not self.count:
            self._first = time.monotonic()
        self.count += 1

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Take note of a signal.

        Raises:
            KeyboardInterrupt: `cooperate` was not called yet, or somebody insists: what runs does not look.
        """
        self.request()
        self.terminated |= signum == signal.SIGTERM
        insists = self.count >= _INSISTS and time.monotonic() - self._first > _PATIENCE
        if insists or not self._cooperative:
            raise KeyboardInterrupt


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Let Ctrl-C and SIGTERM reach a `StopRequest` inside the `with`.

    A handler of the caller's own stays as it is, and outside the main thread nothing changes.
    """
    stop = StopRequest()
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in usual.items():
                if signal.getsignal(signum) == handler:
                    before[signum] = signal.signal(signum, stop.handle)
        yield stop
    finally:
        for signum, handler in before.items():
            if signal.getsignal(signum) == stop.handle:
                signal.signal(signum, handler)


def ignore_ctrl_c() -> None:
    """Ignore Ctrl-C from now on: this process has nothing left to do but to show how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def exit_on_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the process at once inside the `with`, with one line, while nothing has begun.

    Libraries swallow a KeyboardInterrupt that comes while they are imported, and the study would begin all the same.
    """
    main = threading.current_thread() is threading.main_thread()
    usual = signal.getsignal(signal.SIGINT)
    ours = main and usual == signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _exit)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, usual)


def _exit(signum: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted before the study started\n")
    os._exit(128 + signum)
