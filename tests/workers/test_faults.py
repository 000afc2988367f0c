"""The kill run of `benchmarks/robustness/faults.py`, short: workers and supervisors die, and every trial ends once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.processes]

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "robustness" / "faults.py"


@pytest.mark.skipif(not SCRIPT.exists() or not os.path.isdir("/proc/self"), reason="not in a checkout, or no /proc")
def test_study_under_fire_ends_with_exactly_the_trials_asked_for() -> None:
    command = [sys.executable, str(SCRIPT), "--trials", "12", "--seconds-between", "0.4", "--limit", "1200"]
    done = subprocess.run(
        [*command, "--seed", "1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])["journal"]
    assert (report["asked"], report["ended"]) == (12, 12)
    assert report["faults"]
    assert (report["lost"], report["doubled"], report["stuck"]) == (0, 0, 0)
