"""The software and the machine that a result depends on."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

import torch

_PACKAGES = ("lstm-tune", "torch", "optuna", "numpy", "pandas", "scikit-learn", "statsmodels", "safetensors")


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """The software, the device, the processes and the seed."""

    versions: Mapping[str, str]
    platform: str
    device: str
    threads: int
    workers: int
    precision: str
    seed: int

    @classmethod
    def of(cls, *, device: str, threads: int, workers: int, precision: str, seed: int) -> Environment:
        """Describe this machine."""
        return cls(
            versions=versions(),
            platform=f"{sys.platform}-{platform.machine()}",
            device=device if device == "cpu" else torch.cuda.get_device_name(device),
            threads=threads,
            workers=workers,
            precision=precision,
            seed=seed,
        )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    return {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()}
