"""Child processes: how many there are, and how a process is told from others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lstm_tune.utils.process import is_alive, this_run
from lstm_tune.workers.count import pick_workers


@pytest.mark.parametrize(
    ("asked", "cores", "n_trials", "device", "picked"),
    [
        ("auto", 2, 50, "cpu", 2),
        ("auto", 2, None, "cpu", 2),
        ("auto", 16, 50, "cpu", 12),
        ("auto", 16, 3, "cpu", 1),
        ("auto", 1, 50, "cpu", 1),
        ("auto", 8, 50, "cuda", 1),
        (3, 2, 50, "cpu", 3),
    ],
)
def test_workers_are_picked_by_cores_and_trials(
    asked: Any, cores: int, n_trials: int | None, device: str, picked: int
) -> None:
    assert pick_workers(asked, cores=cores, n_trials=n_trials, device=device) == picked


@pytest.mark.processes
def test_names_of_processes_tell_the_living_from_the_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        host, _, _ = this_run().split("/")
        start = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        name = f"{host}/{other.pid}/{start}"
        assert is_alive(name)
        assert not is_alive(f"{host}/{other.pid}/1{start}")  # the number was given to another
        assert not is_alive(f"elsewhere/{other.pid}/{start}")
        other.kill()
    assert not is_alive(name)
    assert not is_alive(this_run())  # this process is not another
    assert not is_alive(None)
