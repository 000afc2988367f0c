"""How options are spelled: messages name them as Python does, and the command line shows its own spelling.

A message that asks for an option says `resume=True`, `device="cpu"`, or `time=` if the value is up to the reader. One
that refuses a value says `n_trials must be`.
"""

from __future__ import annotations

import re

_OTHERWISE = {"n_trials": "trials", "study_name": "study"}
_NAMED = (
    "calendar|data|decimal|device|folds|future|holidays|id|n_trials|out|past|port|precision|ray|resume|retrain_seeds|"
    "seed|space|split|static|storage|study_name|take_over|target|thousands|time|timeout|try_advice|workers"
)
_OPTION = re.compile(
    r"lstm-tune [a-z][^;]*"  # a command is spelled as it should be already
    rf"|(?<![^\s(])({_NAMED})(?:=(\"[^\"]*\"|'[^']*'|\w+)?(?=[\s,;:.)]|$)| must be )"
)


def option_name(name: str) -> str:
    """Return what the command line calls an option, without its dashes."""
    return _OTHERWISE.get(name, name).replace("_", "-")


def as_typed(message: str) -> str:
    """Return a message with its options as they are typed in a shell: --resume for resume=True."""
    return _OPTION.sub(_typed, message)


def _typed(found: re.Match[str]) -> str:
    name, value = found.groups()
    if name is None:
        return found.group()
    if found.group().endswith(" must be "):
        return f"{option_name(name)} must be "
    value = (value or "").strip("\"'")
    return f"--{option_name(name)}" + (f" {value}" if value not in ("", "True") else "")
