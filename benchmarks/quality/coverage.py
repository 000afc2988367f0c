"""How often the 95% intervals hold: `ci95` and `skill_ci95` on simulated forecasts whose true MSE is known.

    python benchmarks/quality/coverage.py [--repeats 1000] [--seed 0]

Each column is an autoregressive process of order 1 (coefficient .9). Its optimal forecast is compared with the last
value, over all horizons of a window; both have an MSE that is known in closed form. The shocks of the columns are
correlated. A fifth of the targets of every other column is missing. The script fails if, in a setting of five blocks or
more, `ci95` holds in fewer than 92% or more than 97% of the simulations, or `skill_ci95` in fewer than 92% (a skill on
few windows is surer than it says). 99% limits of chance are added.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import numpy as np
from common import machine, show_machine, wide_console
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.signal import lfilter

from lstm_tune.evaluation.score import Score
from lstm_tune.evaluation.significance import TimeBlocks, compare, interval
from lstm_tune.report.environment import versions

PHI = 0.9
COLUMNS = (1, 7, 20, 50)
CORRELATIONS = (0.0, 0.5, 0.9)
SIZES = ((1, 40), (1, 400), (12, 60), (12, 400))  # horizon, test windows
LEAST, MOST = 0.92, 0.97
FEW = 5  # blocks: below, the interval is shown and not judged


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """How often the intervals of one setting held, and how wide they were."""

    horizon: int
    windows: int
    columns: int
    correlation: float
    blocks: int
    ci95: float  # share of simulations in which the interval held the true MSE
    skill_ci95: float
    width: float  # median of high over low, of `ci95`

    def judge(self, repeats: int) -> bool:
        """Return whether both shares are within the limits, give or take chance."""
        slack = 2.58 * math.sqrt(0.95 * 0.05 / repeats)
        low, high = min(self.ci95, self.skill_ci95), self.ci95
        return self.blocks < FEW or (low >= LEAST - slack and high <= MOST + slack)


def simulate(
    rng: np.random.Generator, horizon: int, n: int, columns: int, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return squared errors (2, n, columns) of the optimal forecast and the last value, and counts of targets."""
    rows = n + horizon + 100
    shocks = math.sqrt(correlation) * rng.standard_normal((rows, 1))
    shocks = shocks + math.sqrt(1 - correlation) * rng.standard_normal((rows, columns))
    y = lfilter([1.0], [1.0, -PHI], shocks, axis=0)[100:]
    seen = rng.random(y.shape) > 0.2 * (np.arange(columns) % 2)
    errors, count = np.zeros((2, n, columns)), np.zeros((n, columns))
    for h in range(1, horizon + 1):
        there = seen[h : h + n]
        for i, ahead in enumerate((PHI**h * y[:n], y[:n])):
            errors[i] += np.square(y[h : h + n] - ahead) * there
        count += there
    return errors, count


def true_mse(horizon: int) -> tuple[float, float]:
    """Return the expected MSE of the optimal forecast and of the last value."""
    h = np.arange(1, horizon + 1)
    return float(np.mean((1 - PHI ** (2 * h)) / (1 - PHI**2))), float(np.mean(2 * (1 - PHI**h) / (1 - PHI**2)))


def measure(horizon: int, n: int, columns: int, correlation: float, repeats: int, seed: int) -> Case:
    """Simulate one setting many times."""
    rng = np.random.default_rng([seed, horizon, n, columns, round(100 * correlation)])
    place, group = np.tile(np.arange(n), columns), np.repeat(np.arange(columns), n)
    blocks = TimeBlocks.cut(place, 4 * horizon, group, columns)
    mse, naive = true_mse(horizon)
    held, sure, widths = 0, 0, []
    for _ in range(repeats):
        errors, counts = simulate(rng, horizon, n, columns, correlation)
        own, other, count = (x.T.reshape(-1) for x in (errors[0], errors[1], counts))
        score = Score(
            mse=(), mae=(), r2=(), mse_scaled=math.nan, per_step_mse=(),
            window_error=own, window_count=count, windows=len(own), series_mse=np.zeros((columns, 1)),
        )  # fmt: skip
        low, high = interval(score, blocks)
        held += low <= mse <= high
        widths.append(high / low)
        against = compare(own, other, count, blocks)
        sure += against.low <= mse / naive <= against.high
    return Case(
        horizon=horizon,
        windows=n,
        columns=columns,
        correlation=correlation,
        blocks=blocks.count,
        ci95=held / repeats,
        skill_ci95=sure / repeats,
        width=float(np.median(widths)),
    )


def cases(repeats: int, seed: int) -> Iterator[Case]:
    """Yield every setting."""
    for horizon, n in SIZES:
        for columns in COLUMNS:
            for correlation in CORRELATIONS if columns > 1 else CORRELATIONS[:1]:
                yield measure(horizon, n, columns, correlation, repeats, seed)


def show(found: Sequence[Case]) -> None:
    """Print the table and the machine."""
    console, table = wide_console(), Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("horizon", "windows", "columns", "correlation", "blocks", "ci95", "skill_ci95", "high / low"):
        table.add_column(title, justify="right")
    for c in found:
        setting = (c.horizon, c.windows, c.columns, c.correlation, c.blocks)
        table.add_row(*map(str, setting), f"{c.ci95:.1%}", f"{c.skill_ci95:.1%}", f"{c.width:.2f}")
    console.print(table)
    show_machine(console, machine(), versions())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all settings; return 1 if an interval does not hold as often as it says."""
    parser = argparse.ArgumentParser(description="How often the 95% intervals hold.")
    parser.add_argument("--repeats", type=int, default=1000, metavar="N", help="simulations of each setting")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    found = list(cases(args.repeats, args.seed))
    show(found)
    wrong = [case for case in found if not case.judge(args.repeats)]
    print(f"{len(found) - len(wrong)} of {len(found)} settings hold as often as they should")
    print(json.dumps({"repeats": args.repeats, "seed": args.seed, "cases": [asdict(case) for case in found]}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
