"""Memory and time as a series grows: one call of `tune` for each size, in a process of its own.

    python benchmarks/speed/scaling.py [--quick] [--horizon 24] [--out FILE.json]

Memory is the peak of the process minus its size after all imports and a first optimizer, minus the caller's own array.
"Growth" is the memory minus that of the smallest size, which has the same network and batches. Time is that of a
trial's training for each window that it trained on, and also with its setup and scoring. A row "1,000 x 1,000" means
1,000 series of 1,000 rows; compare its time with that of one series with as many rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROUNDS = 2  # trials; the first one is a warm-up for the second, which is timed
MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One size."""

    rows: int  # of a series
    series: int = 1
    source: str = "array"  # a float32 array, or a file: "parquet", "csv"
    lookback: int = 336


def points(quick: bool) -> list[Point]:
    """Return the sizes, the smallest first."""
    sizes = (10_000, 1_000_000) if quick else (10_000, 100_000, 1_000_000, 10_000_000)
    found = [Point(rows=rows) for rows in sizes]
    panel = 100 if quick else 1_000  # its series are too short for more than half of the lookback
    found += [Point(rows=1_000 * panel, lookback=168), Point(rows=1_000, series=panel, lookback=168)]
    return found + [Point(rows=sizes[-1], source=source) for source in ("parquet", "csv")]


def peak() -> float:
    """Return the most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would start at the parent's memory
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / MEGABYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE


def values(count: int) -> Any:
    """Return a seasonal series with noise, (count,) float32, made in pieces."""
    import numpy as np

    rng = np.random.default_rng(0)
    y = np.empty(count, dtype=np.float32)
    for a in range(0, count, 100_000):
        rows = np.arange(a, min(a + 100_000, count))
        y[rows] = 10 + np.sin(2 * np.pi * rows / 24) + 0.3 * rng.standard_normal(len(rows), dtype=np.float32)
    return y


def write(point: Point, folder: Path) -> Path | None:
    """Write the file for a size; return None if it needs no file."""
    import pandas as pd

    path = folder / f"series.{point.source}"
    if point.source == "parquet":
        pd.DataFrame({"y": values(point.rows)}).to_parquet(path)
    elif point.source == "csv":
        pd.DataFrame({"y": values(point.rows)}).to_csv(path, index=False)
    else:
        return None
    return path


def measure(point: Point, path: str | None, horizon: int) -> dict[str, Any]:
    """Run the study of one point in this process."""
    import optuna
    import pandas as pd
    import torch

    from lstm_tune.pipeline import tune as api
    from lstm_tune.search.trials import Trial
    from lstm_tune.utils.process import keep_freed_memory

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    keep_freed_memory()  # as the command does
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # loads what imports do not
    empty = peak()
    data: Any = path if path is not None else values(point.rows * point.series)
    owned = 0.0 if path is not None else data.nbytes / MEGABYTE
    options: dict[str, Any] = {}
    if point.series > 1:
        ids = [f"s{s:04d}" for s in range(point.series)]
        data = pd.DataFrame({"shop": pd.Categorical.from_codes(_repeat(point), ids), "y": data})
        options = {"id": "shop", "target": "y"}
    space = {
        "lookback": point.lookback,
        "patch": 24,
        "window_norm": "last",
        "hidden_units": 32,
        "dropout": 0.0,
        "batch_size": 64,
        "learning_rate": [1e-3, 5e-4],
        "epochs": 10,
        "patience": 10,
    }
    began = time.monotonic()
    first: list[float] = []

    class Watch(api.Silent):
        def epoch(self, number: int, stats: Any) -> None:
            first.append(time.monotonic() - began)

    result = api.tune(
        data, horizon=horizon, space=space, n_trials=ROUNDS, retrain_seeds=1, pruner="none", progress=Watch(), **options
    )
    trial = result.study.trials[-1]
    outcome = Trial.of(trial).completed()
    whole = (trial.datetime_complete - trial.datetime_start).total_seconds()
    return {
        **asdict(point),
        "raw": point.rows * point.series * 4 / MEGABYTE,
        "owned": owned,
        "over_empty": peak() - empty - owned,
        "first_epoch": first[0],
        "data_seconds": result.record["timing"]["seconds"]["data"],
        "test_seconds": result.record["timing"]["seconds"]["test"],
        "setup_seconds": outcome.setup_seconds,
        "microseconds": 1e6 * outcome.seconds / outcome.samples,
        "whole_microseconds": 1e6 * whole / outcome.samples,
    }


def _repeat(point: Point) -> Any:
    import numpy as np

    return np.repeat(np.arange(point.series, dtype=np.int16), point.rows)


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table for people."""
    from common import machine, show_machine, wide_console
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from lstm_tune.report.environment import versions

    console = wide_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("rows")
    titles = (
        "raw MB",
        "over empty MB",
        "growth / raw",
        "to first epoch s",
        "setup s",
        "test s",
        "us a window",
        "whole",
    )
    for title in titles:
        table.add_column(title, justify="right")
    for row in rows:
        name = f"{row['rows']:,}" if row["series"] == 1 else f"{row['series']:,} x {row['rows']:,}"
        growth = (row["over_empty"] - rows[0]["over_empty"]) / row["raw"]
        figures = (row["raw"], row["over_empty"], growth, row["first_epoch"], row["setup_seconds"], row["test_seconds"])
        table.add_row(
            f"{name} {row['source']}, {row['lookback']} back",
            *(f"{v:.1f}" for v in figures),
            *(f"{row[key]:.1f} ({row[key] / rows[0][key]:.2f})" for key in ("microseconds", "whole_microseconds")),
        )
    console.print(table)
    console.print("in brackets: over the first row; whole: with setup and scoring of the trial; windows of all folds")
    show_machine(console, machine(), versions())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every point; return the exit status."""
    parser = argparse.ArgumentParser(description="Memory and time as a series grows.")
    parser.add_argument("--quick", action="store_true", help="to a million rows")
    parser.add_argument("--horizon", type=int, default=24)
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.point is not None:
        print(json.dumps(measure(Point(**json.loads(args.point[0])), args.point[1] or None, args.horizon)))
        return 0
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for point in points(args.quick):
            path = write(point, Path(folder))
            command = [sys.executable, __file__, "--horizon", str(args.horizon)]
            command += ["--point", json.dumps(asdict(point)), "" if path is None else str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"scaling: {point} failed:\n{done.stderr}", file=sys.stderr)
                return 1
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{point}: {rows[-1]['over_empty']:.0f} MB", file=sys.stderr, flush=True)
    show(rows)
    if args.out is not None:
        args.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({"horizon": args.horizon, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
