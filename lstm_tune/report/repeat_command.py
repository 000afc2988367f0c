"""The command line that repeats a study."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEFAULTS: dict[str, Any] = {
    "horizon": 1,
    "split": (0.7, 0.1, 0.2),
    "folds": 3,
    "space": "default",
    "sampler": "tpe",
    "pruner": "median",
    "retrain_seeds": 3,
    "device": "auto",
}


def tune_command(data: Any, options: dict[str, Any]) -> str | None:
    """Return the `lstm-tune tune` that does the same; None: a command line cannot say it.

    Args:
        data: path, or example:NAME; anything else lives in a Python process alone.
        options: by the names of the options, with "_" for "-". What is None, empty or the default is left out. A
            storage URL comes with its password masked.
    """
    if not isinstance(data, str | Path):
        return None
    words = ["lstm-tune", "tune", str(data)]
    for name, value in options.items():
        if value is None or value == DEFAULTS.get(name) or (isinstance(value, Sequence) and not len(value)):
            continue
        option = "--" + name.replace("_", "-")
        if name == "calendar":
            words.append(option if value else "--no-calendar")
        elif name == "target":
            for column in [value] if isinstance(value, str) else value:
                words += [option, str(column)]
        elif name in ("past", "future"):
            for column in value:
                words += [option, str(column)]
        elif name == "split":
            if tuple(value) != DEFAULTS["split"]:
                words += [option, ",".join(f"{p:.10g}" for p in value)]
        elif name == "timeout":
            words += [option, f"{math.ceil(value)}s"]
        elif isinstance(value, str | int | Path):
            words += [option, str(value)]
        else:
            return None  # a sampler, a pruner, a space, a storage: an object
    return shlex.join(words)
