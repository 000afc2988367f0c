"""The benchmarks of robustness, short: workers and supervisors die, or are very many, and every trial ends once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "robustness"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.skipif(
        not SCRIPTS.exists() or not os.path.isdir("/proc/self"), reason="not in a checkout, or no /proc"
    ),
]


def run(name: str, *words: str) -> dict[str, Any]:
    """Run a benchmark and return what its last line says."""
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / name), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_study_under_fire_ends_with_exactly_the_trials_asked_for() -> None:
    words = ["--trials", "12", "--seconds-between", "0.4", "--limit", "1200", "--seed", "1"]
    report = run("faults.py", *words)["journal"]
    assert (report["asked"], report["ended"]) == (12, 12)
    assert report["faults"]
    assert (report["lost"], report["doubled"], report["stuck"]) == (0, 0, 0)


@pytest.mark.postgres
def test_workers_of_one_server_do_each_ticket_once() -> None:
    report = run("cluster.py", "--workers", "6", "--processes", "2", "--trials", "18", "--seconds", "0.2")
    assert (report["asked"], report["ended"], report["lost"], report["doubled"]) == (18, 18, 0, 0)
