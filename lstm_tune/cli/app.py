"""The `lstm-tune` command line: each command is one call of the API; heavy imports wait until they are needed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import lstm_tune
from lstm_tune.cli import options as shared
from lstm_tune.cli.console import make_console, print_line, print_message, print_warnings, quick_imports
from lstm_tune.cli.explain_command import explain
from lstm_tune.cli.help import PanelCommand
from lstm_tune.cli.reuse_commands import backtest, refit
from lstm_tune.cli.share_commands import export, log
from lstm_tune.cli.tune_command import tune
from lstm_tune.cli.usage_errors import show_usage_error
from lstm_tune.cli.worker_command import worker
from lstm_tune.errors import LstmTuneError
from lstm_tune.storage.urls import ENVIRONMENT
from lstm_tune.utils.escaping import split_columns
from lstm_tune.utils.text import counted

_LONGEST = 4000  # characters of an error: names may be of any length

app = typer.Typer(
    name="lstm-tune",
    help="The best LSTM for your time series in the time you have, an honest test MSE, and why it was high.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
spaces_app = typer.Typer(help="The search-space presets: list them, show one, check a file.", no_args_is_help=True)
app.add_typer(spaces_app, name="spaces")
app.command(cls=PanelCommand)(tune)
app.command(cls=PanelCommand)(worker)
app.command(cls=PanelCommand)(explain)
app.command(cls=PanelCommand)(refit)
app.command(cls=PanelCommand)(backtest)
app.command(cls=PanelCommand)(export)
app.command(cls=PanelCommand)(log)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"lstm-tune {lstm_tune.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The best LSTM for your time series in the time you have, an honest test MSE, and why it was high."""


@app.command(cls=PanelCommand)
def diagnose(
    data: shared.Data,
    target: shared.Target = None,
    time: shared.Time = None,
    id: shared.Id = None,
    horizon: shared.Horizon = 1,
    past: shared.Past = None,
    future: shared.Future = None,
    static: shared.Static = None,
    decimal: shared.Decimal = None,
    thousands: shared.Thousands = None,
    split: shared.SplitText = None,
    season: shared.Season = None,
    mse: Annotated[
        float | None, typer.Option("--mse", metavar="X", help="The MSE of a model of yours: what is it worth here?")
    ] = None,
    rmse: Annotated[
        float | None,
        typer.Option("--rmse", metavar="X", help="The RMSE of a model of yours, if you know that instead."),
    ] = None,
    scaled: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="minmax or standard, if it was computed on scaled values. [default: not]"),
    ] = None,
    as_json: shared.Json = False,
) -> None:
    """Find what in the data makes an LSTM's MSE high, in seconds.

    No LSTM is trained.
    """
    with quick_imports():
        from lstm_tune.cli.diagnosis_table import show_diagnosis
        from lstm_tune.diagnosis.data_findings import diagnose as look

    found = look(
        data,
        target=split_columns(target) or None,
        horizon=horizon,
        time=time,
        id=split_columns(id) or None,
        past=split_columns(past),
        future=split_columns(future),
        static=split_columns(static),
        decimal=decimal,
        thousands=thousands,
        split=split,
        season=season or (),
        mse=mse,
        rmse=rmse,
        scaled=scaled,
    ).to_dict()
    if as_json:
        print(json.dumps(found, ensure_ascii=False, allow_nan=False))
    else:
        show_diagnosis(make_console(), found)


@app.command(cls=PanelCommand)
def predict(
    run: shared.Run,
    data: shared.Data,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the forecast there: .csv, .tsv, .parquet or .feather.")
    ] = None,
    level: shared.Level = None,
    time: shared.Time = None,
    id: shared.Id = None,
    decimal: shared.Decimal = None,
    thousands: shared.Thousands = None,
) -> None:
    """Forecast what follows the last row of DATA."""
    with quick_imports():
        from lstm_tune.cli.forecast_output import check_output, to_text, write_forecast
        from lstm_tune.pipeline import saved_run

    check_output(out)
    model = saved_run.load(run)
    levels, ids = shared.parse_levels(level), split_columns(id) or None
    series = model.read(data, time=time, id=ids, decimal=decimal, thousands=thousands, keep_ahead=True)
    forecast = model.predict(series, level=levels)
    numbers = [name for name in forecast.columns if name not in ("time", "series", "step")]
    if out is None:
        print(to_text(forecast, numbers), end="")
    else:
        write_forecast(forecast, numbers, out)
        print_line(f"{counted(len(forecast), 'row')} written to {out}")


@app.command(cls=PanelCommand)
def evaluate(
    run: shared.Run,
    data: shared.Data,
    against: shared.Against = None,
    time: shared.Time = None,
    id: shared.Id = None,
    decimal: shared.Decimal = None,
    thousands: shared.Thousands = None,
    as_json: shared.Json = False,
) -> None:
    """Score a saved model on other rows, beside simple forecasts."""
    with quick_imports():
        from lstm_tune.cli.result_table import show_scores
        from lstm_tune.data.readers import check_there
        from lstm_tune.evaluation.model_labels import model_label
        from lstm_tune.pipeline import saved_run
        from lstm_tune.report.plain import to_plain
        from lstm_tune.training.model_card import members_of
        from lstm_tune.training.model_scores import rows_to_fit

    if against is not None:
        check_there(against, example="")
    model = saved_run.load(run)
    ids = split_columns(id) or None
    series = model.read(data, time=time, id=ids, decimal=decimal, thousands=thousands)
    found = model.evaluate(series, against=against)
    scores = to_plain(found)
    if as_json:
        print(json.dumps(scores, allow_nan=False))
    else:
        rows = rows_to_fit(model.trained, model.recipe, series, model.spec.series, model.scale)
        why = rows if isinstance(rows, str) else ""
        label = model_label(members_of(model.network, model.recipe))
        show_scores(make_console(), label, scores, model.spec.targets, model.shape.period, unfitted=why)


@app.command(cls=PanelCommand)
def dashboard(
    study: Annotated[
        str,
        typer.Argument(
            metavar="RUN|STORAGE",
            envvar=ENVIRONMENT,
            show_envvar=False,
            help="The run folder, or an Optuna storage; default: OPTUNA_STORAGE.",
            show_default=False,
        ),
    ],
    port: Annotated[int, typer.Option(metavar="N", help="Port; if it is taken, a free one near it.")] = 8080,
    writable: Annotated[
        bool, typer.Option("--writable", help="Let the dashboard change and delete; else it only reads.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(envvar="LSTM_TUNE_TOKEN", metavar="TOKEN", help="What visitors must give; none by default."),
    ] = None,
) -> None:
    """Open optuna-dashboard on a study, for this machine alone.

    The study may still be running.
    """
    from lstm_tune.dashboard.server import serve

    serve(study, port=port, writable=writable, token=token, print_line=print_line)


@app.command(cls=PanelCommand)
def examples() -> None:
    """List the real series that come with the package."""
    from rich.table import Table

    from lstm_tune.data.examples import examples as known

    table = Table.grid(padding=(0, 2))
    for name, example in known().items():
        table.add_row(f"example:{name}", example.says)
    make_console().print(table)


@app.command(cls=PanelCommand)
def report(run: shared.Run) -> None:
    """Write report.html again, from the files of the run folder."""
    from lstm_tune.report.page import write_report

    print(write_report(run))


@spaces_app.command("list")
def spaces_list() -> None:
    """List the presets."""
    from rich.table import Table

    from lstm_tune.search.space import load_space, presets

    table = Table.grid(padding=(0, 2))
    for name in presets():
        table.add_row(name, load_space(name).description)
    make_console().print(table)


@spaces_app.command("show")
def spaces_show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A preset.", autocompletion=shared.complete_preset, show_default=False)
    ],
) -> None:
    """Print a preset's file: a start for one's own."""
    from lstm_tune.search.space import load_space, presets

    load_space(name)
    path = presets().get(name) or Path(name)
    print(path.read_text(encoding="utf-8"), end="")


@spaces_app.command("check")
def spaces_check(file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file.")]) -> None:
    """Check a search-space file."""
    from lstm_tune.search.space import Fixed, load_space

    space = load_space(file)
    searched = [name for name, p in space.parameters.items() if not isinstance(p, Fixed)]
    print(
        f"{file}: fine; searches {counted(len(searched), 'parameter')} ({', '.join(searched)}), "
        f"fixes {len(space.parameters) - len(searched)}"
    )


@spaces_app.command("schema")
def spaces_schema(
    context: typer.Context,
    run: Annotated[bool, typer.Option("--run", help="Of run files, such as run.toml of a run folder.")] = False,
) -> None:
    """Print the JSON Schema of search-space files, for editors."""
    from lstm_tune.cli.run_file import run_file_schema
    from lstm_tune.search.space_schema import space_schema

    schema = space_schema()
    if run:
        schema = run_file_schema(context.parent.parent.command.commands["tune"], tune)  # type: ignore[union-attr]
    print(json.dumps(schema, indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command line; every error of ours is one line and an exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        with print_warnings(quiet="--quiet" in sys.argv):
            try:
                status = app(standalone_mode=False, prog_name="lstm-tune")
            finally:
                print(end="", flush=True)  # while an error can still be told
    except OSError as error:
        with contextlib.suppress(OSError):  # Python flushes once more when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # a reader such as `head` may leave whenever it likes
            what = repr(str(error.filename)) if error.filename else "the output"
            print_line(f"lstm-tune: {what}: {error.strerror or error}; what was finished is kept")
        sys.exit(1)
    except LstmTuneError as error:
        line = " ".join(str(error).split())
        print_message("lstm-tune: ", line if len(line) <= _LONGEST else line[:_LONGEST] + "…")
        sys.exit(error.exit_status)
    except MemoryError:
        remedy = "give it fewer rows or columns (a packed file may hold many), or more memory"
        print_line(f"lstm-tune: memory ran out; {remedy}")
        sys.exit(1)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what the parser of the command line raises has it
            raise
        show_usage_error(error)
        sys.exit(2)
    sys.exit(status or 0)
