"""The `lstm-tune` command line: each subcommand is one call of the API; heavy imports wait until they are needed."""

from __future__ import annotations

import gc
import io
import json
import sys
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_tune.cli.console import make_console, make_progress, say
from lstm_tune.cli.option_parsers import parse_duration, parse_workers, split_columns
from lstm_tune.errors import LstmTuneError, UsageError

if TYPE_CHECKING:
    from lstm_tune.evaluation.score import Score
    from lstm_tune.report.result import Result

_LONGEST = 4000  # characters of an error: names may be of any length
_STARTED = clock.monotonic()  # imports count towards --timeout

app = typer.Typer(
    name="lstm-tune",
    help="The best LSTM for your time series in the time you have, an honest test MSE, and why it was high.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
spaces_app = typer.Typer(help="The search-space presets: list them, show one, check a file.", no_args_is_help=True)
app.add_typer(spaces_app, name="spaces")

_DATA = typer.Argument(metavar="DATA", help="A CSV, Parquet or Feather file, or example:NAME.", show_default=False)
_RUN = typer.Argument(metavar="RUN", help="The run folder that tune wrote.", show_default=False)


@app.command()
def tune(
    data: Annotated[str, _DATA],
    target: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="Column to forecast; may be repeated.")
    ] = None,
    time: Annotated[str | None, typer.Option(metavar="COL", help="Time column; found where it is obvious.")] = None,
    id: Annotated[
        str | None, typer.Option("--id", metavar="COL", help="Column that names the series (long format).")
    ] = None,
    horizon: Annotated[int, typer.Option(metavar="H", help="Rows to forecast at once.")] = 1,
    past: Annotated[
        list[str] | None, typer.Option(metavar="COLS", help="Covariates known up to now, by commas.")
    ] = None,
    future: Annotated[list[str] | None, typer.Option(metavar="COLS", help="Covariates known into the future.")] = None,
    calendar: Annotated[
        bool | None, typer.Option("--calendar/--no-calendar", help="Hour, weekday and season as covariates.")
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="TRAIN,VAL,TEST", help="Rows, or fractions that add up to 1.")
    ] = "0.7,0.1,0.2",
    folds: Annotated[int, typer.Option(metavar="K", help="Rolling-origin validation blocks.")] = 3,
    space: Annotated[str, typer.Option(metavar="NAME|FILE", help="Search space: a preset or a TOML file.")] = "default",
    trials: Annotated[int | None, typer.Option(metavar="N", help="Trials of the whole study.")] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Limit for everything: 90s, 10m, 1h30m. [neither: 10m, 50 trials at most]",
        ),
    ] = None,
    workers: Annotated[
        str, typer.Option(metavar="N|auto", help="Processes that share the trials; auto: 1 with --seed.")
    ] = "auto",
    seed: Annotated[
        int | None,
        typer.Option(metavar="S", help="The same seed gives the same result, with one worker. [default: 0]"),
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    sampler: Annotated[str, typer.Option(help="tpe, random, gp, cmaes or grid.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="median, none, halving, hyperband or wilcoxon.")] = "median",
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the study.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL|FILE", help="Database or .journal file; default: one in the folder."),
    ] = None,
    retrain_seeds: Annotated[
        int,
        typer.Option(metavar="N", help="Times each winner is retrained; 1: the best alone."),
    ] = 3,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder. [default: runs/NAME]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study in the run folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Find the best LSTM, retrain it, score it once on rows that no trial has seen, and save it."""
    seconds = None if timeout is None else parse_duration(timeout)
    number = parse_workers(workers, repeatable=seed is not None)
    from lstm_tune.utils.signals import ignore, leaving, watched

    with leaving():
        from lstm_tune.utils.process import available_cores
        from lstm_tune.workers import processes

        if processes.pick_workers(number, cores=available_cores(), device=device, n_trials=trials) > 1:
            processes.prepare()  # it imports torch while we do
        gc.disable()  # collecting garbage takes a quarter of the time of these imports
        import optuna

        from lstm_tune.cli.result_table import show_result
        from lstm_tune.data.split import parse_split
        from lstm_tune.pipeline import tune as api
        from lstm_tune.report.run_folder import default_folder, run_name
        from lstm_tune.storage.urls import mask_argument
        from lstm_tune.utils.escaping import shell
        from lstm_tune.utils.process import keep_freed_memory

        gc.enable()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the display says how a trial ended
    console = make_console(stderr=as_json)
    folder = out or default_folder(study or run_name(data, target or [], horizon), resume=resume)
    keep_freed_memory()
    result: Result | None
    stopped: KeyboardInterrupt | None = None
    with watched() as seen:
        try:
            result = api.tune(
                data,
                target=target or None,
                time=time,
                id=id,
                horizon=horizon,
                past=split_columns(past),
                future=split_columns(future),
                calendar=calendar,
                split=parse_split(split),
                folds=folds,
                space=space,
                n_trials=trials,
                timeout=seconds,
                workers=number,
                seed=seed or 0,
                precision=precision,
                device=device,
                sampler=sampler,
                pruner=pruner,
                study_name=study,
                storage=storage,
                retrain_seeds=retrain_seeds,
                out=folder,
                resume=resume,
                progress=make_progress(console, quiet=quiet or as_json),
                began=_STARTED,
            )
        except KeyboardInterrupt as error:
            ignore()  # what is left takes no time, and the exit status counts
            stopped, result = error, getattr(error, "result", None)
        if result is not None and as_json:
            print(json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False))
        elif result is not None and not quiet:
            show_result(console, result.to_dict(), str(folder))
        if stopped is not None:
            again = [mask_argument(a) for a in sys.argv[1:] if a != "--resume"]
            if out is None:
                again += ["--out", str(folder)]
            words = " ".join(shell(a) for a in again)
            say(f"stopped; all finished trials are kept. To go on: lstm-tune {words} --resume")
            raise typer.Exit(seen.exit_status) from None


@app.command()
def diagnose(
    data: Annotated[str, _DATA],
    target: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="Column to forecast; may be repeated.")
    ] = None,
    time: Annotated[str | None, typer.Option(metavar="COL", help="Time column; found where it is obvious.")] = None,
    id: Annotated[
        str | None, typer.Option("--id", metavar="COL", help="Column that names the series (long format).")
    ] = None,
    horizon: Annotated[int, typer.Option(metavar="H", help="Rows to forecast at once.")] = 1,
    past: Annotated[
        list[str] | None, typer.Option(metavar="COLS", help="Covariates known up to now, by commas.")
    ] = None,
    future: Annotated[list[str] | None, typer.Option(metavar="COLS", help="Covariates known into the future.")] = None,
    split: Annotated[
        str, typer.Option(metavar="TRAIN,VAL,TEST", help="Rows, or fractions that add up to 1.")
    ] = "0.7,0.1,0.2",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Say what in the data makes an LSTM's MSE high, in seconds, without training one."""
    from lstm_tune.cli.diagnosis_table import show_diagnosis
    from lstm_tune.data.split import parse_split
    from lstm_tune.diagnosis.data_findings import diagnose as look

    found = look(
        data,
        target=target or None,
        horizon=horizon,
        time=time,
        id=id,
        past=split_columns(past),
        future=split_columns(future),
        split=parse_split(split),
    ).to_dict()
    if as_json:
        print(json.dumps(found, ensure_ascii=False, allow_nan=False))
    else:
        show_diagnosis(make_console(), found)


@app.command()
def predict(
    run: Annotated[Path, _RUN],
    data: Annotated[str, _DATA],
    out: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the forecast there.")] = None,
) -> None:
    """Forecast what follows the last row of DATA."""
    from lstm_tune.pipeline import tune as api
    from lstm_tune.utils.atomic_files import atomic_write
    from lstm_tune.utils.escaping import cell

    forecast = api.load(run).predict(data)
    if not any(forecast["series"]):
        forecast = forecast.drop(columns="series")
    else:
        forecast["series"] = forecast["series"].map(cell)
    forecast = forecast.rename(columns=cell)
    if out is None:
        print(forecast.to_csv(index=False, float_format="%.7g"), end="")
        return
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"cannot write {str(out)!r}: --out must name a file in a folder that exists")
    try:
        with atomic_write(out) as beside:
            forecast.to_csv(beside, index=False, float_format="%.7g")
    except OSError as error:
        raise UsageError(f"cannot write {str(out)!r}: {error.strerror}; choose another --out") from None
    say(f"{len(forecast)} rows written to {out}")


@app.command()
def evaluate(
    run: Annotated[Path, _RUN],
    data: Annotated[str, _DATA],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Score a saved model on other rows, beside the naive forecasts."""
    from lstm_tune.cli.result_table import show_scores
    from lstm_tune.pipeline import tune as api

    model = api.load(run)
    scores = {name: _score_record(s, model.spec.targets) for name, s in model.evaluate(data).items()}
    if as_json:
        print(json.dumps(scores, allow_nan=False))
    else:
        show_scores(make_console(), scores, model.spec.targets, model.shape.period)


@app.command()
def dashboard(
    study: Annotated[
        str, typer.Argument(metavar="RUN|STORAGE_URL", help="The run folder, or an Optuna storage.", show_default=False)
    ],
    port: Annotated[int, typer.Option(metavar="N", help="Port; a free one near it where it is taken.")] = 8080,
    writable: Annotated[
        bool, typer.Option("--writable", help="Let the dashboard change and delete; else it only reads.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(envvar="LSTM_TUNE_TOKEN", metavar="TOKEN", help="What visitors must give; none by default."),
    ] = None,
) -> None:
    """Open optuna-dashboard on a study, for this machine alone, while it runs or later."""
    from lstm_tune.dashboard.server import serve

    serve(study, port=port, writable=writable, token=token, say=say)


@app.command()
def report(run: Annotated[Path, _RUN]) -> None:
    """Write report.html again, from the files of the run folder."""
    from lstm_tune.report.page import write_report

    print(write_report(run))


@app.command()
def explain(
    run: Annotated[Path, _RUN],
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="The data of the run, where they were moved.", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Trainings of each step; 3 at least.")] = 3,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="Limit: 90s, 10m, 1h30m; what is done by then is kept.")
    ] = "10m",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Show the waterfall: which change took how much off the plain LSTM's MSE."""
    seconds = parse_duration(timeout)
    from lstm_tune.cli.waterfall_table import show_waterfall, telling
    from lstm_tune.pipeline import tune as api
    from lstm_tune.utils.escaping import shell
    from lstm_tune.utils.process import keep_freed_memory

    keep_freed_memory()
    console = make_console(stderr=as_json)
    try:
        with telling(console, quiet=as_json) as tell:
            left = seconds if not seconds else max(1.0, seconds - (clock.monotonic() - _STARTED))
            record = api.explain(run, data=data, seeds=seeds, timeout=left, say=tell)
    except KeyboardInterrupt:
        say(f"stopped; what was trained is kept. To go on: lstm-tune {' '.join(map(shell, sys.argv[1:]))}")
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(record, ensure_ascii=False, allow_nan=False))
    else:
        show_waterfall(console, record)


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
def spaces_show(name: Annotated[str, typer.Argument(metavar="NAME", help="A preset.")]) -> None:
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
        f"{file}: fine; searches {len(searched)} parameters ({', '.join(searched)}), "
        f"fixes {len(space.parameters) - len(searched)}"
    )


def main() -> None:
    """Run the command line; every error of ours is one line and an exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except LstmTuneError as error:
        line = " ".join(str(error).split())
        say(f"lstm-tune: {line if len(line) <= _LONGEST else line[:_LONGEST] + '…'}")
        sys.exit(error.exit_status)


def _score_record(score: Score, targets: tuple[str, ...]) -> dict[str, Any]:
    from lstm_tune.evaluation.score import per_target

    return {
        "mse": per_target(score.mse, targets),
        "rmse": per_target(tuple(m**0.5 for m in score.mse), targets),
        "mae": per_target(score.mae, targets),
        "r2": per_target(score.r2, targets),
        "mse_scaled": score.mse_scaled,
        "windows": score.windows,
    }
