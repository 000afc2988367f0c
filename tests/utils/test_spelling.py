"""Options in messages: Python's spelling in the code, that of the shell on the command line."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
import typer

import lstm_tune
from lstm_tune.cli.app import app
from lstm_tune.utils import spelling
from lstm_tune.utils.spelling import as_typed

PACKAGE = Path(lstm_tune.__file__).parent


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("pass resume=True to continue it, or another out=", "pass --resume to continue it, or another --out"),
        ('use device="cpu"', "use --device cpu"),
        ("use device=cpu_0", "use --device cpu_0"),
        ("pass thousands=\",\" (or time='my time').", "pass --thousands , (or --time 'my time')."),
        ('if it is, pass time="it\'s"; or id=', "if it is, pass --time 'it'\"'\"'s'; or --id"),
        (r"pass out='C:\\x\q'", r"pass --out 'C:\x\q'"),
        (r"pass time='a\'b\"'", "pass --time 'a'\"'\"'b\"'"),
        ("pass n_trials= or folds=3, or study_name=", "pass --trials or --folds 3, or --study"),
        ("see out=1/result.json, and 'seed=3'", "see out=1/result.json, and 'seed=3'"),
        ("run lstm-tune refit seed=3 a.csv; or split=", "run lstm-tune refit seed=3 a.csv; or --split"),
        ("run lstm-tune refit 'a; seed=3'; or split=", "run lstm-tune refit 'a; seed=3'; or --split"),
        ("column 'my seed=3 x' and \"it's id= \"; or id=", "column 'my seed=3 x' and \"it's id= \"; or --id"),
        ("the series' rows of 'a'; pass out= or time='a b'", "the series' rows of 'a'; pass --out or --time 'a b'"),
        ("2 columns: seed=1, seed=2; choose with target=", "2 columns: seed=1, seed=2; choose with --target"),
        ("tensors differ (device=cuda:0): out=3.csv", "tensors differ (device=cuda:0): out=3.csv"),
        ("seed=3 does not exist, or pass resume=True", "seed=3 does not exist, or pass --resume"),
        ("run.toml: n_trials must be at least 1", "run.toml: trials must be at least 1"),
        ("lookback=3 is no option", "lookback=3 is no option"),
        ("retrain_seeds must be at least 1", "retrain-seeds must be at least 1"),
        ("n_trials must be a whole number", "trials must be a whole number"),
        ("hidden_units must be above 0", "hidden_units must be above 0"),
    ],
)
def test_options_are_shown_as_they_are_typed(message: str, typed: str) -> None:
    assert as_typed(message) == typed


def test_every_option_that_messages_may_name_is_one_of_the_command_line() -> None:
    commands = typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    known = {word for command in commands for param in command.params for word in param.opts}
    assert not [name for name in spelling._NAMED.split("|") if f"--{spelling.option_name(name)}" not in known]
    assert {"n_trials", "study_name"} <= {*inspect.signature(lstm_tune.tune).parameters}


def test_messages_name_options_as_python_does() -> None:
    """The command line, the dashboard, which Python does not offer, and advice are spelled for the shell."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] in ("cli", "dashboard", "diagnosis"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                text = re.sub(r"(lstm-tune|ray) [a-z].*", "", node.value)
                if re.search(r"--[a-z]", text) and not re.fullmatch(r" ?--[a-z-]*( \d?)?", text):
                    found.append(f"{path.name}:{node.lineno}: {node.value}")
    assert not found
