"""The console of the commands: results on stdout, messages and progress on stderr."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lstm_tune.errors import LstmTuneWarning

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_tune.search.progress import Progress

_WIDE = 120  # columns of what is no terminal, unless COLUMNS says otherwise


def print_line(text: str) -> None:
    """Print a line on stderr, whatever is in it."""
    from lstm_tune.utils.escaping import printable

    print(printable(text), file=sys.stderr, flush=True)


def print_message(start: str, message: str) -> None:
    """Print a message of the package on stderr, with its options as they are typed, after what a line starts with."""
    from lstm_tune.utils.spelling import as_typed

    print_line(start + as_typed(message))


@contextlib.contextmanager
def print_warnings(*, quiet: bool = False) -> Iterator[None]:
    """Print the package's warnings on stderr, one line for each instead of Python's two; `quiet`: print none."""

    def show(message: Warning | str, category: type[Warning], *place: object) -> None:
        if not issubclass(category, LstmTuneWarning):
            usual(message, category, *place)  # type: ignore[arg-type]
        elif not quiet:
            print_message("note: ", str(message))

    with warnings.catch_warnings():
        usual = warnings.showwarning
        warnings.simplefilter("always", LstmTuneWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def make_console(*, stderr: bool = False) -> Console:
    """Return what tables are printed on."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    if console.is_terminal:
        return console
    asked = os.environ.get("COLUMNS", "")
    # A pipe has no width of its own; 80 columns would wrap the tables.
    return Console(stderr=stderr, highlight=False, width=int(asked) if asked.isdecimal() and int(asked) else _WIDE)


def make_progress(console: Console, *, quiet: bool) -> Progress:
    """Return what shows how far a study is: a live display on a terminal, else lines; `quiet`: assumptions alone."""
    from lstm_tune.cli.progress import LiveProgress, PlainProgress
    from lstm_tune.search.progress import Warnings

    if quiet:
        return Warnings()
    return LiveProgress(console) if console.is_terminal else PlainProgress()


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Collect no garbage while packages are imported: it would take a sixth of that time, and find none."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
