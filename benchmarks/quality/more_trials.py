"""What more trials are worth: test MSE of the mean forecast after 5, 10, 20, 40 … trials, under several rules.

    python benchmarks/quality/more_trials.py --keep DIR [--only nottem,ETTh1_96] [--trials 40] [--seed 0] [--data DIR]
    python benchmarks/quality/more_trials.py --keep DIR --replay [--figure FILE.html]

Each study runs once, and each completed trial is retrained on train and validation rows with three seeds, as `tune`
does. What the rules need is kept in DIR, a file for each series: the errors of each trial on a sample of every
validation block, and all of its errors on the test rows, which no rule sees. `--replay` applies the rules to these
files in seconds. The rules were chosen without the series of `pool.LEFT_OUT`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import numpy as np
import optuna
import plotly.graph_objects as go
import torch
from common import machine, pool_arguments, show_machine, wide_console
from kept_studies import PRETRAINED, Kept, read, run_series, save
from pool import LEFT_OUT, MORE, SMALL, chosen
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lstm_tune.diagnosis.search_outlook import expect
from lstm_tune.errors import LstmTuneError
from lstm_tune.models.pretrained import FURTHEST
from lstm_tune.report.environment import versions
from lstm_tune.training.ensemble import weigh
from lstm_tune.training.stacking import best_pull, stacked_weights
from lstm_tune.utils.duration import parse_duration
from lstm_tune.utils.process import keep_freed_memory

SIMPLE = ("persistence", "seasonal_naive", "ridge", "ets")
CUTS = (5, 10, 20, 40, 80, 160)
LENGTHS = {"under 300 rows": (0, 300), "300 to 1,000": (300, 1001), "longer": (1001, 10**9)}

# ---- rules: from the candidates of the first trials to the weights of forecasts

Weights = dict[str, float]
Rule = Callable[[Kept, int], Weights]


def by_value(kept: Kept, trials: int) -> Weights:
    """Weights from the validation values alone."""
    few = [c for c in kept.candidates if c.number < trials]
    parts = weigh(few, known=kept.known, independent=kept.independent, blocks=len(kept.reference))
    weights: Weights = {}
    for part in parts:
        name = f"{'t' if part.epochs or f'u{part.number}' not in kept.test else 'u'}{part.number}"
        weights[name] = weights.get(name, 0.0) + part.weight
    return weights


def with_pretrained(kept: Kept, trials: int, share: float = 0.35) -> Weights:
    """Weights from the values, and a share for the LSTM trained beforehand, if it may take part."""
    weights = by_value(kept, trials)
    if PRETRAINED not in kept.test or kept.horizon > FURTHEST:
        return weights
    *errors, own = np.diag(kept.products([*weights, PRETRAINED]))
    share *= min(1.0, min(errors) / own) ** 2
    return {name: (1 - share) * weight for name, weight in weights.items()} | {PRETRAINED: share}


def trained_alone(kept: Kept, trials: int) -> Weights:
    """The same without untrained forecasts; with them, if there is nothing else."""
    weights = by_value(kept, trials)
    trained = {name: weight for name, weight in weights.items() if name.startswith("t")} or weights
    return {name: weight / sum(trained.values()) for name, weight in trained.items()}


def best_trial(kept: Kept, trials: int) -> Weights:
    """The trial of the least value alone."""
    best = min((c for c in kept.candidates if c.number < trials), key=lambda c: c.value)
    return {f"t{best.number}": 1.0}


def stacked(
    kept: Kept, trials: int, prior: Rule = with_pretrained, pull: float | None = None, window_rows: int = 24
) -> Weights:
    """Least squares on the blocks, drawn towards the weights of another rule; a window counts as `window_rows`.

    pull: of the prior; None: as `tune` chooses it.
    """
    given = prior(kept, trials)
    names, weights = list(given), list(given.values())
    if pull is None:
        blocks = [kept.products(names, [b]) for b in range(len(kept.reference))]
        pull = best_pull(blocks, np.array(weights), _windows(kept, window_rows))
    return _solve(kept, names, weights, kept.products(names), pull, window_rows)


def _windows(kept: Kept, window_rows: int) -> float:
    return kept.independent * len(kept.reference) / max(1.0, window_rows / kept.horizon)


def _solve(
    kept: Kept,
    names: Sequence[str],
    prior: Sequence[float],
    products: np.ndarray,
    pull: float = 1.0,
    window_rows: int = 1,
) -> Weights:
    found = stacked_weights(products, np.array(prior), _windows(kept, window_rows), pull)
    return dict(zip(names, found.tolist(), strict=True))


def one_block_out(kept: Kept, trials: int) -> Weights:
    """The mean of the weights that least squares finds on all blocks but one, each left out in turn."""
    given = with_pretrained(kept, trials)
    names, every = list(given), range(len(kept.reference))
    mean: Weights = dict.fromkeys(names, 0.0)
    for out in every:
        products = kept.products(names, [b for b in every if b != out])
        for name, weight in _solve(kept, names, list(given.values()), products, window_rows=24).items():
            mean[name] += weight / len(every)
    return mean


def simple(kept: Kept, _: int) -> Weights:
    """The combination of the forecasts that need no network."""
    products = kept.products(SIMPLE)
    prior = 1 / np.diag(products) ** 2
    return _solve(kept, SIMPLE, (prior / prior.sum()).tolist(), products)


def with_simple(kept: Kept, trials: int, share: float) -> Weights:
    """Our mean, and the combination of the simple forecasts beside it."""
    own, other = stacked(kept, trials), simple(kept, trials)
    return {n: (1 - share) * own.get(n, 0.0) + share * other.get(n, 0.0) for n in {**own, **other}}


def known_alone(kept: Kept, trials: int) -> Weights:
    """Our mean of the known configurations."""
    return stacked(kept, min(kept.known, trials))


OURS = "what tune does"  # pipeline.members
RULES: dict[str, Rule] = {
    "combination, no network": simple,
    "best trial alone": best_trial,
    "by value": by_value,
    OURS: stacked,
    "… known configurations alone": known_alone,
    "… nothing trained beforehand": lambda k, n: stacked(k, n, by_value),
    "… a share of .2 for it": lambda k, n: stacked(k, n, lambda a, b: with_pretrained(a, b, 0.2)),
    "… a share of .5 for it": lambda k, n: stacked(k, n, lambda a, b: with_pretrained(a, b, 0.5)),
    "trained beforehand, alone": lambda k, n: {PRETRAINED: 1.0} if PRETRAINED in k.test else simple(k, n),
    "… nothing untrained": lambda k, n: stacked(k, n, trained_alone),
    "… pull .1": lambda k, n: stacked(k, n, pull=0.1),
    "… pull 1": lambda k, n: stacked(k, n, pull=1.0),
    "… pull 10": lambda k, n: stacked(k, n, pull=10.0),
    "… windows of a horizon": lambda k, n: stacked(k, n, window_rows=1),
    "… one block out": one_block_out,
    "… and combination .15": lambda k, n: with_simple(k, n, 0.15),
    "… and combination .3": lambda k, n: with_simple(k, n, 0.3),
}

# ---- the replay


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """Each rule on one series after each number of trials: MSE over that of the combination of simple forecasts."""

    series: str
    left_out: bool  # of the choice of the rules
    rows: int
    best_simple: float  # of the simple forecast that is best on the blocks
    test: dict[str, list[float]]
    blocks: dict[str, list[float]]  # the same on the validation blocks
    expected: list[float | None]  # gain on new rows of as many trials again; None: too few to tell


def replay(studies: Sequence[Kept], cuts: Sequence[int]) -> list[Replayed]:
    """Apply all rules to the first trials of each study."""
    return [_replay(kept, cuts, left_out=kept.series in LEFT_OUT) for kept in studies]


def _replay(kept: Kept, cuts: Sequence[int], *, left_out: bool) -> Replayed:
    unit = simple(kept, cuts[-1])
    mse, seen = kept.mse(unit), kept.block_mse(unit)
    found = {name: [rule(kept, cut) for cut in cuts] for name, rule in RULES.items()}
    values = {c.number: c.value for c in kept.candidates}
    outlooks = [expect([values.get(number, math.inf) for number in range(cut)]) for cut in cuts]
    gains = [math.nan if outlook is None else outlook.gain for outlook in outlooks]
    return Replayed(
        series=kept.series,
        left_out=left_out,
        rows=kept.rows,
        best_simple=kept.mse({min(SIMPLE, key=lambda name: kept.block_mse({name: 1.0})): 1.0}) / mse,
        test={name: [kept.mse(weights) / mse for weights in every] for name, every in found.items()},
        blocks={name: [kept.block_mse(weights) / seen for weights in every] for name, every in found.items()},
        expected=[gain if math.isfinite(gain) else None for gain in gains],
    )


def _mean(ratios: Sequence[float]) -> float:
    return math.exp(np.mean(np.log(ratios))) if ratios else math.nan


# ---- output


def show(console: Console, replayed: Sequence[Replayed], cuts: Sequence[int]) -> None:
    """Print tables for people: every rule on both halves, ours by length, and what was expected of more trials."""
    halves = {"choice": [r for r in replayed if not r.left_out], "left out": [r for r in replayed if r.left_out]}
    counts = ", ".join(f"{name} {len(half)}" for name, half in halves.items())
    console.print(f"test MSE over that of the combination of simple forecasts, geometric means ({counts} series)")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("rule")
    for name in halves:
        for cut in cuts:
            table.add_column(f"{name}, {cut}", justify="right")
    table.add_column("worst", justify="right")
    for rule in RULES:
        cells = [f"{_mean([r.test[rule][i] for r in half]):.3f}" for half in halves.values() for i in range(len(cuts))]
        table.add_row(rule, *cells, f"{max(r.test[rule][-1] for r in replayed):.2f}")
    console.print(table)
    for name, (low, high) in LENGTHS.items():
        some = [r for r in replayed if low <= r.rows < high]
        means = [f"{_mean([r.test[OURS][i] for r in some]):.3f}" for i in range(len(cuts))]
        console.print(f"{OURS}, {name} ({len(some)} series): {' '.join(means)}")
    best = [f"{_mean([r.test[OURS][i] / r.best_simple for r in replayed]):.3f}" for i in range(len(cuts))]
    worst = max(r.test[OURS][-1] / r.best_simple for r in replayed)
    console.print(f"{OURS}, over the simple forecast that is best on the blocks: {' '.join(best)}, worst {worst:.2f}")
    optimism = [f"{_mean([r.test[OURS][i] / r.blocks[OURS][i] for r in replayed]):.3f}" for i in range(len(cuts))]
    console.print(
        f"optimism, test over validation ratio, after {', '.join(map(str, cuts))} trials: {' '.join(optimism)}"
    )
    for i in range(len(cuts) - 1):
        if cuts[i + 1] == 2 * cuts[i]:
            console.print(_expectation(replayed, i, cuts))


def _expectation(replayed: Sequence[Replayed], i: int, cuts: Sequence[int]) -> str:
    """Return what more trials were expected to bring, and what they brought.

    To go on was right if the error fell, to stop if it fell by less than 1%.
    """
    pairs = [(r.expected[i], 1 - r.test[OURS][i + 1] / r.test[OURS][i]) for r in replayed]
    told = [(expected, real) for expected, real in pairs if expected is not None]
    if not told:
        return f"from {cuts[i]} to {cuts[i + 1]} trials: too few to expect anything"
    right = sum(real > 0 if expected >= 0.01 else real < 0.01 for expected, real in told)
    means = [float(np.mean([pair[j] for pair in told])) for j in range(2)]
    return (
        f"from {cuts[i]} to {cuts[i + 1]} trials: expected {means[0]:.1%}, found {means[1]:.1%} on average; "
        f"go on or stop was right in {right} of {len(told)}"
    )


def draw(replayed: Sequence[Replayed], cuts: Sequence[int], path: Path) -> None:
    """Write a figure: the geometric mean of each rule against the number of trials."""
    figure = go.Figure()
    for rule in RULES:
        means = [_mean([r.test[rule][i] for r in replayed]) for i in range(len(cuts))]
        figure.add_scatter(x=list(cuts), y=means, name=rule, mode="lines+markers")
    figure.update_xaxes(title="trials", type="log", tickvals=list(cuts))
    figure.update_yaxes(title="test MSE over that of the combination of simple forecasts")
    figure.write_html(path, include_plotlyjs="cdn")


def main(argv: Sequence[str] | None = None) -> int:
    """Run or replay the series asked for; return the exit status."""
    parser: argparse.ArgumentParser = pool_arguments("What more trials are worth.", trials=40)
    parser.add_argument("--keep", type=Path, required=True, metavar="DIR", help="where the errors are kept")
    parser.add_argument("--timeout", metavar="TIME", help="of each study, such as 10m; what it has by then is kept")
    parser.add_argument("--pruner", default="none", help="of the studies; none, so that any rule can be tried")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="with the files of the long series"
    )
    parser.add_argument("--replay", action="store_true", help="train nothing: apply the rules to what is kept")
    parser.add_argument("--figure", type=Path, metavar="FILE.html", help="draw the rules against the trials")
    args = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    keep_freed_memory()
    args.keep.mkdir(parents=True, exist_ok=True)
    names = args.only or ",".join([*SMALL, *(series.name for series in MORE)])
    studies: list[Kept] = []
    try:
        limit = math.inf if args.timeout is None else parse_duration(args.timeout)
        for series, frame in chosen(names, args.data):
            path = args.keep / f"{series.name}-{args.seed}.npz"
            if not args.replay and not path.exists():
                began = time.monotonic()
                save(run_series(series, frame, args.trials, args.seed, args.pruner, limit), path)
                print(f"{series.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if path.exists():
                studies.append(read(path))
    except (LstmTuneError, ValueError) as error:
        print(f"more_trials: {error}", file=sys.stderr)
        return 2
    if not studies:
        print("more_trials: nothing is kept yet; run without --replay first", file=sys.stderr)
        return 2
    most = min(kept.trials for kept in studies)
    cuts = [cut for cut in CUTS if cut <= most] or [most]
    replayed = replay(studies, cuts)
    console = wide_console()
    show(console, replayed, cuts)
    show_machine(console, machine(), versions())
    if args.figure is not None:
        draw(replayed, cuts, args.figure)
    print(json.dumps({"cuts": cuts, "seed": args.seed, "series": [asdict(r) for r in replayed]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
