"""`--config FILE.toml`: the options of a command from a file; what the command line gives wins."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import typer

from lstm_tune.errors import UsageError
from lstm_tune.utils.escaping import quote_column
from lstm_tune.utils.text import did_you_mean, listed, shortened

_NOT_IN_FILES = ("config", "help")


def read_run_file(context: typer.Context, path: Path | None) -> Path | None:
    """Take the options of a file as the defaults of this command.

    Raises:
        UsageError: the file cannot be read, or holds an option that the command does not have.
    """
    if path is None:
        return None
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read: {error.strerror}; run.toml of a run folder is one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}") from None
    known = {name: p for p in context.command.params if p.name not in _NOT_IN_FILES for name in _names(p)}
    found: dict[str, Any] = {}
    for name, value in content.items():
        if name not in known:
            raise UsageError(
                f"{path}: there is no option {name!r}{did_you_mean(name, known)}; known: {listed([*known], 50)}"
            )
        option = known[name]
        found[option.name] = _plain(path, name, value, many=getattr(option, "multiple", False))
    context.default_map = {**(context.default_map or {}), **found}
    return path


def _names(parameter: Any) -> list[str]:
    """Return what a parameter is called in a file: as on the command line, without the dashes."""
    return [word.lstrip("-") for word in parameter.opts]


def _plain(path: Path, name: str, value: Any, *, many: bool) -> Any:
    """Return a value as the command line would give it."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in values) or (len(values) != 1 and not many):
        kind = "text, a number or a list of these" if many else "text, a number, true or false"
        raise UsageError(f"{path}: {name} must be {kind}, but is {shortened(value)}")
    if many:  # a list holds whole names; a single text may hold several, as on the command line
        return [quote_column(str(one)) for one in values] if isinstance(value, list) else [str(value)]
    return value if isinstance(value, bool) else str(value)
