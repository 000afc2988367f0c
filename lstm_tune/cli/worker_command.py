"""`lstm-tune worker`: takes part in a study that another process coordinates."""

from __future__ import annotations

import time as clock
from typing import Annotated

import typer

from lstm_tune.cli import options as shared
from lstm_tune.cli.console import make_console, make_progress, print_line, quick_imports
from lstm_tune.cli.options import parse_workers
from lstm_tune.storage.urls import check_file_there, or_of_environment
from lstm_tune.utils.duration import parse_duration


def worker(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.", show_default=False)],
    data: shared.Data,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL|FILE", help="Database of the study; default: OPTUNA_STORAGE.", show_default=False),
    ] = None,
    workers: Annotated[str, typer.Option(metavar="N|auto", help="Processes; auto: one per core.")] = "auto",
    until: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Take no further trial after this time, e.g. 55m.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Take part in a study that tune coordinates, from any machine.

    All options come from the study; trials are taken until none is left.
    """
    seconds = None if until is None else parse_duration(until, "--for")
    number = parse_workers(workers, repeatable=False)
    named = or_of_environment(storage)
    if named is not None and named.endswith((".journal", ".log")):
        check_file_there(named)  # at once: imports take seconds
    _import_packages()
    import optuna

    from lstm_tune.pipeline.worker import run
    from lstm_tune.utils.process import keep_freed_memory
    from lstm_tune.utils.signals import ignore_ctrl_c, stop_on_signals
    from lstm_tune.utils.text import counted

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    keep_freed_memory()
    began = clock.monotonic()
    with stop_on_signals() as stop:
        progress = make_progress(make_console(stderr=True), quiet=quiet)
        try:
            taken = run(study, data, storage, number, seconds, stop, progress)
        except KeyboardInterrupt:
            ignore_ctrl_c()
            print_line("stopped; running trials were given back")
            raise typer.Exit(0 if stop.terminated else 130) from None
    if not quiet:
        passed = clock.monotonic() - began
        why = "no further one is left" if seconds is None or passed < seconds else "the time is over"
        print_line(f"{counted(taken, 'trial')} in {passed:.0f} s; {why}")


def _import_packages() -> None:
    """Import what takes long; Ctrl-C meanwhile ends the process, since nothing has begun."""
    from lstm_tune.utils.signals import exit_on_ctrl_c

    with exit_on_ctrl_c():
        from lstm_tune.workers import processes

        processes.prepare()  # it imports torch while we do
        with quick_imports():
            import lstm_tune.pipeline.worker  # noqa: F401
