"""Small studies of every kind of data, quick enough to be run by the dozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import oracle_checks
import oracle_findings
import oracle_outputs
import oracle_statistics
import oracle_trials
import pandas as pd
from oracle import Finished
from oracle_data import read_table
from series import daily, wave

import lstm_tune

QUICK: dict[str, Any] = {
    "hidden_units": 4,
    "dropout": 0.0,
    "batch_size": 32,
    "learning_rate": 0.01,
    "epochs": 2,
    "patience": 2,
    "lookback": [5, 9, 12],
    "epoch_samples": 96,
}
SKIPS: dict[str, Any] = QUICK | {"skip": ["none", "last", "linear", "seasonal", "ets"]}
LEARNED: dict[str, Any] = QUICK | {  # no closed form beats the networks, so that several are averaged
    "skip": ["none", "last"],
    "window_norm": ["none", "last"],
    "learning_rate": 0.03,
    "epochs": 4,
    "patience": 4,
}
ROWS = (100, 20, 40)
SHARES = (0.7, 0.1, 0.2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of data, and how a study of it is asked for."""

    frame: Any
    columns: Mapping[str, Any] = field(default_factory=dict)  # target, id, past, future, calendar
    space: Mapping[str, Any] = field(default_factory=lambda: SKIPS)
    split: tuple[float, float, float] | str = SHARES
    horizon: int = 3
    folds: int = 1
    trials: int = 5
    seeds: int = 2
    options: Mapping[str, Any] = field(default_factory=dict)


def rich(rows: int = 160, seed: int = 0) -> pd.DataFrame:
    """Two targets in different units, a past and a future covariate that help to forecast them."""
    rng = np.random.default_rng(seed)
    future, past = rng.normal(size=rows) + 3, 40 + 10 * rng.normal(size=rows)
    y = wave(rows, seed=seed) + 0.15 * future
    return daily(y, z=900 * wave(rows, seed=seed + 1) + 5 * np.roll(past, 1), p=past, f=future)


def holed(frame: pd.DataFrame, every: int = 9) -> pd.DataFrame:
    """Some values missing, single ones and a run longer than a horizon, and some rows absent."""
    frame = frame.copy()
    columns = [name for name in frame.columns if name in ("y", "z", "p", "f")]
    for shift, name in enumerate(columns):
        at = np.arange(len(frame)) % every == (every - 2 - 2 * shift) % every
        at |= (np.arange(len(frame)) >= 60 + 3 * shift) & (np.arange(len(frame)) < 65 + 3 * shift)
        frame.loc[at, name] = np.nan
    return frame.drop(index=frame.index[[30, 31, 32, 33, 47]])


def unequal(*lengths: int, same_end: bool = True) -> pd.DataFrame:
    """A panel of `rich` series of these lengths, named c, b, a in the order of the rows, that end or begin together."""
    names = "fedcba"[-len(lengths) :]
    parts = []
    for i, n in enumerate(lengths):
        part = rich(n, seed=i).assign(shop=names[i])
        part["date"] += pd.Timedelta(days=(max(lengths) - n) * same_end)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def one_holed(frame: pd.DataFrame) -> pd.DataFrame:
    """A panel with values missing in series a alone."""
    rows = np.arange(len(frame))
    return frame.assign(y=frame["y"].where((frame["shop"] != "a") | (rows % 9 != 4)))


def with_words(frame: pd.DataFrame) -> pd.DataFrame:
    """A panel with words: a past one, one that is known ahead, and one of each series beside its size."""
    rows = np.arange(len(frame))
    weather, holiday = np.where(rows % 3 == 1, "rain", "sun"), np.where(rows % 7 == 2, "feast", "")
    size, town = frame["shop"].map({"a": 4.0, "b": 9.0}), frame["shop"].map({"a": "Ulm", "b": "Bern"})
    return frame.assign(weather=weather, holiday=holiday, size=size, town=town)


KINDS: dict[str, Kind] = {
    "one series, split by rows": Kind(frame=daily(wave(163)), split=ROWS),
    "one series, split by shares, folds": Kind(frame=daily(wave(203)), folds=3, seeds=3),
    "one seed": Kind(frame=daily(wave(150)), seeds=1, trials=3, options={"season": 14}),
    "holes": Kind(
        frame=holed(daily(wave(165))), split=ROWS, folds=2, space=LEARNED, options={"seed": 3, "level": (80,)}
    ),
    "covariates": Kind(
        frame=rich(), columns={"target": "y", "past": ["p"], "future": ["f"], "calendar": True}, space=LEARNED
    ),
    "two targets": Kind(
        frame=rich(), columns={"target": ["y", "z"]}, split=(101, 19, 37), space=LEARNED, options={"seed": 11}
    ),
    "panel": Kind(frame=unequal(160, 120, 140), columns={"target": "y", "id": "shop"}, folds=2, space=LEARNED),
    "panel, rows at the end": Kind(
        frame=unequal(150, 110, same_end=False),
        columns={"target": "y", "id": "shop"},
        split="last:14,20",
        folds=2,
        space=LEARNED,
        options={"seed": 7, "level": (80,)},
    ),
    "panel, words": Kind(
        frame=with_words(unequal(150, 130)),
        columns={
            "target": "y",
            "id": "shop",
            "past": ["p", "weather"],
            "future": ["holiday"],
            "static": ["size", "town"],
        },
        space=LEARNED,
        trials=3,
    ),
    "panel, dates": Kind(
        frame=one_holed(unequal(150, 120)),
        columns={"target": "y", "id": "shop"},
        split="2024-04-10,2024-05-01",
        space=LEARNED,
    ),
    "all at once": Kind(
        frame=pd.concat([holed(part) for _, part in unequal(150, 170).groupby("shop", sort=False)]),
        columns={"target": ["z", "y"], "id": "shop", "past": ["p"], "future": ["f"], "calendar": True},
        space=SKIPS | {"loss_scale": ["window", "series"]},
        folds=2,
        options={"level": (80,)},
    ),
    "logarithms and differences": Kind(
        frame=daily(np.exp(0.4 * wave(160))),
        space=SKIPS | {"transform": "log", "difference": ["none", "first", "seasonal"]},
        trials=8,
    ),
    "windows brought to a norm": Kind(
        frame=daily(wave(160) + np.arange(160) / 40),
        space=SKIPS | {"window_norm": ["last", "standard"], "difference": ["none", "first"], "outlier_clip": 2.0},
        trials=8,
    ),
    "other networks": Kind(
        frame=daily(wave(160)),
        space=QUICK
        | {
            "skip": ["none", "last"],
            "learning_rate": 0.03,
            "patch": [1, 4],
            "head_units": [0, 3],
            "layers": [1, 2],
            "activation": ["relu", "gelu", "silu", "none"],
        }
        | {"cell_activation": ["tanh", "elu"], "weight_average": [0.0, 0.9], "dropout": 0.2, "epochs": 4, "patience": 4}
        | {"schedule": ["cosine", "plateau", "one_cycle"], "loss": ["mse", "huber"], "optimizer": ["adam", "rmsprop"]},
        trials=10,
    ),
    "large numbers": Kind(frame=daily(wave(160, level=1e7)), split=ROWS),
    "rows without time": Kind(frame=pd.DataFrame({"y": wave(160)}), split=ROWS),
}

CHECKS: dict[str, Callable[[Finished], None]] = {
    name.removeprefix("check_"): check
    for module in (oracle_checks, oracle_findings, oracle_outputs, oracle_trials, oracle_statistics)
    for name, check in vars(module).items()
    if name.startswith("check_")
}


def run_kind(kind: Kind, folder: Path, **changes: Any) -> Finished:
    """Run a study of a kind of data and return its folder beside the oracle's reading of the frame."""
    columns = {"target": "y", "calendar": False} | dict(kind.columns)
    frame = changes.pop("frame", kind.frame)
    options: dict[str, Any] = {
        "space": dict(kind.space),
        "split": kind.split,
        "horizon": kind.horizon,
        "folds": kind.folds,
        "n_trials": kind.trials,
        "retrain_seeds": kind.seeds,
        "sampler": "random",
        "pruner": "none",
        "try_advice": 0.0,  # trainings of their own, with tests in tests/ablation
        "out": folder / "run",
    }
    result = lstm_tune.tune(frame, **(columns | options | dict(kind.options) | changes))
    period = kind.options.get("season", 7)
    return Finished(
        folder=folder / "run",
        table=dataclasses.replace(read_table(frame, **columns), period=period),
        study=result.study,
        split=kind.split,
        folds=kind.folds,
        period=period,
        frame_rows=len(frame),
        seed=kind.options.get("seed", 0),
        levels=kind.options.get("level", ()),
    )
