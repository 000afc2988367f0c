"""Wrong options and commands, told in one line as every other error."""

from __future__ import annotations

from typing import Any

from lstm_tune.cli.console import print_line
from lstm_tune.utils.text import did_you_mean, shortened

_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def show_usage_error(error: Any) -> None:
    """Print what is wrong with a command line, a likely remedy, and where the options are listed."""
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    command = context.command_path if context is not None else "lstm-tune"
    text = " ".join(error.format_message().split()).rstrip(".")
    name = getattr(error, "option_name", None)
    if name is not None and text.startswith("No such option") and context is not None:
        known = [word for param in context.command.params for word in (*param.opts, *param.secondary_opts)]
        text = f"there is no option {name}{did_you_mean(name, [k for k in known if k.startswith('--')])}"
    param = getattr(error, "param", None)
    if (wrong := _unread_value(error)) is not None and param is not None:
        text = f"invalid value for '{param.opts[0]}': {wrong}"
    file = "" if param is None or context is None else file_of(context, param.name)
    print_line(
        f"lstm-tune: {file}{text[:1].lower()}{text[1:]}{' See' if text.endswith('?') else '; see'} {command} --help"
    )


def _unread_value(error: Any) -> str | None:
    """Return the value that could not be read, and why; None if Typer's own message names it.

    Newer versions of Typer read values with Pydantic, whose message leaves the value out.
    """
    details = getattr(error.__cause__, "errors", None)
    if not callable(details):
        return None
    first = details()[0]
    kind = _KINDS.get(str(first["type"]).partition("_")[0])
    return f"{shortened(first['input'])} is not {kind}" if kind else f"{shortened(first['input'])}: {first['msg']}"


def file_of(context: Any, name: str) -> str:
    """Return "FILE: " if the value of a parameter comes from a run file; "" if it does not."""
    source = context.get_parameter_source(name)
    return f"{context.params['config']}: " if source is not None and source.name == "DEFAULT_MAP" else ""
