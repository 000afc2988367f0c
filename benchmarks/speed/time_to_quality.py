"""Seconds to a test MSE of .055 on ETTh1 `OT`, 96 rows ahead: the command line of lstm_tune, and AutoLSTM.

    python benchmarks/speed/time_to_quality.py [--data DIR] [--limit 30m] [--ours "OPTIONS"] [--skip-peer] [--envs DIR]

Ours is `lstm-tune tune ETTh1.csv …` with each set of OPTIONS in turn, from the start of the command to its end, when
the model is saved; imports are included. The first set is compared with the peer. No option was chosen on test rows:
the options name a preset and a budget. Ridge regression alone has an MSE of .0526 on these rows, so forecasts that no
LSTM was trained for reach .055: the table says how much of the saved model is a trained network.

The peer is neuralforecast's AutoLSTM on the same rows and cores: its default space, Optuna's TPE, training on MSE, from
the start of the process. After each trial the network with the lowest validation loss so far forecasts the same 2,785
test windows, and our own code scores it: MSE after z-scoring by the train rows. The time of scoring is not counted, nor
is the retraining of the winner at the end of AutoLSTM. The peer runs until it reaches the MSE or until `--limit`.

Prints a table for people and, as its last line, the same as JSON. Exit status: 0 done; 1 ours does not reach the MSE,
or not 50 times sooner; 2 wrong usage, or a file or the peer is missing.
"""

from __future__ import annotations

import argparse
import json
import queue
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("", "quality", "peers")]

import numpy as np
import pandas as pd
import torch
from accuracy import CELLS, DEFAULT_DATA, Cell, read_frame
from common import busy, machine, show_machine, wide_console
from environments import REQUIREMENTS, PeerError, add_envs_argument, interpreter, last_line, start
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from lstm_tune.data.load import load_series
from lstm_tune.data.split import make_split
from lstm_tune.data.windows import Batch, Windows
from lstm_tune.errors import LstmTuneError, UsageError
from lstm_tune.evaluation.score import TargetScale, score
from lstm_tune.report.environment import versions
from lstm_tune.utils.duration import parse_duration
from lstm_tune.utils.process import available_cores

CELL = "ETTh1-OT-96"
TIME = "date"
QUALITY = 0.055  # scaled test MSE
ASKED = 50.0  # times sooner
OURS = (
    "--space quick --trials 2 --folds 2 --retrain-seeds 1 --try-advice 0",  # the peer gives no advice, either
    "--space quick --trials 3 --retrain-seeds 1",
    "--space quick --timeout 30s",
    "--timeout 1m",
)
PEER = "neuralforecast"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """One run of our command."""

    options: str
    seconds: float  # of the whole command
    test_mse: float  # scaled
    trials: int
    trained: float  # weight of trained networks in the saved model

    @property
    def reached(self) -> bool:
        """Whether it reached the MSE."""
        return self.test_mse <= QUALITY


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerTrial:
    """The state of the peer after one of its trials."""

    number: int
    seconds: float  # since the start, without scoring
    val_mse: float  # of this trial, raw units
    test_mse: float  # scaled, of the best by validation so far
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """The result of the peer's search."""

    trials: list[PeerTrial]
    seconds: float  # until it reached the MSE, or ended
    reached: bool
    ended: str


class Stored:
    """Forecasts (n, H) in raw units that another library made, returned in the order in which `score` asks for them."""

    context = 0

    def __init__(self, forecasts: NDArray[np.float32], origin: float) -> None:
        self._left = torch.from_numpy(forecasts - np.float32(origin))

    def __call__(self, batch: Batch) -> Tensor:
        """Return the forecasts of the next windows."""
        count = len(batch.target)
        ready, self._left = self._left[:count], self._left[count:]
        return ready


def make_scorer(cell: Cell, frame: pd.DataFrame) -> Callable[[NDArray[np.float32]], float]:
    """Return a function from the forecasts (n, H) of all test windows, in the order of time, to their scaled MSE."""
    data = load_series(frame[[TIME, *cell.targets]], target=cell.targets, time=TIME)
    split = make_split(data, cell.split, cell.horizon)
    windows = Windows(data, cell.horizon)
    positions = windows.positions(split.test, 0, reach_back=True)
    scale = TargetScale.of(windows, split.train)

    def scorer(forecasts: NDArray[np.float32]) -> float:
        if forecasts.shape != (len(positions), cell.horizon):
            raise PeerError(f"{PEER} made forecasts of shape {forecasts.shape}, not {len(positions), cell.horizon}")
        return score(Stored(forecasts, data.origin[0]), windows, positions, scale).mse_scaled

    return scorer


def tune(cell: Cell, path: Path, options: str) -> Tuned:
    """Run our command as a user would, and read its result.

    Raises:
        UsageError: it failed; the text holds its message.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        began = time.monotonic()
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "lstm_tune", "tune", str(path.resolve())),
                *("--time", TIME, "--target", cell.targets[0], "--horizon", str(cell.horizon)),
                *("--split", ",".join(map(str, cell.split)), "--out", str(out), "--quiet", *shlex.split(options)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        if ended.returncode:
            raise UsageError(f"lstm-tune tune … {options}: {(ended.stderr.strip().splitlines() or ['failed'])[-1]}")
        result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return Tuned(
        options=options,
        seconds=seconds,
        test_mse=result["test"]["mse_scaled"],
        trials=result["study"]["n_trials"],
        trained=result["network_alone"]["weight"],
    )


def search(
    python: Path,
    cell: Cell,
    path: Path,
    scorer: Callable[[NDArray[np.float32]], float],
    *,
    limit: float,
    seed: int,
    threads: int,
) -> Search:
    """Run the peer until it reaches the MSE, or for `limit` seconds without scoring."""
    trials: list[PeerTrial] = []
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        job = {
            "csv": str(path.resolve()),
            "time": TIME,
            "target": cell.targets[0],
            "horizon": cell.horizon,
            "split": cell.split,
            "seed": seed,
            "threads": threads,
            "folder": folder,
        }
        began = time.monotonic()
        worker = start(python, "auto.py", job, cwd=folder, threads=threads, log=log)
        arrived: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
        listener = threading.Thread(target=_listen, args=(worker.stdout, arrived), daemon=True)
        listener.start()
        scoring, best = 0.0, float("inf")
        try:
            while True:
                try:
                    now, line = arrived.get(timeout=max(0.0, began + limit + scoring - time.monotonic()))
                except queue.Empty:
                    return Search(trials=trials, seconds=limit, reached=False, ended="limit")
                if not line:
                    reason = f"it failed: {last_line(log)}" if worker.wait() else "it ended"
                    return Search(trials=trials, seconds=now - began - scoring, reached=False, ended=reason)
                told = json.loads(line)
                scoring = told["scoring_seconds"]
                if told["forecasts"] is not None:
                    best = scorer(np.load(told["forecasts"]))
                trials.append(
                    PeerTrial(
                        number=told["trial"],
                        seconds=now - began - scoring,
                        val_mse=told["val_mse"],
                        test_mse=best,
                        params=told["params"],
                    )
                )
                print(f"{PEER} trial {trials[-1].number}: {best:.4f} after {trials[-1].seconds:.0f} s", file=sys.stderr)
                if best <= QUALITY:
                    return Search(trials=trials, seconds=trials[-1].seconds, reached=True, ended="reached")
        finally:
            worker.kill()
            listener.join()
            worker.wait()


def _listen(lines: Iterable[str], arrived: queue.SimpleQueue[tuple[float, str]]) -> None:
    """Put each line into a queue with the time at which it arrived, and an empty one at the end."""
    for line in lines:
        arrived.put((time.monotonic(), line))
    arrived.put((time.monotonic(), ""))


def report(ours: Sequence[Tuned], peer: Search | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return all results as one JSON object."""
    first = ours[0]
    return {
        "settings": {"cell": CELL, "quality": QUALITY, "asked": ASKED, **settings},
        "machine": machine(),
        "versions": versions() | ({} if peer is None else {"peer": ", ".join(REQUIREMENTS[PEER])}),
        "ours": [asdict(tuned) | {"reached": tuned.reached} for tuned in ours],
        "peer": None if peer is None else asdict(peer),
        "times_sooner": peer.seconds / first.seconds if peer is not None and first.reached else None,
    }


def show(ours: Sequence[Tuned], peer: Search | None, found: Mapping[str, Any]) -> None:
    """Print the table for people."""
    console = wide_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("who")
    for title in ("seconds", "test MSE", f"at {QUALITY:g}", "trials", "trained LSTMs"):
        table.add_column(title, justify="right")
    for tuned in ours:
        reached = "yes" if tuned.reached else "no"
        name = f"lstm-tune tune … {tuned.options}"
        scores = f"{tuned.seconds:.1f}", f"{tuned.test_mse:.4f}"
        table.add_row(name, *scores, reached, str(tuned.trials), f"{tuned.trained:.0%}")
    if peer is not None:
        mse = f"{peer.trials[-1].test_mse:.4f}" if peer.trials else "no model"
        reached = "yes" if peer.reached else f"no ({peer.ended})"
        table.add_row("neuralforecast AutoLSTM", f"{peer.seconds:.0f}", mse, reached, str(len(peer.trials)), "100%")
    console.print(table)
    console.print("test MSE: z-scored by the train rows, over all 2,785 test windows of ETTh1 OT, 96 rows ahead")
    if found["times_sooner"] is not None:
        assert peer is not None
        least = "" if peer.reached else "more than "
        low = found["times_sooner"] < ASKED
        text = f"{least}{found['times_sooner']:.0f} times sooner (first line of ours); asked for: {ASKED:g}"
        console.print(text, style="bold red" if low else None)
    show_machine(console, found["machine"], found["versions"])


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Seconds to a test MSE of .055 on ETTh1 OT, 96 rows ahead.")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help="default: ../shared/data")
    parser.add_argument("--limit", default="30m", metavar="TIME", help="of the peer; default: %(default)s")
    parser.add_argument(
        "--ours",
        action="append",
        metavar="OPTIONS",
        help=f"of lstm-tune tune; may be repeated; default: {', '.join(map(repr, OURS))}",
    )
    parser.add_argument("--skip-peer", action="store_true", help="run ours alone")
    parser.add_argument("--seed", type=int, default=0, help="of the peer's sampler; default: 0")
    add_envs_argument(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ours, then the peer; return the exit status."""
    args = arguments(argv)
    cell = next(c for c in CELLS if c.name == CELL)
    try:
        limit = parse_duration(args.limit)
        frame = read_frame(cell, args.data)
        path = args.data / cell.file
        python = None if args.skip_peer else interpreter(PEER, args.envs)
        load = busy()
        ours = []
        for options in args.ours or OURS:
            ours.append(tune(cell, path, options))
            print(f"{options}: {ours[-1].test_mse:.4f} in {ours[-1].seconds:.1f} s", file=sys.stderr, flush=True)
        peer = None
        cores = available_cores()
        if python is not None:
            peer = search(python, cell, path, make_scorer(cell, frame), limit=limit, seed=args.seed, threads=cores)
    except (LstmTuneError, PeerError) as error:
        print(f"time_to_quality: {error}", file=sys.stderr)
        return 2
    found = report(ours, peer, {"limit": limit, "seed": args.seed, "cores": cores, "load": load})
    show(ours, peer, found)
    print(json.dumps(found, allow_nan=False))
    sooner = found["times_sooner"]
    return 1 if not ours[0].reached or (sooner is not None and sooner < ASKED) else 0


if __name__ == "__main__":
    sys.exit(main())
