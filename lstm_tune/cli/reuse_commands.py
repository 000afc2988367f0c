"""The commands that train the model of a run again: `refit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_tune.cli import options as shared
from lstm_tune.cli.console import make_console, print_line
from lstm_tune.utils.escaping import shell, split_columns


def refit(
    run: shared.Run,
    data: shared.Data,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New run folder. [default: RUN-refit]", show_default=False)
    ] = None,
    time: shared.Time = None,
    id: shared.Id = None,
    decimal: shared.Decimal = None,
    thousands: shared.Thousands = None,
) -> None:
    """Train the model of a run again on all rows of DATA, without a search.

    Configurations, epochs, seeds and weights stay as they are; RUN is left as it is.
    """
    from lstm_tune.cli.waterfall_table import telling
    from lstm_tune.pipeline import saved_run
    from lstm_tune.utils.process import keep_freed_memory

    keep_freed_memory()
    console = make_console(stderr=True)
    try:
        with telling(console, quiet=False) as tell:
            folder, done = saved_run.refit(
                run,
                data,
                out,
                on_model=lambda done, asked: tell(f"refit: {done} of {asked} networks"),
                time=time,
                id=split_columns(id) or None,
                decimal=decimal,
                thousands=thousands,
            )
    except KeyboardInterrupt:
        print_line("stopped; nothing was written")
        raise typer.Exit(130) from None
    rows, many = done.rows, f"{done.networks} networks were trained again"
    print(f"{many} on {rows.rows:,} rows ({rows.start} to {rows.end}), {done.seconds:.0f} s")
    print(f"Written to {folder}; its test score is still that of {run}: no row is left to test it on.")
    print(f"Next: lstm-tune predict {shell(str(folder))} {shell(data)}")
