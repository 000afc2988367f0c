"""Training samples per second of the same LSTM, on the same cores, beside other libraries.

    python benchmarks/peers/peers.py [--shapes 64x96x64x1,…] [--only darts,keras] [--cores 2] [--seconds 20]

A shape is batch × lookback × hidden units × layers. Each library trains it on one synthetic hourly series of 20,000
rows (14,000 to train on, 2,000 to validate on, 24 ahead; Adam, MSE, no dropout), as its documentation shows; see
`fit.py` for the code of each. Peers train in single precision; ours in that of `--precision auto`, and once more in
fp32. A sample is one training window in one step. The time is that of the whole fit, with data handling and validation,
without imports.

"All cores" means: for a peer, one fit with as many threads as there are cores, or with one thread if that is faster;
for ours, one model a core side by side, as studies run folds, retrains and workers, in threads of one process or in
processes of one thread, whichever is faster. The columns for one core compare one model with one thread each.

Prints a table for people and, as its last line, the same as JSON. The peers are installed with pip, each in an
environment of its own, at the first run. Exit status: 0 done; 1 a ratio is below the required one; 2 wrong usage, or a
peer cannot be installed or run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

from common import busy, machine, show_machine, wide_console
from environments import PeerError, add_envs_argument, interpreter, last_line, start
from fit import HORIZON, ROWS, TRAIN_ROWS, VAL_ROWS, Job
from rich.box import SIMPLE_HEAD
from rich.table import Table

from lstm_tune.errors import LstmTuneError, UsageError
from lstm_tune.report.environment import versions
from lstm_tune.utils.atomic_files import write_json
from lstm_tune.utils.process import available_cores

SHAPES = ("32x24x32x1", "64x24x64x1", "64x96x64x1", "64x96x128x2", "256x96x64x1")
OURS, OURS_FP32 = "ours", "ours in fp32"
LEAST_STEPS = 500  # of a measured run
BUSY = 0.5  # above this load, other work takes part of the cores
ASKED = {"neuralforecast": 3.0, "darts": 4.0, "keras": 3.5}  # ours over theirs, at least


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How the cores are used."""

    processes: int
    threads: int  # of each process

    @property
    def name(self) -> str:
        """Return PROCESSESxTHREADS."""
        return f"{self.processes}x{self.threads}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """The speed of one library with one use of the cores."""

    per_second: float  # samples
    per_cpu_second: float  # samples per second of processor time, which other work on the machine disturbs least
    seconds: float  # that were measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """The speed of one library on one shape."""

    library: str
    one_core: float  # samples per second of one model with one thread
    all_cores: float  # the best of `ways`
    best_way: str  # processes x threads of each
    ways: dict[str, Reached]
    ratio: float  # ours over it, all cores; 1 for ours
    one_core_ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One shape's line of the table."""

    shape: str
    windows: int  # training windows there are
    load: float | None  # of the machine before the first run: 0 is idle
    speeds: dict[str, Speed]


def read_shape(text: str) -> tuple[int, int, int, int]:
    """Read BATCHxLOOKBACKxUNITSxLAYERS.

    Raises:
        UsageError: it is not that.
    """
    parts = text.strip().lower().split("x")
    if len(parts) != 4 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise UsageError(f"a shape must be BATCHxLOOKBACKxUNITSxLAYERS, such as {SHAPES[2]}, but is {text!r}")
    batch, lookback, units, layers = map(int, parts)
    if lookback > TRAIN_ROWS // 2:
        raise UsageError(f"the lookback of a shape must be at most {TRAIN_ROWS // 2}, but is {lookback}")
    return batch, lookback, units, layers


def ways_of(library: str, cores: int) -> list[Way]:
    """Return the uses of `cores` that are tried; the first is one core for one model."""
    ways = [Way(processes=1, threads=1)]
    if cores > 1:
        ways.append(Way(processes=1, threads=cores))
        if library in (OURS, OURS_FP32):
            ways.append(Way(processes=cores, threads=1))
    return ways


def measure(python: Path | str, job: Job, way: Way, seconds: float) -> tuple[Reached, dict[str, str]]:
    """Train in several processes at once, with more and more passes until it takes long enough.

    The processes begin at the same moment; the samples of all are divided by the time of the slowest.

    Args:
        python: that has the library.
        job: what each process trains.
        way: processes and threads.
        seconds: that the measured run takes at least; and it has LEAST_STEPS steps.

    Returns:
        The speed, and the library's versions.

    Raises:
        PeerError: a process failed.
    """
    with ExitStack() as stack:
        cwd = stack.enter_context(tempfile.TemporaryDirectory())
        logs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(way.processes)]
        threads = 1 if job.library in (OURS, OURS_FP32) else way.threads  # ours takes one core for each model
        workers = [start(python, "fit.py", asdict(job), cwd=cwd, threads=threads, log=log) for log in logs]

        def answers() -> list[dict[str, Any]]:
            lines = [worker.stdout.readline() for worker in workers]
            for line, log in zip(lines, logs, strict=True):
                if not line:
                    raise PeerError(f"{job.library} failed on {job}: {last_line(log)}")
            return [json.loads(line) for line in lines]

        try:
            found = answers()[0]
            passes = 1
            while True:
                for worker in workers:
                    worker.stdin.write(f"{passes}\n")
                    worker.stdin.flush()
                runs = answers()
                taken, steps = max(r["seconds"] for r in runs), min(r["steps"] for r in runs)
                if taken >= seconds and steps >= LEAST_STEPS:
                    samples = sum(r["samples"] for r in runs)
                    cpu = sum(r["cpu_seconds"] for r in runs)
                    return Reached(per_second=samples / taken, per_cpu_second=samples / cpu, seconds=taken), found
                passes = max(passes + 1, math.ceil(passes * max(1.1 * seconds / taken, LEAST_STEPS / steps)))
        except OSError as error:
            raise PeerError(f"{job.library} failed on {job}: {error.strerror}: {last_line(logs[0])}") from None
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()


def run_shape(
    text: str, libraries: Sequence[str], pythons: Mapping[str, Path | str], cores: int, seconds: float
) -> tuple[Row, dict[str, dict[str, str]]]:
    """Measure the libraries on one shape, ours first; return the line of the table and the versions of each."""
    batch, lookback, units, layers = read_shape(text)
    load = busy()
    speeds: dict[str, Speed] = {}
    found: dict[str, dict[str, str]] = {}
    for library in libraries:
        ways: dict[str, Reached] = {}
        for way in ways_of(library, cores):
            job = Job(library=library, batch=batch, lookback=lookback, units=units, layers=layers, threads=way.threads)
            ways[way.name], found[library] = measure(pythons[library], job, way, seconds)
            speed = f"{ways[way.name].per_second:,.0f} samples/s"
            print(f"{text} {library} {way.name}: {speed}", file=sys.stderr, flush=True)
        one = ways["1x1"].per_second
        best = max(ways, key=lambda name: ways[name].per_second)
        most = ways[best].per_second
        base = speeds.get(OURS)
        speeds[library] = Speed(
            library=library,
            one_core=one,
            all_cores=most,
            best_way=best,
            ways=ways,
            ratio=base.all_cores / most if base else 1.0,
            one_core_ratio=base.one_core / one if base else 1.0,
        )
    return Row(shape=text, windows=job.windows, load=load, speeds=speeds), found


def summary(rows: Sequence[Row], peers: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the lowest and the mean ratio of all shapes for each peer, and the required ratio."""
    found = {}
    for peer in peers:
        ratios = [row.speeds[peer].ratio for row in rows]
        found[peer] = {"lowest": min(ratios), "geometric_mean": statistics.geometric_mean(ratios), "asked": ASKED[peer]}
    return found


def report(
    rows: Sequence[Row], peers: Sequence[str], libraries: Mapping[str, Mapping[str, str]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all results as one JSON object."""
    return {
        "settings": dict(settings),
        "machine": machine(),
        "versions": versions(),
        "libraries": dict(libraries),
        "ratios": summary(rows, peers),
        "rows": [asdict(row) for row in rows],
    }


def show(rows: Sequence[Row], peers: Sequence[str], found: Mapping[str, Any]) -> None:
    """Print the table for people."""
    console = wide_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("batch x lookback x units x layers")
    table.add_column("windows", justify="right")
    table.add_column("library")
    for title in ("all cores, samples/s", "processes x threads", "ours over it", "one core, samples/s", "ours over it"):
        table.add_column(title, justify="right")
    for row in rows:
        for i, speed in enumerate(row.speeds.values()):
            table.add_row(
                "" if i else row.shape,
                "" if i else f"{row.windows:,}",
                speed.library,
                f"{speed.all_cores:,.0f}",
                speed.best_way,
                f"{speed.ratio:.2f}" if i else "",
                f"{speed.one_core:,.0f}",
                f"{speed.one_core_ratio:.2f}" if i else "",
                end_section=i + 1 == len(row.speeds),
            )
    console.print(table)
    cores = found["settings"]["cores"]
    console.print(
        f"all cores ({cores}): of a peer the better of one fit with {cores} threads and with 1; of ours {cores} models "
        f"side by side, in threads (1x{cores}) or in processes ({cores}x1), the samples of all added up"
    )
    console.print(
        f"series of {ROWS:,} rows, {TRAIN_ROWS:,} to train on, {VAL_ROWS:,} to validate on, {HORIZON} ahead, windows "
        f"at stride 1; time of the whole fit, with data handling and validation"
    )
    for peer, ratio in found["ratios"].items():
        low = ratio["lowest"] < ratio["asked"]
        line = f"{peer}: at least {ratio['lowest']:.2f}, mean {ratio['geometric_mean']:.2f}"
        console.print(f"{line}; asked for: at least {ratio['asked']:g}", style="bold red" if low else None)
    if rows[0].load is not None and rows[0].load > BUSY:
        console.print(
            f"the machine was busy before (load {rows[0].load:g}): these ratios say little, as fits with several "
            f"threads lose most by that",
            style="bold red",
        )
    show_machine(console, found["machine"], found["versions"])
    for library in peers:
        console.print(f"{library}: " + ", ".join(f"{n} {v}" for n, v in found["libraries"][library].items()))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training samples per second beside other libraries.")
    parser.add_argument("--shapes", default=",".join(SHAPES), metavar="SHAPES", help="default: %(default)s")
    parser.add_argument("--only", default=",".join(ASKED), metavar="PEERS", help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help="a measured run takes at least; default: 20"
    )
    parser.add_argument("--cores", type=int, metavar="N", help="that each may use; default: all there are")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="written anew after each shape")
    add_envs_argument(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the shapes asked for; return the exit status."""
    args = arguments(argv)
    rows: list[Row] = []
    libraries: dict[str, dict[str, str]] = {}
    try:
        shapes = args.shapes.split(",")
        for text in shapes:
            read_shape(text)
        peers = args.only.split(",")
        unknown = [peer for peer in peers if peer not in ASKED]
        if unknown:
            raise UsageError(f"no peer is called {unknown[0]!r}; known: {', '.join(ASKED)}")
        if not args.seconds > 0:
            raise UsageError(f"--seconds must be above 0, but is {args.seconds:g}")
        if args.cores is not None and not 1 <= args.cores <= available_cores():
            raise UsageError(f"--cores must be from 1 to {available_cores()}, but is {args.cores}")
        pythons: dict[str, Path | str] = {OURS: sys.executable, OURS_FP32: sys.executable}
        pythons |= {peer: interpreter(peer, args.envs) for peer in peers}
        if args.cores is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])  # the workers inherit it
        cores = args.cores or available_cores()
        for text in shapes:
            row, found = run_shape(text, [OURS, OURS_FP32, *peers], pythons, cores, args.seconds)
            rows.append(row)
            libraries |= found
            result = report(rows, peers, libraries, {"cores": cores, "seconds": args.seconds})
            if args.out is not None:
                write_json(args.out, result)
    except (LstmTuneError, PeerError) as error:
        print(f"peers: {error}", file=sys.stderr)
        return 2
    show(rows, peers, result)
    print(json.dumps(result, allow_nan=False))
    return 1 if any(r["lowest"] < r["asked"] for r in result["ratios"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
