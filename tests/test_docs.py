"""The documents: links lead somewhere, commands have the options they are shown with, and CI runs what README says."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer.main

from lstm_tune.cli.app import app
from lstm_tune.report.run_folder import run_name

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = {"venv", "runs", "build", "dist", "benchmarks/LOG.md"}
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")


def is_skipped(path: Path) -> bool:
    relative = path.relative_to(ROOT)
    hidden = any(part.startswith(".") and part != ".github" for part in relative.parts)
    return hidden or str(relative) in SKIPPED or any(part in SKIPPED for part in relative.parts)


DOCUMENTS = [p for p in sorted(ROOT.rglob("*.md")) if not is_skipped(p)]
pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="not in a checkout")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose_of(path: Path) -> str:
    """The text without its code blocks."""
    return FENCE.sub("", text_of(path))


@cache
def anchors(path: Path) -> set[str]:
    """The anchors that a forge makes of the headings: lower case, no punctuation, hyphens for spaces."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose_of(path), re.MULTILINE):
        words = LINK.sub(lambda m: m[0][m[0].index("[") + 1 : m[0].rindex("](")], heading)
        plain = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.append(plain if plain not in found else f"{plain}-{found.count(plain)}")
    return set(found)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_relative_links_and_anchors_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(prose_of(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        assert not file.startswith("/"), f"{target}: an absolute path works nowhere else"
        found = (path.parent / file).resolve() if file else path
        assert found.is_relative_to(ROOT), target
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def test_anchors_are_made_as_a_forge_makes_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# lstm_tune\n## What's `new`, and why?\n## [A link](x.md)\n```\n# none\n```\n## A link\n")
    assert anchors(page) == {"lstm_tune", "whats-new-and-why", "a-link", "a-link-1"}


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The Typer command that a line calls, and what follows its name."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        if words[0].startswith("-") or words[0].isupper():  # an option of all commands, or COMMAND
            break
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def calls(path: Path) -> Iterator[str]:
    """All calls of the command in a document: in code blocks for a shell, and in code within a sentence."""
    for language, block in FENCE.findall(text_of(path)):
        if language == "sh":
            yield from block.replace("\\\n", " ").splitlines()
    yield from CODE.findall(prose_of(path))


def options_of(line: str) -> Iterator[tuple[list[str], Any]]:
    for call in re.split(r"&&|\|(?=\s)|;", line):
        call = call.strip()
        if call.startswith("lstm-tune "):
            command, words = command_of(shlex.split(call, comments=True)[1:])
            yield [w.partition("=")[0] for w in words if w.startswith("--")], command


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_use_options_that_exist(path: Path) -> None:
    for line in calls(path):
        for options, command in options_of(line.replace("\\|", "/")):
            known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
            assert set(options) <= known, line


def test_a_command_with_an_option_that_is_none_is_found() -> None:
    (options, command) = next(options_of("cd x && lstm-tune tune data.csv --horizn 3  # ahead"))
    assert (options, command.name) == (["--horizn"], "tune")
    with pytest.raises(AssertionError, match="no command 'tun'"):
        list(options_of("lstm-tune tun data.csv"))


@cache
def known_options() -> set[str]:
    """The options of all commands and of all benchmark scripts."""

    def of(command: Any) -> set[str]:
        own = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        return own.union(*(of(c) for c in getattr(command, "commands", {}).values()))

    scripts = {o for p in ROOT.glob("benchmarks/*/*.py") for o in re.findall(r'"(--[a-z-]+)"', text_of(p))}
    return of(typer.main.get_command(app)) | scripts | {"--help"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_options_in_sentences_and_tables_exist(path: Path) -> None:
    for code in CODE.findall(prose_of(path)):
        if code.startswith("--"):
            assert set(re.findall(r"(?:^|\s)(--[a-z-]+)", code)) <= known_options(), code


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_scripts_in_commands_exist(path: Path) -> None:
    for line in calls(path):
        for script in re.findall(r"(?:python|bash) ((?:[\w.]+/)+[\w.]+)", line):
            assert (ROOT / script).exists(), line


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_paths_in_sentences_exist(path: Path) -> None:
    for code in CODE.findall(prose_of(path)):
        if re.fullmatch(r"(lstm_tune|tests|benchmarks|search_spaces)/[\w./]+\.[a-z]+", code) and "NAME" not in code:
            assert (ROOT / code).exists(), code


def test_continuous_integration_runs_the_commands_that_the_front_page_gives() -> None:
    script = text_of(ROOT / ".ci" / "run")
    for command in ('python -m pytest -n auto -m "not slow"', "ruff check .", "ruff format --check .", "mypy"):
        assert re.search(rf"^ *{re.escape(command)}$", script, re.MULTILINE), command
    assert 'python -m pytest -n auto -m "not slow"' in text_of(ROOT / "README.md")


def test_run_folders_on_the_front_page_are_those_that_tune_makes() -> None:
    text = text_of(ROOT / "README.md")
    data, target, horizon = re.findall(r"lstm-tune tune (\S+\.csv) --target (\S+) --horizon (\d+)", text)[0]
    folder = f"runs/{run_name(data, [target], int(horizon))}"
    used = re.findall(rf"lstm-tune (?:predict|evaluate) (\S+) \S*{data}", text)
    assert used == [folder, folder]


def test_markers_are_listed_with_the_tests() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    markers = {line.partition(":")[0] for line in project["tool"]["pytest"]["ini_options"]["markers"]}
    listed = re.findall(r"^\| `([a-z]+)` \|", text_of(ROOT / "tests" / "README.md"), re.MULTILINE)
    assert sorted(listed) == sorted(markers)


def test_front_page_is_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= 200
