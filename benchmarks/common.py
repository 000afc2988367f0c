"""What the benchmark scripts share: the machine in words, and how a result is shown."""

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
    """Return how many processes wanted a core over the last minute, or None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def wide_console() -> Console:
    """Return a console that does not fold a table where its output goes to a file."""
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
    parser.add_argument("--only", metavar="NAMES", help="series, with commas between; all: the long ones, too")
    parser.add_argument("--trials", type=int, default=trials, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="written anew after each series")
    return parser
