"""Does this tree write the same model and the same forecasts, to the byte, as an earlier commit?

    python benchmarks/robustness/same_bytes.py COMMIT [--data DIR] [--only sunspots,panel] [--keep DIR]

The earlier commit is checked out into a temporary git worktree. Both trees run four studies with this interpreter, one
seed and one worker: sunspots, ETTh1, a panel of three series, and a series with covariates and gaps. Then this tree
resumes a study that the earlier one has begun, and loads a model that the earlier one has saved.

Prints a table for people and, as its last line, the same as JSON. Exit status: 0 everything is the same; 1 something
differs or fails, and the table says how; 2 wrong usage, or a missing file.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import numpy as np
import pandas as pd
from common import machine, show_machine, wide_console
from rich.table import Table

from lstm_tune.report.environment import versions

REPOSITORY = Path(__file__).resolve().parents[2]
COMPARED = ("model/weights.safetensors", "forecast.csv")
TIMINGS = ["seconds"]  # columns of trials.csv that no two runs share
TOLERANCE = 1e-6  # relative; printed forecasts had seven digits


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A study that both trees run."""

    name: str
    options: tuple[str, ...]
    trials: int
    write: Callable[
        [Path, Path], tuple[str, str]
    ]  # folders for generated and given data -> DATA of tune and of predict


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One thing that is to be the same, and whether it is."""

    case: str
    what: str
    same: bool
    difference: str = ""


class Failed(Exception):
    """A comparison could not be made."""


def sunspots(_folder: Path, _given: Path) -> tuple[str, str]:
    """Name the example that statsmodels ships."""
    return "example:sunspots", "example:sunspots"


def etth1(_folder: Path, given: Path) -> tuple[str, str]:
    """Find the public file.

    Raises:
        Failed: it is not there.
    """
    path = given / "ETTh1.csv"
    if not path.is_file():
        raise Failed(
            f"there is no {path}; download it (GitHub, repository zhouhaoyi/ETDataset, folder ETT-small), name its "
            f"folder with --data, or choose the other studies with --only"
        )
    return str(path.resolve()), str(path.resolve())


def panel(folder: Path, _given: Path) -> tuple[str, str]:
    """Write three daily series of different levels, below each other, with a weekly season."""
    rng = np.random.default_rng(0)
    rows, n = [], 240
    for k, name in enumerate("abc", start=1):
        season = k * np.sin(2 * np.pi * np.arange(n) / 7)
        drift = 0.2 * rng.normal(0, 0.3, n).cumsum()
        days = pd.date_range("2020-01-01", periods=n, freq="D")
        rows.append(pd.DataFrame({"id": name, "t": days, "y": 10 * k + season + drift}))
    path = folder / "panel.csv"
    pd.concat(rows).to_csv(path, index=False)
    return str(path), str(path)


def covariates(folder: Path, _given: Path) -> tuple[str, str]:
    """Write an hourly series with a past and a future covariate, missing values and missing rows.

    The second file continues the first one by four rows whose future covariate is known.
    """
    rng, n = np.random.default_rng(1), 504
    x = rng.normal(0, 1, n)
    z = np.sin(2 * np.pi * np.arange(n) / 24)
    hours = pd.date_range("2020-01-01", periods=n, freq="h")
    frame = pd.DataFrame({"t": hours, "y": 0.5 * x + 2 * z + rng.normal(0, 0.2, n), "x": x, "z": z})
    frame.loc[50:60, "y"] = np.nan
    frame.loc[120:122, "x"] = np.nan
    frame = frame.drop(index=range(200, 206))
    past, ahead = folder / "covariates.csv", folder / "covariates_ahead.csv"
    frame[:-4].to_csv(past, index=False)
    frame.loc[n - 4 :, ["y", "x"]] = np.nan
    frame.to_csv(ahead, index=False)
    return str(past), str(ahead)


QUICK = ("--space", "quick")
CASES = (
    Case(name="sunspots", options=QUICK, trials=3, write=sunspots),
    Case(
        name="ETTh1",
        options=("--target", "OT", "--horizon", "96", "--split", "8640,2880,2880", "--retrain-seeds", "1"),
        trials=2,
        write=etth1,
    ),
    Case(name="panel", options=(*QUICK, "--id", "id", "--target", "y", "--horizon", "3"), trials=3, write=panel),
    Case(
        name="covariates",
        options=(*QUICK, "--target", "y", "--past", "x", "--future", "z", "--calendar", "--horizon", "4"),
        trials=3,
        write=covariates,
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """A checkout of the project, and the folder for what it writes."""

    name: str
    root: Path
    runs: Path

    def command(self, *arguments: str) -> str:
        """Run `lstm-tune` of this tree; return what it prints.

        Raises:
            Failed: it ended with another status than 0.
        """
        environment = {**os.environ, "PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "lstm_tune", *arguments]
        done = subprocess.run(command, cwd=self.runs, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"{self.name}: lstm-tune {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def study(self, case: Case, data: str, run: str, *, trials: int, resume: bool = False) -> Path:
        """Run a study, or continue it; return its run folder."""
        fixed = ("--seed", "0", "--workers", "1", "--precision", "fp32", "--quiet", "--out", run)
        options = (*case.options, "--trials", str(trials), *fixed, *(["--resume"] if resume else []))
        self.command("tune", data, *options)
        return self.runs / run

    def check(self) -> None:
        """Make sure that the package that runs is this tree's.

        Raises:
            Failed: another installed copy of the package comes first.
        """
        code = "import lstm_tune; print(lstm_tune.__file__)"
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        command = [sys.executable, "-c", code]
        found = subprocess.run(command, cwd=self.runs, env=environment, capture_output=True, text=True, check=True)
        if not Path(found.stdout.strip()).is_relative_to(self.root):
            raise Failed(f"{self.name}: Python imports {found.stdout.strip()} and not the package in {self.root}")


@contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    """Check a commit out beside this tree, and remove it again.

    Raises:
        Failed: git does not know the commit.
    """
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    done = subprocess.run([*git, "add", "--detach", str(folder), commit], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"git worktree add {commit}: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=False, capture_output=True)


def largest_difference(before: pd.DataFrame, after: pd.DataFrame) -> str:
    """Say in words how far two tables are apart; an empty text: at most `TOLERANCE` in each number."""
    if list(before.columns) != list(after.columns) or len(before) != len(after):
        return f"{len(before)} rows of {', '.join(before)} against {len(after)} rows of {', '.join(after)}"
    for column in before:
        old, new = before[column], after[column]
        if not pd.api.types.is_numeric_dtype(old) or not pd.api.types.is_numeric_dtype(new):
            if not old.astype(str).equals(new.astype(str)):
                return f"column {column}: {int((old.astype(str) != new.astype(str)).sum())} of {len(old)} cells differ"
            continue
        apart = (new - old).abs() / np.maximum(old.abs(), 1e-12)
        if (old.isna() != new.isna()).any() or apart.max() > TOLERANCE:
            return f"column {column}: up to {apart.max():.1e} relative"
    return ""


def compare_runs(case: str, before: Path, after: Path, note: str = "") -> Iterator[Comparison]:
    """Compare the model, the forecasts and the trials of two run folders."""
    for name in COMPARED:
        old, new = (hashlib.sha256((run / name).read_bytes()).hexdigest() for run in (before, after))
        difference = ""
        if old != new:
            difference = "other bytes"
            if name.endswith(".csv"):
                apart = largest_difference(pd.read_csv(before / name), pd.read_csv(after / name))
                difference = apart or "the numbers are the same"
        yield Comparison(case=case, what=f"{name}{note}", same=old == new, difference=difference)
    tables = [pd.read_csv(run / "trials.csv").drop(columns=TIMINGS) for run in (before, after)]
    apart = largest_difference(*tables)
    yield Comparison(case=case, what=f"trials.csv but for the times{note}", same=not apart, difference=apart)


def compare_case(case: Case, data: str, ahead: str, old: Tree, new: Tree) -> Iterator[Comparison]:
    """Run a study in both trees; then continue and load in the new one what the old one has made."""
    before = old.study(case, data, case.name, trials=case.trials)
    after = new.study(case, data, case.name, trials=case.trials)
    yield from compare_runs(case.name, before, after)
    half = old.study(case, data, f"{case.name}-resumed", trials=case.trials - 1)
    new.study(case, data, str(half), trials=case.trials, resume=True)
    yield from compare_runs(case.name, before, half, note=", resumed")
    forecasts = [pd.read_csv(io.StringIO(tree.command("predict", str(before), ahead))) for tree in (old, new)]
    apart = largest_difference(*forecasts)
    yield Comparison(case=case.name, what="predict with the earlier model", same=not apart, difference=apart)


def attempt(case: Case, data: str, ahead: str, old: Tree, new: Tree) -> Iterator[Comparison]:
    """Compare one case; a command that fails is a difference and does not end the others."""
    try:
        yield from compare_case(case, data, ahead, old, new)
    except Failed as error:
        yield Comparison(case=case.name, what="all commands end well", same=False, difference=str(error))


def show(commit: str, comparisons: Sequence[Comparison]) -> None:
    """Print a table for people and a line for programs."""
    console = wide_console()
    table = Table("study", "compared", f"as at {commit}")
    for c in comparisons:
        table.add_row(c.case, c.what, "the same" if c.same else f"differs: {c.difference}")
    console.print(table)
    hardware, software = machine(), versions()
    show_machine(console, hardware, software)
    same = all(c.same for c in comparisons)
    result = {"commit": commit, "same": same, "comparisons": [asdict(c) for c in comparisons]}
    print(json.dumps({"machine": hardware, "versions": software, **result}))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The same bytes as at an earlier commit?")
    parser.add_argument("commit", metavar="COMMIT", help="the earlier commit, as git names it")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="holds ETTh1.csv")
    parser.add_argument(
        "--only", metavar="NAMES", help=f"studies, with commas between: {','.join(c.name for c in CASES)}"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the run folders of both trees there")
    args = parser.parse_args(arguments)
    wanted = args.only.split(",") if args.only else [c.name for c in CASES]
    if unknown := set(wanted) - {c.name for c in CASES}:
        parser.error(f"--only: no study is called {', '.join(sorted(unknown))}")
    try:
        with tempfile.TemporaryDirectory(prefix="lstm-tune-same-bytes-") as temporary:
            work = (args.keep or Path(temporary)).resolve()
            for name in ("data", "before", "after"):
                (work / name).mkdir(parents=True, exist_ok=True)
            cases = [(case, *case.write(work / "data", args.data)) for case in CASES if case.name in wanted]
            with worktree(args.commit, Path(temporary) / "worktree") as root:
                old = Tree(name=args.commit, root=root, runs=work / "before")
                new = Tree(name="this tree", root=REPOSITORY, runs=work / "after")
                old.check()
                new.check()
                comparisons = [c for case in cases for c in attempt(*case, old, new)]
    except Failed as error:
        print(f"same_bytes: {error}", file=sys.stderr)
        return 2
    show(args.commit, comparisons)
    return 0 if all(c.same for c in comparisons) else 1


if __name__ == "__main__":
    sys.exit(main())
