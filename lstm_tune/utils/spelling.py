"""How options are spelled: messages name them as Python does, and the command line shows its own spelling.

A message that asks for an option says `resume=True`, `device="cpu"`, or `time=` if the value is up to the reader. One
that refuses a value says `n_trials must be`. Names of columns and files may look like options: what is in quotes, or in
a list, stays as it is.
"""

from __future__ import annotations

import re

from lstm_tune.utils.escaping import shell

_OTHERWISE = {"n_trials": "trials", "study_name": "study"}
_NAMED = (
    "calendar|data|decimal|device|folds|future|holidays|id|n_trials|out|past|port|precision|ray|resume|retrain_seeds|"
    "seed|space|split|static|storage|study_name|take_over|target|thousands|time|timeout|try_advice|workers"
)
_QUOTED = r"""(?<!\w)(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")(?!\w)"""
_OPTION = re.compile(
    rf"lstm-tune [a-z](?:{_QUOTED}|[^;])*"  # a command is spelled as it should be already
    rf"|{_QUOTED}"
    rf"|(?<![^\s(])(?P<refused>{_NAMED})(?= must be )"
    rf"|(?:(?<=[^,:] )|(?<=\())(?P<asked>{_NAMED})=(?P<value>{_QUOTED}|\w+|)(?=[.:]?(?:[\s,;)]|$))"
)


def option_name(name: str) -> str:
    """Return what the command line calls an option, without its dashes."""
    return _OTHERWISE.get(name, name).replace("_", "-")


def as_typed(message: str) -> str:
    """Return a message with its options as they are typed in a shell: --resume for resume=True."""
    return _OPTION.sub(_typed, message)


def _typed(found: re.Match[str]) -> str:
    refused, asked, value = found.group("refused", "asked", "value")
    if asked is None:
        return found.group() if refused is None else option_name(refused)
    if value.startswith(("'", '"')):
        value = re.sub(r"""\\(['"\\])""", r"\1", value[1:-1])
    return f"--{option_name(asked)}" + (f" {shell(value)}" if value not in ("", "True") else "")
