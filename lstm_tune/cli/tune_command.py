"""`lstm-tune tune`: the options, the display while it runs, the tables at its end, and how a stop ends it."""

from __future__ import annotations

import json
import sys
import time as clock
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_tune.cli import options as shared
from lstm_tune.cli.console import make_console, make_progress, print_line, quick_imports
from lstm_tune.cli.options import parse_levels, parse_workers
from lstm_tune.cli.run_file import names_run_file, read_run_file
from lstm_tune.storage.urls import or_of_environment
from lstm_tune.utils.duration import parse_duration
from lstm_tune.utils.escaping import shell, split_columns

if TYPE_CHECKING:
    from lstm_tune.pipeline.options import TuneOptions
    from lstm_tune.report.result import Result

STARTED = clock.monotonic()  # imports count towards --timeout


@names_run_file
def tune(
    context: typer.Context,
    data: shared.Data,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            is_eager=True,
            callback=read_run_file,
            help="Options as in run.toml of a run folder; those of the command line win.",
            show_default=False,
        ),
    ] = None,
    target: shared.Target = None,
    time: shared.Time = None,
    id: shared.Id = None,
    horizon: shared.Horizon = 1,
    past: shared.Past = None,
    future: shared.Future = None,
    static: shared.Static = None,
    calendar: Annotated[
        bool | None, typer.Option("--calendar/--no-calendar", help="Hour, weekday and season as covariates.")
    ] = None,
    holidays: Annotated[
        str | None, typer.Option(metavar="COUNTRY", help="Public holidays as covariates: DE, DE-BY, US-CA.")
    ] = None,
    decimal: shared.Decimal = None,
    thousands: shared.Thousands = None,
    split: shared.SplitText = None,
    season: shared.Season = None,
    folds: Annotated[int, typer.Option(metavar="K", help="Rolling-origin validation blocks.")] = 3,
    metric: Annotated[
        str, typer.Option(help="mse, rmse, mae, mase, rmsse, wape or smape: what trials are judged by.")
    ] = "mse",
    space: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Search space: a preset or a TOML file.",
            autocompletion=shared.complete_preset,
        ),
    ] = "default",
    first: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Try another run's best configurations early.", show_default=False),
    ] = None,
    against: shared.Against = None,
    level: shared.Level = None,
    trials: Annotated[int | None, typer.Option(metavar="N", help="Trials of the whole study.")] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Total time limit, e.g. 90s, 10m, 1h30m. [default without --trials: 10m and at most 50 trials]",
        ),
    ] = None,
    workers: Annotated[
        str, typer.Option(metavar="N|auto", help="Worker processes; auto: one per core, 1 with --seed; 0: see worker.")
    ] = "auto",
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Workers are tasks of Ray: local, auto or ray://HOST:PORT."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="S", help="The same seed gives the same result, with one worker. [default: 0]"),
    ] = None,
    precision: Annotated[str, shared.word("auto", "fp32", "bf16")] = "auto",
    device: Annotated[str, shared.word("auto", "cpu", "cuda")] = "auto",
    sampler: Annotated[str, shared.word("tpe", "random", "gp", "cmaes", "grid")] = "tpe",
    pruner: Annotated[str, shared.word("median", "none", "halving", "hyperband", "wilcoxon")] = "median",
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the study.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL|FILE",
            help="Database or .journal file; default: OPTUNA_STORAGE, or a file in the run folder.",
        ),
    ] = None,
    retrain_seeds: Annotated[
        int, typer.Option(metavar="N", help="Times each member is retrained; 1: the best trial alone.")
    ] = 3,
    try_advice: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the time limit that tries what findings advise; 0: none.")
    ] = 0.1,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder. [default: runs/NAME]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study in the run folder.")] = False,
    apply: Annotated[
        str | None, typer.Option(metavar="RUN[:CODE]", help="Repeat that run with what its findings advise.")
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="As --resume; another machine that had the study is gone.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Find the best LSTM, test it once on unseen rows, and save it.

    A study of many configurations chooses it; the best ones are retrained on train and validation rows.
    """
    seconds = None if timeout is None else parse_duration(timeout)
    number = parse_workers(workers, repeatable=seed is not None)
    _import_packages(number if ray is None else 1, device, trials)
    from lstm_tune.pipeline.advice import apply_advice
    from lstm_tune.pipeline.options import TuneOptions
    from lstm_tune.report.run_folder import default_folder, run_name

    targets = split_columns(target)
    options = TuneOptions(
        target=targets,
        time=time,
        id=split_columns(id) or None,
        horizon=horizon,
        past=split_columns(past),
        future=split_columns(future),
        static=split_columns(static),
        calendar=calendar,
        holidays=holidays,
        decimal=decimal,
        thousands=thousands,
        split=split,
        season=season or (),
        folds=folds,
        metric=metric,
        space=space,
        first=first,
        against=against,
        level=parse_levels(level),
        n_trials=trials,
        timeout=seconds,
        workers=number,
        seed=seed or 0,
        precision=precision,
        device=device,
        sampler=sampler,
        pruner=pruner,
        study_name=study,
        storage=or_of_environment(storage),
        retrain_seeds=retrain_seeds,
        try_advice=try_advice,
        out=out,
        resume=resume,
        apply=apply,
        take_over=take_over,
        ray=ray,
    )
    options = apply_advice(options, _given(context))
    if options.out is None:
        folder = default_folder(study or run_name(data, options.target or (), options.horizon), resume=options.resume)
        options = replace(options, out=folder)
    assert options.folder is not None
    _run(data, options, options.folder, named=out is not None, quiet=quiet, as_json=as_json)


def _given(context: typer.Context) -> set[str]:
    """Return the names, in Python, of the options that the command line or the run file gives."""
    names = {"trials": "n_trials", "study": "study_name"}
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [
        name for name, source in sources.items() if source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")
    ]
    return {names.get(name, name) for name in given}


def _import_packages(workers: int | str, device: str, trials: int | None) -> None:
    """Import what takes long; Ctrl-C meanwhile ends the process, since nothing has begun."""
    from lstm_tune.utils.signals import exit_on_ctrl_c

    with exit_on_ctrl_c():
        from lstm_tune.utils.process import available_cores
        from lstm_tune.workers import processes
        from lstm_tune.workers.count import pick_workers

        if pick_workers(workers, cores=available_cores(), device=device, n_trials=trials) > 1:
            processes.prepare()  # it imports torch while we do
        with quick_imports():
            import lstm_tune.cli.result_table
            import lstm_tune.pipeline.tune  # noqa: F401


def _run(data: str, options: TuneOptions, folder: Path, *, named: bool, quiet: bool, as_json: bool) -> None:
    """Run the study, print what came of it, and end with the exit status of a stop if there was one."""
    import optuna

    from lstm_tune.cli.result_table import show_result
    from lstm_tune.pipeline.run_context import RunContext
    from lstm_tune.pipeline.tune import run
    from lstm_tune.search.budget import Clock
    from lstm_tune.utils.process import keep_freed_memory
    from lstm_tune.utils.signals import ignore_ctrl_c, stop_on_signals

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the display says how a trial ended
    keep_freed_memory()
    console = make_console(stderr=as_json)
    result: Result | None
    stopped = False
    with stop_on_signals() as stop:
        try:
            progress = make_progress(console, quiet=quiet or as_json)
            began = _began(options.seconds)
            time_limit = Clock(options.seconds, began, advice=options.try_advice, before=began - STARTED)
            result = run(data, RunContext(options=options, clock=time_limit, stop=stop, progress=progress))
        except KeyboardInterrupt as error:
            ignore_ctrl_c()  # what is left takes no time, and the exit status counts
            stopped, result = True, getattr(error, "result", None)
        if result is not None and as_json:
            print(json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False))
        elif result is not None and not quiet:
            show_result(console, result.to_dict(), str(folder))
        if stopped:
            print_line(f"stopped; all finished trials are kept. To go on: {_resume_command(folder, named=named)}")
            raise typer.Exit(stop.exit_status) from None


def _began(seconds: float | None) -> float:
    """Return when the time limit began to run: with this process, unless that leaves less than a second."""
    return STARTED if seconds is None else max(STARTED, clock.monotonic() - max(0.0, seconds - 1.0))


def _resume_command(folder: Path, *, named: bool) -> str:
    """Return the command line that continues this study, passwords masked."""
    from lstm_tune.storage.urls import mask_argument

    words = [mask_argument(a) for a in sys.argv[1:] if a not in ("--resume", "--take-over")]
    if not named:
        words += ["--out", str(folder)]
    return f"lstm-tune {' '.join(shell(word) for word in words)} --resume"
