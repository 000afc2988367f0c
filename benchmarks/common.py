"""Shared by the benchmark scripts: a description of the machine, and the output."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console


def machine() -> dict[str, Any]:
    """Name the hardware."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"cpu": cpu, "cores": os.cpu_count(), "gpu": gpu, "system": platform.platform()}


def busy() -> float | None:
    """Return the load average of the last minute, or None if the system has none."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def wide_console() -> Console:
    """Return a console that does not fold tables if the output goes to a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=150)


def show_machine(console: Console, hardware: Mapping[str, Any], versions: Mapping[str, str]) -> None:
    """Print hardware and versions in two lines."""
    console.print(
        f"{hardware['cpu']}, {hardware['cores']} cores, GPU: {hardware['gpu'] or 'none'}; {hardware['system']}"
    )
    console.print(", ".join(f"{name} {version}" for name, version in versions.items()))


def pool_arguments(description: str, *, trials: int) -> argparse.ArgumentParser:
    """Return a parser for a script that runs studies of the series in `pool.py`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", metavar="NAMES", help="series, comma-separated; all: also the long ones")
    parser.add_argument("--trials", type=int, default=trials, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="rewritten after each series")
    return parser
