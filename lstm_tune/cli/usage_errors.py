"""Wrong options and commands, told in one line as every other error."""

from __future__ import annotations

from typing import Any

from lstm_tune.cli.console import print_line
from lstm_tune.utils.text import did_you_mean


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
    print_line(f"lstm-tune: {text[:1].lower()}{text[1:]}{' See' if text.endswith('?') else '; see'} {command} --help")
