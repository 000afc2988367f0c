"""Time of a training step beside a bare loop of nn.LSTM and nn.Linear, and the part of a trial that evaluation takes.

    python benchmarks/speed/throughput.py [--shapes 64x96x128x2,32x24x32x1] [--rounds 7] [--no-evaluation]
                                        [--device cuda]

A shape is batch x length x units x layers. The bare loop takes a ready batch and does only forward, MSE, backward and
Adam. Ours also gathers the batch, clips gradients, follows a schedule and keeps statistics. Both run on one thread.
Each shape runs in two fresh processes: one as Python starts it, and one that keeps freed memory as `lstm-tune` does.
Within a process the loops take turns, and the fastest round of each counts. The bf16 column forces bf16; the column
"auto" shows whether the trainer would choose it for the shape.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import numpy as np
import optuna
import torch
from common import machine, show_machine, wide_console
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import nn

from lstm_tune.config import Config
from lstm_tune.data.load import load_series
from lstm_tune.data.split import make_split
from lstm_tune.data.split_rule import DEFAULT_SPLIT
from lstm_tune.data.windows import Windows
from lstm_tune.models.cells import set_training_precision
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.report.environment import versions
from lstm_tune.search import task_objective as objective
from lstm_tune.search.objective import resolve_space
from lstm_tune.training.precision import has_bf16
from lstm_tune.training.task import build_task
from lstm_tune.training.trainer import Trainer, bf16_pays
from lstm_tune.utils.process import keep_freed_memory

SHAPES = "64x96x128x2,256x96x64x1,64x336x64x1,32x24x32x1,64x24x64x1"
HORIZON = 24
ROUND_SECONDS = 0.5

# Rows of a series, rows ahead, windows of the LSTM's training step, and its configuration.
EVALUATIONS: tuple[tuple[int, int, dict[str, Any]], ...] = (
    (3_000, 1, {}),
    (20_000, 1, {}),
    (20_000, 96, {"lookback": 336, "patch": 24, "hidden_units": 64, "batch_size": 64}),
    (20_000, 24, {"lookback": 96, "hidden_units": 64, "batch_size": 256}),
    (200_000, 24, {"lookback": 48, "hidden_units": 128, "batch_size": 256}),
    (2_000_000, 1, {"lookback": 24, "hidden_units": 64, "batch_size": 256}),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Milliseconds of one training step."""

    shape: str
    bare_plain: float
    bare: float
    fp32: float
    bf16: float | None  # None if the processor has no instructions for it
    auto_bf16: bool  # whether the trainer takes bf16 for this shape if the machine is fast in it


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """The time of one trial and of its evaluations."""

    rows: int
    horizon: int
    params: dict[str, Any]
    seconds: float
    share: float


def bare_loop(batch: int, length: int, units: int, layers: int, device: str) -> Callable[[int], None]:
    """Return a function that runs steps of the bare loop."""
    torch.manual_seed(0)
    lstm, head = nn.LSTM(1, units, layers, batch_first=True).to(device), nn.Linear(units, HORIZON).to(device)
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()])
    x, y = torch.randn(batch, length, 1, device=device), torch.randn(batch, HORIZON, device=device)

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(head(lstm(x)[0][:, -1]), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        loss.item()  # waits for an accelerator

    return run


def our_loop(batch: int, length: int, units: int, layers: int, device: str, precision: str) -> Callable[[int], None]:
    """Return a function that runs steps of our trainer."""
    windows = Windows(load_series(np.random.default_rng(0).normal(size=8_000)), HORIZON, device)
    config = Config(
        lookback=length, hidden_units=units, layers=layers, batch_size=batch, dropout=0.0, activation="none"
    )
    model = LSTMForecaster(config, Shape(horizon=HORIZON)).to(device)
    rows = ((0, 8_000),)
    model.fit_statistics(windows, rows)
    positions = windows.positions(rows, model.context, reach_back=False)
    trainer = Trainer(model, windows, positions, config, batch, 0)
    set_training_precision(model, precision)

    def run(steps: int) -> None:
        trainer.samples = steps * batch
        trainer.run_epoch()

    return run


def measure(loops: dict[str, Callable[[int], None]], rounds: int) -> dict[str, float]:
    """Return milliseconds a step for each loop, in its fastest round; the loops take turns."""
    steps = {}
    for name, run in loops.items():
        run(2)
        began = time.perf_counter()
        run(2)
        # At least an eighth of the shortest epoch.
        steps[name] = max(4, min(200, int(ROUND_SECONDS / (time.perf_counter() - began) * 2)))
    best = dict.fromkeys(loops, float("inf"))
    for _ in range(rounds):
        for name, run in loops.items():
            began = time.perf_counter()
            run(steps[name])
            best[name] = min(best[name], 1e3 * (time.perf_counter() - began) / steps[name])
    return best


def child(shape: str, allocator: str, rounds: int, device: str) -> dict[str, float]:
    """Measure one shape in this process."""
    sizes = [int(part) for part in shape.split("x")]
    if allocator == "plain":
        return measure({"bare_plain": bare_loop(*sizes, device)}, rounds)
    keep_freed_memory()
    loops = {"bare": bare_loop(*sizes, device), "fp32": our_loop(*sizes, device, "fp32")}
    if has_bf16(device):
        loops["bf16"] = our_loop(*sizes, device, "bf16")
    return measure(loops, rounds)


def row_of(shape: str, rounds: int, device: str) -> Row:
    """Measure one shape in two fresh processes."""
    found: dict[str, float] = {}
    for allocator in ("plain", "kept"):
        command = [sys.executable, str(Path(__file__)), "--rounds", str(rounds), "--device", device]
        command += ["--child", shape, allocator]
        found |= json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    batch, length, units, layers = (int(part) for part in shape.split("x"))
    config = Config(lookback=length, hidden_units=units, layers=layers, batch_size=batch)
    times = {name: round(value, 3) for name, value in ({"bf16": None} | found).items() if value is not None}
    return Row(shape=shape, **({"bf16": None} | times), auto_bf16=bf16_pays(config, Shape(horizon=HORIZON)))


def share_of(rows: int, horizon: int, params: dict[str, Any]) -> Share:
    """Run one trial and time its evaluations: one after each epoch and one at the end."""
    noise = np.random.default_rng(0).normal(size=rows)
    series = load_series(10 + np.sin(2 * np.pi * np.arange(rows) / 24) + 0.3 * noise)
    task = build_task(series, make_split(series, DEFAULT_SPLIT, horizon), horizon)
    spent = [0.0]

    def clocked(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*args)
            finally:
                spent[0] += time.perf_counter() - began

        return run

    originals = {name: getattr(objective, name) for name in ("quick_mse_scaled", "score")}
    try:
        for name, work in originals.items():
            setattr(objective, name, clocked(work))
        study = optuna.create_study()
        began = time.perf_counter()
        study.optimize(
            objective.TaskObjective(task, resolve_space({"epochs": 8, "patience": 8, "dropout": 0.0} | params)),
            n_trials=1,
        )
        seconds = time.perf_counter() - began
    finally:
        for name, work in originals.items():
            setattr(objective, name, work)
    return Share(
        rows=rows, horizon=horizon, params=params, seconds=round(seconds, 2), share=round(spent[0] / seconds, 3)
    )


def show(rows: Sequence[Row], shares: Sequence[Share]) -> None:
    """Print the tables for people."""
    console = wide_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    titles = (
        "shape",
        "plain",
        "kept",
        "ours",
        "ours bf16",
        "ours / kept",
        "plain / ours",
        "plain / bf16",
        "ours / bf16",
    )
    for title in (*titles, "auto"):
        table.add_column(title, justify="right", no_wrap=True)
    for r in rows:
        half = (
            ["-"] * 3 if r.bf16 is None else [f"{r.bf16:.2f}", f"{r.bare_plain / r.bf16:.2f}", f"{r.fp32 / r.bf16:.2f}"]
        )
        table.add_row(
            r.shape,
            *(f"{ms:.2f}" for ms in (r.bare_plain, r.bare, r.fp32)),
            half[0],
            f"{r.fp32 / r.bare:.3f}",
            f"{r.bare_plain / r.fp32:.2f}",
            *half[1:],
            "bf16" if r.auto_bf16 and r.bf16 is not None and r.bf16 < r.fp32 else "fp32",
        )
    console.print("Milliseconds of one training step of batch x length x units x layers on one thread, and ratios")
    console.print(table)
    console.print("plain: the bare loop in a process as Python starts it; kept: the same with freed memory kept")
    console.print("auto: bf16 if --precision auto may take it for the shape and it is faster here\n")
    if shares:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in ("rows", "rows ahead", "configuration", "trial, s", "evaluation"):
            table.add_column(title, justify="right")
        for s in shares:
            words = ", ".join(f"{name} {value}" for name, value in s.params.items()) or "the plain LSTM's"
            table.add_row(f"{s.rows:,}", str(s.horizon), words, f"{s.seconds:.1f}", f"{s.share:.1%}")
        console.print("Part of a trial of 8 epochs that evaluation takes, one fold, fp32")
        console.print(table)
    show_machine(console, machine(), versions())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the shapes asked for; return the exit status."""
    parser = argparse.ArgumentParser(description="Time of a training step beside a bare loop.")
    parser.add_argument("--shapes", default=SHAPES, metavar="BxTxUxL,…")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--no-evaluation", action="store_true", help="leave out the part that evaluation takes")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="default: %(default)s")
    parser.add_argument("--child", nargs=2, metavar=("SHAPE", "ALLOCATOR"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    if args.child:
        print(json.dumps(child(*args.child, args.rounds, args.device)))
        return 0
    try:
        if any(len([int(n) for n in shape.split("x")]) != 4 for shape in args.shapes.split(",")):
            raise ValueError
    except ValueError:
        print("throughput: a shape is BATCHxLENGTHxUNITSxLAYERS, such as 64x96x128x2", file=sys.stderr)
        return 2
    rows = [row_of(shape, args.rounds, args.device) for shape in args.shapes.split(",")]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    keep_freed_memory()
    shares = [] if args.no_evaluation or args.device != "cpu" else [share_of(*case) for case in EVALUATIONS]
    show(rows, shares)
    print(
        json.dumps(
            {
                "machine": machine(),
                "versions": versions(),
                "rows": [asdict(r) for r in rows],
                "evaluation": [asdict(s) for s in shares],
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
