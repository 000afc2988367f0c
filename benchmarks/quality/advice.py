"""Does the advice help: a study of each series, each piece of its advice followed by machine, the test MSEs compared.

    python benchmarks/quality/advice.py --keep DIR [--only nottem,drift] [--trials 6] [--seed 0]

Real series of `pool.py`, and doctored ones with one known fault in the data or in the configuration. Every finding of
severity warn or high that holds actions is followed by `tune(..., apply="RUN:CODE")`, with the options of the study.
The study itself has tried its first actions, and advises none that did not help. A change below 3% counts as no
difference. `DIR` keeps one file for each series; a series whose file is there is not run again.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import numpy as np
import optuna
import pandas as pd
import torch
from common import machine, pool_arguments, show_machine, wide_console
from pool import ALL
from rich.box import SIMPLE_HEAD
from rich.table import Table

import lstm_tune
from lstm_tune.errors import LstmTuneError
from lstm_tune.evaluation.score import score
from lstm_tune.evaluation.significance import TimeBlocks, compare
from lstm_tune.report.environment import versions
from lstm_tune.utils.atomic_files import write_json
from lstm_tune.utils.process import keep_freed_memory
from lstm_tune.utils.text import number, rounded

NEUTRAL = 0.03  # relative change of the test MSE that counts as no difference
_REAL = (
    *("sunspots", "elnino", "nottem", "ukgas", "usmelec", "auscafe", "ausbeer", "a10", "melsyd", "lynx", "elecdaily"),
    *("gasoline", "nile", "huron", "wool", "drivers", "elec_equip", "hyndsight", "goog"),
)
_PLAIN: dict[str, Any] = {"lookback": 24, "hidden_units": 32, "epochs": 15, "patience": 4, "learning_rate": 2e-3}
_ROWS = 600
_DAILY = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One series, with the options of its first study."""

    name: str
    frame: pd.DataFrame
    horizon: int
    space: Any
    trials: int


def _season(seed: int, rows: int = _ROWS) -> np.ndarray:
    """Return a daily season in hourly rows, with autocorrelated noise."""
    noise = np.random.default_rng(seed).normal(size=rows)
    for i in range(1, rows):
        noise[i] += 0.6 * noise[i - 1]
    return 20 + 3 * np.sin(2 * np.pi * np.arange(rows) / _DAILY) + noise


def _doctored_data() -> dict[str, np.ndarray]:
    rng, t, y = np.random.default_rng(1), np.arange(_ROWS), _season(0)
    put = y.copy()
    put[rng.random(_ROWS) < 0.01] += 25
    code = np.where(rng.random(_ROWS) < 0.05, -200.0, y)
    gaps = np.where(rng.random(_ROWS) < 0.15, np.nan, y)
    grows = np.exp(0.004 * t + 0.3 * np.sin(2 * np.pi * t / 12) + 0.05 * rng.normal(size=_ROWS))
    return {
        "unscaled": 1e-7 * y,
        "drift": y + 0.03 * t,
        "outliers": put,
        "error_code": code,
        "gaps": gaps,
        "regime": y + 8.0 * (t >= 0.75 * _ROWS),
        "growing_spread": grows,
        "walk": 50 + np.cumsum(rng.normal(size=_ROWS)),
    }


_DOCTORED_SPACES: Mapping[str, dict[str, Any]] = {
    "short_lookback": {"lookback": 3},
    "tiny_network": {"hidden_units": 1},
    "huge_network": {"hidden_units": 256, "dropout": 0.0, "epochs": 40, "patience": 40},
    "rate_too_high": {"learning_rate": 0.5},
    "rate_too_low": {"learning_rate": 3e-6},
    "few_epochs": {"epochs": 2, "learning_rate": 5e-4},
    "large_batches": {"batch_size": 512, "learning_rate": 5e-4},
}


def cases(only: str | None, trials: int) -> list[Case]:
    """Return the cases with the given names, comma-separated; None: all."""
    found = []
    for series in ALL:
        if series.name in _REAL:
            values = series.read()
            frame = pd.DataFrame({"value": values.to_numpy()})
            if isinstance(values.index, pd.DatetimeIndex):
                frame.insert(0, "date", values.index)
            found.append(Case(name=series.name, frame=frame, horizon=series.horizon, space="quick", trials=trials))
    hours = pd.date_range("2024-01-01", periods=_ROWS, freq="h")
    for name, y in _doctored_data().items():
        frame = pd.DataFrame({"date": hours, "value": y})
        found.append(Case(name=name, frame=frame, horizon=6, space=_PLAIN, trials=1))
    for name, changed in _DOCTORED_SPACES.items():
        frame = pd.DataFrame({"date": hours, "value": _season(2)})
        found.append(Case(name=name, frame=frame, horizon=6, space=_PLAIN | changed, trials=1))
    names = [case.name for case in found] if only is None else only.split(",")
    if unknown := set(names) - {case.name for case in found}:
        raise LstmTuneError(f"unknown series {', '.join(sorted(unknown))}; known: {', '.join(c.name for c in found)}")
    return [case for case in reversed(found) if case.name in names]  # the doctored ones, which are fast, first


def run_case(case: Case, seed: int) -> dict[str, Any]:
    """Run the first study and one for each piece of advice; return what came of it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "data.csv", Path(folder) / "first"
        case.frame.to_csv(path, index=False)
        first = lstm_tune.tune(
            str(path),
            target="value",
            horizon=case.horizon,
            space=case.space,
            n_trials=case.trials,
            folds=2,
            retrain_seeds=1,
            seed=seed,
            out=out,
        )
        record = first.to_dict()
        step = record["next"]
        followed = []
        for finding in record["findings"]:
            if finding["severity"] == "info" or not finding["actions"] or finding["code"] == "more_trials":
                continue
            again = Path(folder) / "again"
            more = max(case.trials, len(finding["actions"]) + 3)
            second = lstm_tune.tune(
                str(path), apply=f"{out}:{finding['code']}", n_trials=more, try_advice=0.0, out=again
            )
            shutil.rmtree(again)
            versus = _versus(first, second)
            is_next = step is not None and step["code"] == finding["code"]
            followed.append({"code": finding["code"], "advice": finding["advice"], "next": is_next, **versus})
    attempts = [a for f in record["findings"] for a in (*f["actions"], *f["rejected"]) if a["tried"] is not None]
    return {
        "series": case.name,
        "test_mse_scaled": record["test"]["mse_scaled"],
        "seconds": round(time.monotonic() - began, 1),
        "tried": len({json.dumps(a["space"]) for a in attempts}),
        "rejected": sorted({json.dumps(a["space"]) for f in record["findings"] for a in f["rejected"]}),
        "followed": followed,
    }


def _versus(first: Any, second: Any) -> dict[str, float | None]:
    """Return the test MSE of the second study over that of the first, with its 95% interval."""
    own, other = (score(r.model.network, r.windows, r.test_positions, r.model.scale) for r in (second, first))
    blocks = TimeBlocks.of(first.windows, first.test_positions, first.split.test, first.model.shape.period)
    against = compare(own.window_error, other.window_error, own.window_count, blocks)
    return {name: rounded(getattr(against, name)) for name in ("ratio", "low", "high")}  # None: too few windows


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return, for each code and for all, how often advice was given, helped, made no difference and harmed."""
    by_code: dict[str, list[float]] = {}
    for row in rows:
        for one in row["followed"]:
            for name in (one["code"], "all", *(["advised first"] if one["next"] else [])):
                by_code.setdefault(name, []).append(one["ratio"] - 1)
    last = ("advised first", "all")
    return {
        code: {
            "given": len(changes),
            "helped": sum(change <= -NEUTRAL for change in changes),
            "no_difference": sum(abs(change) < NEUTRAL for change in changes),
            "harmed": sum(change >= NEUTRAL for change in changes),
            "median_change": round(statistics.median(changes), 4),
        }
        for code, changes in sorted(by_code.items(), key=lambda one: (one[0] in last, one[0]))
    }


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the tables for people."""
    console = wide_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("code")
    for title in ("given", "helped", "no difference", "harmed", "median change"):
        table.add_column(title, justify="right")
    for code, one in summary(rows).items():
        counts = (one["given"], one["helped"], one["no_difference"], one["harmed"])
        table.add_row(code, *map(str, counts), f"{one['median_change']:+.1%}")
    console.print(table)
    for row in rows:
        for one in row["followed"]:
            low, high = (number(one[key], 3) for key in ("low", "high"))
            interval = f"{one['ratio']:.3f} ({low} to {high})"
            console.print(f"{row['series']}, {one['code']}: test MSE times {interval}", markup=False)
    console.print(f"{len(rows)} series; a change below {NEUTRAL:.0%} is no difference")
    show_machine(console, machine(), versions())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the series asked for; return the exit status."""
    parser = pool_arguments("Whether the advice of findings helps.", trials=6)
    parser.add_argument("--keep", type=Path, required=True, metavar="DIR", help="holds one file for each series")
    args = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    keep_freed_memory()
    args.keep.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    try:
        for case in cases(args.only, args.trials):
            path = args.keep / f"{case.name}.json"
            if not path.exists():
                write_json(path, run_case(case, args.seed))
            rows.append(json.loads(path.read_text(encoding="utf-8")))
            print(f"{case.name}: {rows[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    except LstmTuneError as error:
        print(f"advice: {error}", file=sys.stderr)
        return 2
    show(rows)
    print(json.dumps({"trials": args.trials, "seed": args.seed, "summary": summary(rows), "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
