"""The options in `lstm_tune/cli/README.md` are those of the commands, with the same defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import lstm_tune
from lstm_tune.cli.app import app

README = Path(lstm_tune.__file__).parent / "cli" / "README.md"
OPTION = re.compile(r"`(--[a-z-]+)(?: ([^`]+))?`")


def commands() -> Iterator[tuple[str, typer.main.TyperCommand]]:
    """All commands of the first level, `spaces` aside: its three have no options."""
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        if name != "spaces":
            yield name, command


def options(command: typer.main.TyperCommand) -> dict[str, Any]:
    """Each long option with its parameter."""
    return {
        option: parameter
        for parameter in command.params
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


def section(name: str) -> list[str]:
    """The lines below the heading of a command."""
    text = README.read_text(encoding="utf-8")
    found = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{README} has no section on {name}"
    return found[1].splitlines()


def documented(name: str) -> dict[str, tuple[str, str]]:
    """Each option in the table of a command, with its placeholder and the text of the last column."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section(name) if line.startswith("| `--")]
    return {
        option: (placeholder.replace("\\|", "|"), row[-1].strip())
        for row in rows
        for option, placeholder in OPTION.findall(row[0])
    }


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_table_and_nothing_else(name: str) -> None:
    assert sorted(documented(name)) == sorted(options(COMMANDS[name]))


@pytest.mark.parametrize("name", COMMANDS)
def test_placeholders_and_defaults_are_those_of_the_command(name: str) -> None:
    for option, (placeholder, text) in documented(name).items():
        parameter = options(COMMANDS[name])[option]
        assert placeholder == (parameter.metavar or ""), option
        default = parameter.default
        if default is False:
            assert text == "off", option
        elif default is not None and text != "as for `tune`":
            assert text == f"`{default}`", option


def test_every_command_has_a_line_in_the_list_and_no_other_has() -> None:
    listed = re.findall(r"^\| \[`([a-z]+)[^]]*\]\(#([a-z]+)\)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted([*COMMANDS, "spaces"])
    assert all(name == anchor for name, anchor in listed)
