"""Processor time of the short commands, beside that of importing torch and pandas, which each of them needs.

The rounds take turns, and the least time of each counts, so that other work on the machine matters little. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

from common import busy, machine, show_machine, wide_console
from rich.table import Table

from lstm_tune.report.environment import versions

ROWS = 1_400
SPACE = "lookback = 20\nhidden_units = 8\nepochs = 1\nlearning_rate = { low = 1e-3, high = 1e-2, log = true }\n"
REFERENCE = "import torch and pandas"


def processor_seconds(command: Sequence[str]) -> float:
    """Run a command to its end; return the processor time that it took, of user and system."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit status {process.returncode}: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime


def write_series(path: Path) -> None:
    """Write a daily series with a week, a year and noise that no two runs draw differently."""
    state = 1
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["row", "y"])
        for t in range(ROWS):
            state = state * 1_103_515_245 % 2**31
            noise = state / 2**31 - 0.5
            table.writerow([t, f"{50 + 5 * math.sin(t * math.tau / 7) + 9 * math.sin(t * math.tau / 365) + noise:.4f}"])


def main() -> None:
    """Measure, print a table, and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    program = [sys.executable, "-m", "lstm_tune"]
    with tempfile.TemporaryDirectory() as folder:
        data, space, run = Path(folder, "series.csv"), Path(folder, "space.toml"), Path(folder, "run")
        write_series(data)
        space.write_text(SPACE, encoding="utf-8")
        options = ["--time", "row", "--space", str(space), "--trials", "2", "--retrain-seeds", "1", "--workers", "1"]
        subprocess.run([*program, "tune", str(data), *options, "--out", str(run), "--quiet"], check=True)
        commands = {
            REFERENCE: [sys.executable, "-c", "import torch, pandas"],
            "lstm-tune --help": [*program, "--help"],
            f"diagnose, {ROWS:,} rows": [*program, "diagnose", str(data)],
            "predict": [*program, "predict", str(run), str(data)],
            "evaluate": [*program, "evaluate", str(run), str(data)],
        }
        seconds = {name: math.inf for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                seconds[name] = min(seconds[name], processor_seconds(command))
    console, hardware, packages = wide_console(), machine(), versions()
    show_machine(console, hardware, packages)
    table = Table("command", "processor time, s", "in units of the imports")
    ratios = {name: s / seconds[REFERENCE] for name, s in seconds.items()}
    for name, s in seconds.items():
        table.add_row(name, f"{s:.2f}", f"{ratios[name]:.2f}")
    console.print(table)
    print(json.dumps({"seconds": seconds, "ratios": ratios, "load": busy(), "machine": hardware, "versions": packages}))


if __name__ == "__main__":
    main()
