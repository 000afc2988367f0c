"""Make one mistake at a time in a copy of the package, and see whether the tests of the laws notice it.

    python benchmarks/robustness/mutants.py [--names A,B] [--sample 10 --seed 0] [--jobs 2] [--check] [--remember]

The mistakes are listed in `mutants.toml`: each has a name, what it breaks, a file, a text of it and another text in its
place, and the tests that are run first because they are the likeliest to notice. If those pass, all tests marked `laws`
are run, so that a mistake survives only if every one of them passes. An edit that no longer applies, or after which the
package cannot be imported, counts as not done. If code has moved, the edit is made where its text stands now.

The libraries are imported once, and every mistake has a process that is forked from there. Its tests end at the first
failure, so that a mistake whose tests are well chosen takes a few seconds. All tests are run at the end, on those that
the chosen ones did not notice; `--first` leaves that out, and these count as survivors.

`--remember` writes the test that noticed a mistake into the table, to be run first the next time. `--check` applies the
edits and runs nothing.

The last line is JSON; the exit status is 1 if a mistake survived or was not done, or if the tests fail without any
mistake.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import pkgutil
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import pytest
from common import busy, machine, show_machine, wide_console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_suffix(".toml")
COPIED = ("lstm_tune", "search_spaces", "tests", "pyproject.toml", "README.md")
# Imported once and shared by all processes: a mistake is made in none of them.
PRELOADED = ("torch", "optuna", "pandas", "pyarrow.csv", "sklearn", "statsmodels.api", "scipy.stats",
             "safetensors.torch", "plotly", "typer", "rich", "pytest")  # fmt: skip
LIMIT = 900  # seconds after which a mistake counts as noticed: the tests hang


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One edit that breaks a law or a promise."""

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()

    def apply(self, folder: Path) -> str:
        """Make the mistake in a copy; return why it cannot be made, or nothing."""
        path = self.place(folder)
        if path is None:
            return f"its old text does not stand once in {self.file}, nor in one other module alone"
        path.write_text(path.read_text().replace(self.old, self.new))
        return ""

    def place(self, folder: Path) -> Path | None:
        """Return the file that holds the old text once: the one that is named, or the only other one."""
        named = folder / self.file
        if named.is_file() and named.read_text().count(self.old) == 1:
            return named
        found = [(path, path.read_text().count(self.old)) for path in (folder / "lstm_tune").rglob("*.py")]
        holding = [path for path, count in found if count]
        return holding[0] if len(holding) == 1 and dict(found)[holding[0]] == 1 else None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What became of a mistake: "noticed", "survived" or "not done"; the test that noticed it, or why it was not."""

    mistake: Mistake
    outcome: str
    by: str
    seconds: float


def read_table(path: Path = TABLE) -> list[Mistake]:
    """Return the mistakes.

    Raises:
        SystemExit: two have the same name, or one changes nothing.
    """
    mistakes = [
        Mistake(**entry | {"tests": tuple(entry.get("tests", ()))})
        for entry in tomllib.loads(path.read_text())["mistake"]
    ]
    names = Counter(m.name for m in mistakes)
    if wrong := [m.name for m in mistakes if names[m.name] > 1 or m.old == m.new]:
        raise SystemExit(f"{path.name}: twice there, or without a change: {', '.join(wrong)}")
    return mistakes


def choose(mistakes: Sequence[Mistake], names: str | None, sample: int | None, seed: int) -> list[Mistake]:
    """Return the mistakes of some names, or a sample that is spread over what they break."""
    if names:
        wanted = names.split(",")
        if unknown := set(wanted) - {m.name for m in mistakes}:
            raise SystemExit(f"--names: not in {TABLE.name}: {', '.join(sorted(unknown))}")
        return [m for m in mistakes if m.name in wanted]
    if sample is None:
        return list(mistakes)
    rng = random.Random(seed)
    groups: dict[str, list[Mistake]] = {}
    for mistake in rng.sample(list(mistakes), len(mistakes)):
        groups.setdefault(mistake.breaks.split(":")[0], []).append(mistake)
    in_turn = [group[i] for i in range(len(mistakes)) for group in groups.values() if i < len(group)]
    return in_turn[:sample]


# ---- one mistake, in a process of its own


class _First:
    """A pytest plugin that keeps the name of the first test that fails."""

    name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid


def run_tests(folder: Path, chosen: Sequence[str], answer: Any) -> None:
    """Import the package of a copy and run some of its tests; send ("crash" | "failed" | "passed", detail)."""
    os.chdir(folder)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    with open(folder / "out.txt", "w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        try:
            package = importlib.import_module("lstm_tune")
            if not str(package.__file__).startswith(str(folder)):
                answer.send(("crash", f"{package.__file__} was imported in place of the copy"))
                return
            for module in pkgutil.walk_packages(package.__path__, "lstm_tune."):
                if not module.name.endswith("__main__"):
                    importlib.import_module(module.name)
        except Exception as error:
            answer.send(("crash", f"it cannot be imported: {type(error).__name__}: {error}"))
            return
        options = ["-x", "-q", "-m", "laws", "-p", "no:cacheprovider", "--rootdir", str(folder)]
        # 4: a test of the table is no longer there; 5: none is marked
        for tests, harmless in [(f"tests/{name}", (0, 4, 5)) for name in chosen] or [("tests", (0,))]:
            seen = _First()
            if pytest.main([*options, tests], plugins=[seen]) not in harmless:
                answer.send(("failed", seen.name or "the tests could not be run"))
                return
        answer.send(("passed", ""))


def examine(context: Any, tree: Path, mistake: Mistake | None, chosen: Sequence[str] = ()) -> Found:
    """Make a mistake (None: none) in a copy of the tree of its own, and run the chosen tests, or all of the laws."""
    nothing = Mistake(name="none", breaks="", file="", old="", new="")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lstm-tune-mutants-") as temporary:
        folder = Path(temporary).resolve()
        copy_tree(tree, folder)
        if mistake is not None and (reason := mistake.apply(folder)):
            return Found(mistake=mistake, outcome="not done", by=reason, seconds=0.0)
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=run_tests, args=(folder, chosen, sender))
        process.start()
        sender.close()
        try:
            kind, detail = receiver.recv() if receiver.poll(LIMIT) else ("failed", f"not over after {LIMIT} s")
        except EOFError:
            process.join()
            said = (folder / "out.txt").read_text().strip().splitlines() or [""]
            kind = "failed" if (process.exitcode or 0) < 0 else "crash"  # a signal is the mistake's, an error is ours
            detail = f"the process ended with status {process.exitcode}: {said[-1]}"
        process.kill()
        process.join()
        seconds = time.monotonic() - began
    outcome = {"crash": "not done", "failed": "noticed", "passed": "survived"}[kind]
    return Found(mistake=mistake or nothing, outcome=outcome, by=detail, seconds=seconds)


def copy_tree(tree: Path, folder: Path) -> None:
    """Copy what the tests need, without compiled files."""
    for name in COPIED:
        source = tree / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


# ---- all of them


def show(results: Sequence[Found], commit: str) -> dict[str, Any]:
    """Print what became of each mistake, and the count by law; return it for programs."""
    console = wide_console()
    table = Table("breaks", "mistake", "", "by", "s")
    for r in results:
        table.add_row(r.mistake.breaks, r.mistake.name, r.outcome, r.by, f"{r.seconds:.0f}")
    console.print(table)
    laws: dict[str, Counter[str]] = {}
    for r in results:
        laws.setdefault(r.mistake.breaks.split(":")[0], Counter())[r.outcome] += 1
    for law, counts in sorted(laws.items()):
        console.print(f"{law}: {counts['noticed']} of {counts.total()} noticed")
    show_machine(console, machine(), {"commit": commit, "load": str(busy())})
    names = {outcome: [r.mistake.name for r in results if r.outcome == outcome] for outcome in ("survived", "not done")}
    noticed = sum(r.outcome == "noticed" for r in results)
    return {"tried": len(results), "noticed": noticed, **names, "laws": {k: dict(v) for k, v in sorted(laws.items())}}


def check(mistakes: Sequence[Mistake]) -> dict[str, Any]:
    """Look for the place of each edit and compile what it makes of the file, without running anything."""
    broken: dict[str, str] = {}
    for mistake in mistakes:
        path = mistake.place(ROOT)
        if path is None:
            broken[mistake.name] = f"its old text does not stand once in {mistake.file}, nor in one other module alone"
        elif path.suffix == ".py":
            try:
                compile(path.read_text().replace(mistake.old, mistake.new), str(path), "exec")
            except SyntaxError as error:
                broken[mistake.name] = f"it does not compile: {error}"
    for name, reason in broken.items():
        print(f"{name}: {reason}")
    return {"tried": len(mistakes), "not done": sorted(broken)}


def remember(results: Sequence[Found]) -> None:
    """Write the test that noticed a mistake, and the file that it was made in, into the table."""
    text = TABLE.read_text()
    for found in results:
        mistake = found.mistake
        path = mistake.place(ROOT)
        if found.outcome != "noticed" or not found.by.startswith("tests/") or path is None:
            continue
        tests = json.dumps([found.by.removeprefix("tests/")], ensure_ascii=False)
        start = text.index(f"name = '{mistake.name}'")
        end = text.find("[[mistake]]", start)
        entry = text[start : end if end > 0 else len(text)]
        new = re.sub(r"(?m)^tests = .*$", lambda _, tests=tests: f"tests = {tests}", entry)
        new = new.replace(f"file = '{mistake.file}'", f"file = '{path.relative_to(ROOT).as_posix()}'")
        text = text.replace(entry, new)
    TABLE.write_text(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Natural mistakes, one at a time: which of them do the tests notice?")
    parser.add_argument("--names", metavar="A,B", help="these mistakes alone")
    parser.add_argument("--sample", type=int, metavar="N", help="so many, spread over what they break")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) - 1), metavar="N")
    parser.add_argument("--check", action="store_true", help="apply the edits and run nothing")
    parser.add_argument("--first", action="store_true", help="run the tests of the table alone")
    parser.add_argument(
        "--tests", nargs="+", metavar="T", help="run these first, in place of those of the table: laws/test_laws.py"
    )
    parser.add_argument("--remember", action="store_true", help="write the tests that noticed into the table")
    parser.add_argument("--sure", action="store_true", help="do not run the tests without a mistake first")
    args = parser.parse_args(arguments)
    mistakes = choose(read_table(), args.names, args.sample, args.seed)
    if args.check:
        report: Mapping[str, Any] = check(mistakes)
        print(json.dumps(report))
        return 1 if report["not done"] else 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    with tempfile.TemporaryDirectory(prefix="lstm-tune-mutants-") as temporary:
        copy_tree(ROOT, Path(temporary))  # what is edited from now on changes nothing
        return run(context, Path(temporary), mistakes, args)


def run(context: Any, tree: Path, mistakes: Sequence[Mistake], args: argparse.Namespace) -> int:
    """Make the mistakes in copies of a tree, show what became of them, and return the exit status."""
    if not args.sure and (clean := examine(context, tree, None)).outcome != "survived":
        print(f"the tests fail without a mistake: {clean.by}", file=sys.stderr)
        print(json.dumps({"tried": 0, "clean": False}))
        return 1
    results: list[Found] = []
    with ThreadPoolExecutor(args.jobs) as pool:

        def examine_all(some: Sequence[Mistake], tests: Callable[[Mistake], Sequence[str]]) -> list[Found]:
            examined = []
            for found in pool.map(lambda m: examine(context, tree, m, tests(m)), some):
                examined.append(found)
                print(f"{found.outcome}: {found.mistake.name} ({found.seconds:.0f} s) {found.by}", file=sys.stderr)
            return examined

        chosen = tuple(args.tests) if args.tests else None
        results = examine_all(mistakes, lambda m: m.tests if chosen is None else chosen)
        left = [r.mistake for r in results if r.outcome == "survived" and (chosen or r.mistake.tests)]
        if not args.first:
            results = [r for r in results if r.mistake not in left] + examine_all(left, lambda m: ())
    if args.remember:
        remember(results)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    report = show(results, commit.strip() or "unknown")
    print(json.dumps({"machine": machine(), "clean": True, **report}))
    return 1 if report["survived"] or report["not done"] else 0


if __name__ == "__main__":
    sys.exit(main())
