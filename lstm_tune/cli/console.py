"""Where the commands print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from lstm_tune.search.progress import Progress


def say(text: str) -> None:
    """Print a line on stderr, whatever is in it."""
    from lstm_tune.utils.escaping import printable

    print(printable(text), file=sys.stderr, flush=True)


def make_console(*, stderr: bool = False) -> Console:
    """Return what tables are printed on."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    # A pipe has no width of its own; 80 columns would wrap the tables.
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=120)


def make_progress(console: Console, *, quiet: bool) -> Progress:
    """Return what shows how far a study is: a live display on a terminal, else lines."""
    from lstm_tune.cli.progress import LiveProgress, PlainProgress
    from lstm_tune.search.progress import Silent

    if quiet:
        return Silent()
    return LiveProgress(console) if console.is_terminal else PlainProgress()
