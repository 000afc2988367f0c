"""Test error of `lstm_tune.tune` on public series, beside what others have published for the same series and split.

    python benchmarks/quality/accuracy.py --data DIR [--only airline,ETTh1-OT] [--seeds 0,1,2] [--out A.json]
    python benchmarks/quality/accuracy.py --show A.json,B.json

Prints a table for people and, as its last line, the same as JSON. The published figures are in `published.csv`. Exit
status: 0 done; 1 a naive forecast does not have its known score, so the series or the scored points are not those of
the published figures; 2 wrong usage, or a file is missing.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import numpy as np
import optuna
import pandas as pd
from common import machine, show_machine, wide_console
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import lstm_tune
from lstm_tune.errors import LstmTuneError, UsageError
from lstm_tune.utils.atomic_files import write_json
from lstm_tune.utils.duration import parse_duration
from lstm_tune.utils.process import keep_freed_memory

HERE = Path(__file__).resolve().parent
DEFAULT_DATA = Path("data")
PUBLISHED = HERE.parent / "published.csv"
HORIZONS = (96, 192, 336, 720)
ETT_SPLIT = (8640, 2880, 2880)
ETT_COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
KNOWN_TOLERANCE = 2e-3  # relative; the known scores are rounded to three or four digits
WEEK = 7

Scores = dict[str, float]
DOWNLOADS = {
    "ETTh1.csv": "GitHub, repository zhouhaoyi/ETDataset, folder ETT-small",
    "ETTh2.csv": "GitHub, repository zhouhaoyi/ETDataset, folder ETT-small",
    "airline-passengers.csv": "GitHub, repository jbrownlee/Datasets",
    "household_power_daily_sum.csv": (
        "UCI Machine Learning Repository, 'Individual household electric power consumption': fill each gap with the "
        "value 24 hours earlier, add the minutes of each day up"
    ),
    "beijing_pm25.csv": "UCI Machine Learning Repository, 'Beijing PM2.5 Data'",
}


def as_it_is(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def as_in_the_tutorial(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the first day, which has no value, and write 0 for each missing value, as for the published figure.

    With missing values left out, as `lstm_tune` does by itself, persistence scores 23.66 and not 26.56.
    """
    frame = frame.iloc[24:].reset_index(drop=True)
    return frame.assign(**{"pm2.5": frame["pm2.5"].fillna(0)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One run's error and those of the forecasts that need no LSTM, on the same points."""

    ours: float
    simple: Scores


def on_all_windows(result: lstm_tune.Result, cell: Cell, frame: pd.DataFrame) -> Measured:
    """Return the scores of `result.json`: every test window counts."""
    baselines = result.to_dict()["baselines"]
    if cell.metric == "scaled_mse":
        simple = {name: b["test_mse_scaled"] for name, b in baselines.items()}
        return Measured(ours=result.test.mse_scaled, simple=simple)
    assert isinstance(result.test.rmse, float)  # cells in RMSE have one target
    return Measured(ours=result.test.rmse, simple={name: math.sqrt(b["test_mse"]) for name, b in baselines.items()})


def on_standard_weeks(result: lstm_tune.Result, cell: Cell, frame: pd.DataFrame) -> Measured:
    """Score only the test windows that begin on a Sunday, from the forecast.csv of the run.

    Persistence, the last week and the week 364 days ago are scored on the same days.
    """
    with tempfile.TemporaryDirectory() as folder:
        result.save(folder)
        forecast = pd.read_csv(Path(folder) / "forecast.csv", parse_dates=["time"])
    times = forecast["time"].to_numpy().reshape(-1, WEEK)
    sundays = pd.DatetimeIndex(times[:, 0]).day_of_week == 6
    ours = forecast["forecast"].to_numpy().reshape(-1, WEEK)[sundays]
    values = pd.Series(frame[cell.targets[0]].to_numpy(), index=pd.to_datetime(frame["date"]))
    days = times[sundays]
    assert days.shape[0] == cell.split[2] // WEEK, f"{days.shape[0]} standard weeks"

    def at(shifted: np.ndarray) -> np.ndarray:
        return values.loc[shifted.reshape(-1)].to_numpy().reshape(shifted.shape)

    def rmse(predicted: np.ndarray) -> float:
        return float(np.sqrt(np.mean((predicted - at(days)) ** 2)))

    day = np.timedelta64(1, "D")
    simple = {
        "persistence": rmse(at(days[:, :1] - day)),
        "last week": rmse(at(days - 7 * day)),
        "week of last year": rmse(at(days - 364 * day)),
    }
    return Measured(ours=rmse(ours), simple=simple)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One series, target, horizon and split: a line of the table."""

    name: str
    dataset: str  # with `target` and `horizon` the key in published.csv
    file: str
    targets: tuple[str, ...]
    target: str
    horizon: int
    split: tuple[int, int, int]  # rows
    metric: str  # scaled_mse: by the train rows' standard deviation; rmse: in the series' own unit
    known: Mapping[str, float] = field(default_factory=dict)  # scores of the naive forecasts on the right points
    past: tuple[str, ...] = ()  # covariates that the published models used
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = as_it_is
    measure: Callable[[lstm_tune.Result, Cell, pd.DataFrame], Measured] = on_all_windows

    def __post_init__(self) -> None:
        if self.metric not in ("scaled_mse", "rmse"):
            raise ValueError(f"metric must be scaled_mse or rmse, but is {self.metric!r}")


def ett_cells(dataset: str, target: str, persistence: Sequence[float]) -> list[Cell]:
    return [
        Cell(
            name=f"{dataset}-{target}-{horizon}",
            dataset=dataset,
            file=f"{dataset}.csv",
            targets=ETT_COLUMNS if target == "all" else (target,),
            target=target,
            horizon=horizon,
            split=ETT_SPLIT,
            metric="scaled_mse",
            known={"persistence": score},
        )
        for horizon, score in zip(HORIZONS, persistence, strict=True)
    ]


CELLS = (
    *ett_cells("ETTh1", "OT", (0.0693, 0.0920, 0.1133, 0.1292)),
    *ett_cells("ETTh2", "OT", (0.2955, 0.3374, 0.3899, 0.4366)),
    *ett_cells("ETTh1", "all", (1.294, 1.325, 1.330, 1.335)),
    *ett_cells("ETTh2", "all", (0.432, 0.534, 0.597, 0.594)),
    Cell(
        name="airline",
        dataset="airline",
        file="airline-passengers.csv",
        targets=("Passengers",),
        target="Passengers",
        horizon=1,
        split=(84, 12, 48),
        metric="rmse",
        known={"persistence": 48.04},
    ),
    Cell(
        name="household-power",
        dataset="household-power",
        file="household_power_daily_sum.csv",
        targets=("Global_active_power",),
        target="Global_active_power",
        horizon=WEEK,
        split=(953, 161, 322),  # the 322 rows are 46 weeks from Sunday 2010-01-03 on; the six after them are left out
        metric="rmse",
        known={"persistence": 511.886, "last week": 469.389, "week of last year": 465.294},
        measure=on_standard_weeks,
    ),
    Cell(
        name="beijing",
        dataset="beijing",
        file="beijing_pm25.csv",
        targets=("pm2.5",),
        target="pm2.5",
        horizon=1,
        split=(7008, 1752, 35040),  # the first two are the first year
        metric="rmse",
        known={"persistence": 26.559},
        past=("DEWP", "TEMP", "PRES", "Iws", "Is", "Ir"),
        prepare=as_in_the_tutorial,
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A published figure."""

    model: str
    value: float
    protocol: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A cell's line in the table; `ours` is the mean over the seeds."""

    cell: str
    metric: str
    ours: float
    sd: float | None
    seeds: dict[int, float]
    simple: Scores
    best_simple: str
    published: dict[str, float]
    best_published: str
    protocol: str  # of the best published figure: which test points it covers
    ratio: float  # ours / best published, in `metric`
    rank: int  # among the published models: 1 is below all of them
    trials: list[int]
    seconds: list[float]
    wrong: list[str]  # naive scores that differ from the known ones


def read_published() -> dict[tuple[str, str, int], list[Published]]:
    """Return the published figures by data set, target and horizon."""
    table: dict[tuple[str, str, int], list[Published]] = {}
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            key = line["dataset"], line["target"], int(line["horizon"])
            figure = Published(model=line["model"], value=float(line["value"]), protocol=line["protocol"])
            table.setdefault(key, []).append(figure)
    return table


def chosen_cells(only: str | None) -> list[Cell]:
    """Return the cells whose name is, or begins with, one of the names given (by commas).

    Raises:
        UsageError: a name fits none.
    """
    if only is None:
        return list(CELLS)
    chosen: list[Cell] = []
    for name in only.split(","):
        hits = [c for c in CELLS if c.name == name] or [c for c in CELLS if c.name.startswith(name)]
        if not hits:
            raise UsageError(f"no cell is called {name!r}; known: {', '.join(c.name for c in CELLS)}")
        chosen += [c for c in hits if c not in chosen]
    return chosen


def read_frame(cell: Cell, folder: Path) -> pd.DataFrame:
    """Return the cell's data.

    Raises:
        UsageError: the file is missing; says where to get it.
    """
    path = folder / cell.file
    if not path.is_file():
        raise UsageError(
            f"{path} is missing; it can be downloaded from: {DOWNLOADS[cell.file]}; or pass another --data"
        )
    return cell.prepare(pd.read_csv(path))


def wrong_scores(cell: Cell, simple: Scores) -> list[str]:
    """Return the scores of naive forecasts that differ from the known ones."""
    return [
        f"{name} scores {simple[name]:.5g} and not {value:g}"
        for name, value in cell.known.items()
        if not math.isclose(simple[name], value, rel_tol=KNOWN_TOLERANCE)
    ]


def run_cell(
    cell: Cell, frame: pd.DataFrame, published: Sequence[Published], seeds: Sequence[int], **budget: Any
) -> tuple[Row, dict[str, Any]]:
    """Tune once for each seed; return the line of the table and the environment that the last run names."""
    runs: list[Measured] = []
    trials, seconds = [], []
    for seed in seeds:
        began = time.monotonic()
        result = lstm_tune.tune(
            frame,
            target=list(cell.targets),
            horizon=cell.horizon,
            past=cell.past,
            split=cell.split,
            seed=seed,
            **budget,
        )
        seconds.append(round(time.monotonic() - began, 1))
        runs.append(cell.measure(result, cell, frame))
        trials.append(result.to_dict()["study"]["n_trials"])  # without those in the queue
        print(f"{cell.name} seed {seed}: {runs[-1].ours:.5g} in {seconds[-1]:.0f} s", file=sys.stderr, flush=True)
    env: dict[str, Any] = result.to_dict()["env"]
    ours = statistics.fmean(r.ours for r in runs)
    simple = runs[0].simple
    best = min(published, key=lambda p: p.value)
    row = Row(
        cell=cell.name,
        metric=cell.metric,
        ours=ours,
        sd=statistics.stdev(r.ours for r in runs) if len(runs) > 1 else None,
        seeds={seed: r.ours for seed, r in zip(seeds, runs, strict=True)},
        simple=simple,
        best_simple=min(simple, key=simple.__getitem__),
        published={p.model: p.value for p in published},
        best_published=best.model,
        protocol=best.protocol,
        ratio=ours / best.value,
        rank=1 + sum(p.value < ours for p in published),
        trials=trials,
        seconds=seconds,
        wrong=wrong_scores(cell, simple),
    )
    return row, env


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Return the notes below the table."""
    return {
        "mean_rank": statistics.fmean(r.rank for r in rows),
        "mean_published_models": statistics.fmean(len(r.published) for r in rows),
        "geometric_mean_ratio": statistics.geometric_mean(r.ratio for r in rows),
    }


def report(rows: Sequence[Row], settings: Mapping[str, Any], env: Mapping[str, Any]) -> dict[str, Any]:
    """Return all results as one JSON object."""
    return {
        "settings": dict(settings),
        "machine": machine(),
        "versions": env["versions"],
        "threads": env["threads"],
        **summary(rows),
        "rows": [asdict(r) for r in rows],
    }


def show(console: Console, rows: Sequence[Row], found: Mapping[str, Any]) -> None:
    """Print the table for people."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("cell")
    table.add_column("metric")
    for title in ("ours", "best simple forecast", "best published", "ratio", "rank", "trials", "seconds"):
        table.add_column(title, justify="right")
    for row in rows:
        ours = f"{row.ours:.4g}" + ("" if row.sd is None else f" ± {row.sd:.2g}")
        table.add_row(
            row.cell,
            row.metric.replace("_", " "),
            ours,
            f"{row.simple[row.best_simple]:.4g} {row.best_simple}",
            f"{row.published[row.best_published]:.4g} {row.best_published}",
            f"{row.ratio:.3f}",
            f"{row.rank} of {len(row.published) + 1}",
            ", ".join(map(str, row.trials)),
            ", ".join(f"{s:.0f}" for s in row.seconds),
        )
    console.print(table)
    console.print("ratio: ours over the best published, in the metric named; rank: ours among the published, 1 is best")
    console.print("on which test points each published figure was taken: column protocol of published.csv")
    console.print(
        f"mean rank {found['mean_rank']:.2f} among ours and {found['mean_published_models']:.1f} published models; "
        f"geometric mean of the ratios {found['geometric_mean_ratio']:.3f}"
    )
    show_machine(console, found["machine"], found["versions"])
    for row in rows:
        for text in row.wrong:
            console.print(f"{row.cell}: {text}: the points are not those of the published figures", style="bold red")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Test error of lstm_tune.tune beside published figures.")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help="default: ./data")
    parser.add_argument("--only", metavar="NAMES", help="cells, by name or its beginning, with commas between")
    parser.add_argument("--seeds", default="0", metavar="S,S,…", help="one study for each; default 0")
    parser.add_argument("--trials", type=int, metavar="N", help="trials of each study")
    parser.add_argument("--timeout", metavar="TIME", help="limit for each study; with neither, 50 trials in 10m")
    parser.add_argument("--space", default="default", metavar="NAME|FILE")
    parser.add_argument("--folds", type=int, default=3, metavar="K")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="written anew after each cell")
    parser.add_argument(
        "--show",
        metavar="FILES",
        help="what earlier runs on one machine wrote, in one table; runs nothing",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cells asked for; return the exit status."""
    args = arguments(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    keep_freed_memory()
    published = read_published()
    rows: list[Row] = []
    try:
        if args.show is not None:
            parts = [json.loads(Path(name).read_text(encoding="utf-8")) for name in args.show.split(",")]
            rows = list({row["cell"]: Row(**row) for part in parts for row in part["rows"]}.values())
            found = parts[0] | summary(rows) | {"rows": [asdict(r) for r in rows]}
            show(wide_console(), rows, found)
            print(json.dumps(found, allow_nan=False))
            return 1 if any(row.wrong for row in rows) else 0
        cells = chosen_cells(args.only)
        seeds = [int(s) for s in args.seeds.split(",")]
        budget = {
            "n_trials": args.trials,
            "timeout": None if args.timeout is None else parse_duration(args.timeout),
            "space": args.space,
            "folds": args.folds,
            "device": args.device,
        }
        frames = {cell.file: read_frame(cell, args.data) for cell in cells}  # reports a missing file before any work
        for cell in cells:
            figures = published[cell.dataset, cell.target, cell.horizon]
            row, env = run_cell(cell, frames[cell.file], figures, seeds, **budget)
            rows.append(row)
            found = report(rows, budget | {"seeds": seeds}, env)
            if args.out is not None:
                write_json(args.out, found)
    except (LstmTuneError, ValueError, OSError) as error:
        print(f"accuracy: {error}", file=sys.stderr)
        return 2
    show(wide_console(), rows, found)
    print(json.dumps(found, allow_nan=False))
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
