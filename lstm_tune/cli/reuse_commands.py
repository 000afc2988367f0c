"""The commands that train the model of a run again: `refit` and `backtest`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from lstm_tune.cli import options as shared
from lstm_tune.cli.console import make_console, print_line
from lstm_tune.errors import UsageError
from lstm_tune.utils import arguments
from lstm_tune.utils.escaping import shell, split_columns
from lstm_tune.utils.text import counted


def refit(
    run: shared.Run,
    data: shared.Data,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New run folder. [default: RUN-refit]", show_default=False)
    ] = None,
    device: Annotated[str, shared.word("auto", "cpu", "cuda")] = "auto",
    time: shared.Time = None,
    id: shared.Id = None,
    decimal: shared.Decimal = None,
    thousands: shared.Thousands = None,
) -> None:
    """Train the model of a run again on all rows of DATA.

    Nothing is searched: configurations, epochs, seeds and weights stay as they are. RUN is left as it is.
    """
    from lstm_tune.cli.waterfall_table import telling
    from lstm_tune.pipeline import saved_run
    from lstm_tune.utils.process import keep_freed_memory

    keep_freed_memory()
    console = make_console(stderr=True)
    with _nothing_if_stopped(), telling(console, quiet=False) as tell:
        folder, done = saved_run.refit(
            run,
            data,
            out,
            device=device,
            on_model=lambda done, asked: tell(f"refit: {done} of {asked} networks"),
            time=time,
            id=split_columns(id) or None,
            decimal=decimal,
            thousands=thousands,
        )
    rows = done.rows
    many = f"{counted(done.networks, 'network')} {'was' if done.networks == 1 else 'were'} trained again"
    print(f"{many} on {rows.rows:,} rows ({rows.start} to {rows.end}), {done.seconds:.0f} s")
    print(f"Written to {folder}; its test score is still that of {run}: no row is left to test it on.")
    print(f"Next: lstm-tune predict {shell(str(folder))} {shell(data)}")


def backtest(
    run: shared.Run,
    data: shared.Data,
    windows: Annotated[int, typer.Option(metavar="K", help="Cutoffs of each series.")] = 5,
    step: Annotated[
        int | None, typer.Option(metavar="H", help="Rows from one cutoff to the next. [default: the horizon]")
    ] = None,
    refit: Annotated[
        str, typer.Option(metavar="K|never", help="Refit at every K-th cutoff; never: the model as it is.")
    ] = "1",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the forecasts there: .csv, .tsv, .parquet or .feather.")
    ] = None,
    time: shared.Time = None,
    id: shared.Id = None,
    decimal: shared.Decimal = None,
    thousands: shared.Thousands = None,
    as_json: shared.Json = False,
) -> None:
    """Forecast from several cutoffs, with and without refits.

    Each forecast sees the rows up to its cutoff alone.
    """
    import json

    every = _refit_every(refit)
    arguments.whole("--windows", windows, 1)
    arguments.whole("--step", 1 if step is None else step, 1)
    from lstm_tune.cli.backtest_table import show_backtest, to_record
    from lstm_tune.cli.forecast_output import check_output, write_forecast
    from lstm_tune.cli.waterfall_table import telling
    from lstm_tune.pipeline import saved_run
    from lstm_tune.utils.process import keep_freed_memory

    check_output(out)
    keep_freed_memory()
    model = saved_run.load(run)
    with _nothing_if_stopped(), telling(make_console(stderr=True), quiet=as_json) as tell:
        found = model.backtest(
            data,
            n_windows=windows,
            step_size=step,
            refit=every,
            on_window=lambda done, asked: tell(f"backtest: {done} of {asked} windows"),
            time=time,
            id=split_columns(id) or None,
            decimal=decimal,
            thousands=thousands,
        )
    if out is not None:
        write_forecast(found.frame, [*found.scores, "y"], out)
        print_line(f"{counted(len(found.frame), 'row')} written to {out}")
    record = to_record(found, model.spec.targets)
    if as_json:
        print(json.dumps(record, ensure_ascii=False, allow_nan=False))
    else:
        show_backtest(make_console(), record, model.shape.period)


@contextlib.contextmanager
def _nothing_if_stopped() -> Iterator[None]:
    """End the command with 130 if the user stops what is done here, and say that no file was written."""
    try:
        yield
    except KeyboardInterrupt:
        print_line("stopped; nothing was written")
        raise typer.Exit(130) from None


def _refit_every(text: str) -> int:
    """Return the cutoffs from one refit to the next; 0: never.

    Raises:
        UsageError: it is neither a number nor "never".
    """
    if text == "never":
        return 0
    if not (text.isascii() and text.isdigit() and int(text)):
        raise UsageError(f"--refit must be never or a number of windows from 1 on, but is {text!r}")
    return int(text)
