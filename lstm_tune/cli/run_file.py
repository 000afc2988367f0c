"""`--config FILE.toml`: the options of a command from a file; what the command line gives wins."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from lstm_tune.cli.usage_errors import file_of
from lstm_tune.errors import UsageError
from lstm_tune.search.space_schema import DRAFT
from lstm_tune.utils.escaping import quote_column
from lstm_tune.utils.spelling import as_typed
from lstm_tune.utils.text import did_you_mean, listed, shortened

_NOT_IN_FILES = ("config", "help")
_PLACES = ("DATA", "RUN", "DIR", "NAME|FILE", "RUN[:CODE]", "URL|FILE")  # of options that no number names


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
    known = _options(context.command)
    kinds = get_type_hints(context.command.callback)
    found: dict[str, Any] = {}
    for name, value in content.items():
        if name not in known and isinstance(value, dict):
            raise UsageError(f"{path}: [{name}] is a table, which is not used; put the options at the top of the file")
        if name not in known:
            raise UsageError(
                f"{path}: there is no option {name!r}{did_you_mean(name, known)}; known: {listed([*known], 50)}"
            )
        option = known[name]
        found[option.name] = _plain(path, name, value, option, kinds[option.name])
    context.default_map = {**(context.default_map or {}), **found}
    return path


def names_run_file(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command's errors name the run file, if the value that they begin with comes from it."""

    @functools.wraps(command)
    def wrapped(context: typer.Context, **given: Any) -> None:
        try:
            command(context, **given)
        except UsageError as error:
            begins = re.sub(r"\W+", "_", as_typed(str(error)).strip("-'")).lower()
            names = [p.name for p in context.command.params if p.name and f"{begins}_".startswith(f"{p.name}_")]
            file = file_of(context, max(names, key=len)) if names else ""
            raise UsageError(f"{file}{error}") from None

    return wrapped


def run_file_schema(command: Any, function: Callable[..., None]) -> dict[str, Any]:
    """Return the JSON Schema of the run files of a command, which is made from a function."""
    types = get_type_hints(function)
    return {
        "$schema": DRAFT,
        "title": "lstm_tune run file",
        "type": "object",
        "properties": {name: _schema(option, types[option.name]) for name, option in _options(command).items()},
        "additionalProperties": False,
    }


def _schema(option: Any, kind: Any) -> dict[str, Any]:
    """Return the schema of an option, whose type is such as int, `str | None` or `list[str] | None`."""
    kinds = _kinds(kind)
    words: Any = "integer" if int in kinds else "number" if float in kinds else ["string", "number"]
    if words == ["string", "number"] and option.metavar in _PLACES:
        words = "string"
    schema: dict[str, Any] = {"type": "boolean" if bool in kinds else words}
    if getattr(option, "multiple", False):
        schema = {"anyOf": [schema, {"type": "array", "items": schema}]}
    help_text = getattr(option, "help", None)
    return {"description": help_text} | schema if help_text else schema


def _options(command: Any) -> dict[str, Any]:
    """Return the parameters that a file may hold, by their names there."""
    return {name: p for p in command.params if p.name not in _NOT_IN_FILES for name in _names(p)}


def _names(parameter: Any) -> list[str]:
    """Return what a parameter is called in a file: as on the command line, without the dashes."""
    return [word.lstrip("-") for word in parameter.opts]


def _plain(path: Path, name: str, value: Any, option: Any, kind: Any) -> Any:
    """Return a value as the command line would give it."""
    kinds = _kinds(kind)
    many = getattr(option, "multiple", False)
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in values) or (len(values) != 1 and not many):
        kind = "text, a number or a list of these" if many else "text, a number, true or false"
        raise UsageError(f"{path}: {name} must be {kind}, but is {shortened(value)}")
    if wanted := next((rule for one in values if (rule := _broken_rule(option, kinds, one))), ""):
        raise UsageError(f"{path}: {name} must be {wanted}, but is {shortened(value)}")
    if many:  # a list holds whole names; a single text may hold several, as on the command line
        return [quote_column(str(one)) for one in values] if isinstance(value, list) else [str(value)]
    return value if isinstance(value, bool) else str(value)


def _broken_rule(option: Any, kinds: set[Any], value: str | float) -> str:
    """Return what a value must be, but is not; "": it can be read, if it is text, as on the command line."""
    if bool in kinds:
        return "" if isinstance(value, bool) else "true or false"
    if int in kinds and isinstance(value, bool | float):
        return "a whole number"
    if isinstance(value, bool):
        return "a number" if float in kinds else "text or a number"
    return "text" if not isinstance(value, str) and option.metavar in _PLACES else ""


def _kinds(kind: Any) -> set[Any]:
    """Return the types in a type such as `list[str] | None`."""
    return {part for one in (kind, *get_args(kind)) for part in (one, *get_args(one))}
