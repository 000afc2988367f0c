"""`lstm-tune explain`: what took how much off the MSE, what each input is worth, what came of the advice."""

from __future__ import annotations

import json
import sys
import time as clock
from typing import Annotated

import typer

from lstm_tune.cli import options as shared
from lstm_tune.cli.console import make_console, print_line
from lstm_tune.cli.tune_command import STARTED
from lstm_tune.errors import UsageError
from lstm_tune.utils.duration import parse_duration
from lstm_tune.utils.escaping import shell


def explain(
    run: shared.Run,
    inputs: Annotated[bool, typer.Option("--inputs", help="What each input is worth, not the steps.")] = False,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Where the data of the run are, if they were moved.", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Trainings of each step; 3 at least.")] = 3,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="Limit: 90s, 10m, 1h30m; what is done by then is kept.")
    ] = "10m",
    advice: Annotated[bool, typer.Option("--advice", help="What the advised changes do, not the steps.")] = False,
    as_json: shared.Json = False,
) -> None:
    """Show which change took how much off the plain LSTM's MSE.

    With --advice: what the changes that the findings advise do. With --inputs: what each input is worth.
    """
    seconds = parse_duration(timeout)
    if inputs and advice:
        raise UsageError("--inputs and --advice are two things to measure; ask for one at a time")
    from lstm_tune.cli.input_table import show_inputs
    from lstm_tune.cli.waterfall_table import show_advice, show_waterfall, telling
    from lstm_tune.pipeline import saved_run
    from lstm_tune.pipeline.out_of_date import read_result
    from lstm_tune.utils.process import keep_freed_memory

    keep_freed_memory()
    console = make_console(stderr=as_json)
    try:
        with telling(console, quiet=as_json) as tell:
            left = seconds if not seconds else max(1.0, seconds - (clock.monotonic() - STARTED))
            if inputs:
                record = saved_run.inputs(run, data=data, timeout=left, say=tell)
            else:
                record = saved_run.explain(run, data=data, seeds=seeds, timeout=left, advice=advice, say=tell)
    except KeyboardInterrupt:
        print_line(f"stopped; what was trained is kept. To go on: lstm-tune {' '.join(map(shell, sys.argv[1:]))}")
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(record, ensure_ascii=False, allow_nan=False))
    elif advice:
        show_advice(console, record, (read_result(run) or {}).get("next"))
    else:
        (show_inputs if inputs else show_waterfall)(console, record)
