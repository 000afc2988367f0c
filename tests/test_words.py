"""One thing has one name wherever people read: on the screen, in the report, in the dashboard and on the pages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lstm_tune.cli.backtest_table import _label
from lstm_tune.evaluation.baseline_labels import LABELS
from lstm_tune.evaluation.model_labels import MODEL
from lstm_tune.training.backtest import COLUMNS, LSTM, NEVER

ROOT = Path(__file__).resolve().parents[1]
# Other names of the saved model, of the best trial, of the mean of simple forecasts, and of the validation score.
REFUSED = re.compile(
    r"\btuned (LSTM|model|one)\b|\bthis model\b|\b(the|each|trial) winner\b|\bwinning\b"
    r"|\bmean of (these|all) forecasts\b|\ba weighted mean of the simple\b"
    r"|\bvalidation (MSE(?!, scaled)|loss|value|error)\b"
)
_FOLDERS = (
    "*.md",
    ".github/*/*.md",
    ".github/*.svg",
    "lstm_tune/**/*.j2",
    "lstm_tune/**/README.md",
    "search_spaces/*.md",
)
PAGES = sorted(path for pattern in _FOLDERS for path in ROOT.glob(pattern))
MODULES = sorted(ROOT.glob("lstm_tune/**/*.py"))


def texts(source: str) -> list[str]:
    """The texts of a module but its docstrings; of an f-string its constant parts as one."""
    tree = ast.parse(source)
    bodies = [n.body for n in ast.walk(tree) if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    docstrings = {id(b[0].value) for b in bodies if b and isinstance(b[0], ast.Expr)}
    whole = [n for n in ast.walk(tree) if isinstance(n, ast.JoinedStr)]
    inner = {id(part) for n in whole for part in n.values}
    found = ["".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in n.values) for n in whole]
    single = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return found + [str(n.value) for n in single if id(n) not in docstrings | inner]


@pytest.mark.parametrize(
    "text", ["the tuned LSTM", "this model", "mean of these forecasts", "a validation value", "validation MSE of 3"]
)
def test_another_name_is_found(text: str) -> None:
    assert REFUSED.search(text)
    assert texts(f'"""Doc."""\nx = 1\nprint(f"{{x}} is {text}")') == [f"… is {text}"]


def test_messages_call_one_thing_by_one_name() -> None:
    every = [(str(p.relative_to(ROOT)), text) for p in MODULES for text in texts(p.read_text("utf-8"))]
    assert [(path, text) for path, text in every if REFUSED.search(text)] == []
    other = re.compile(r"\bbaselines? |\bbest simple forecast")  # people read "forecast without an LSTM"
    assert [(path, text) for path, text in every if other.search(text)] == []


def test_pages_call_one_thing_by_one_name() -> None:
    wrong = {
        str(p.relative_to(ROOT)): m.group() for p in PAGES if (m := REFUSED.search(p.read_text("utf-8"))) is not None
    }
    assert wrong == {}


def test_backtest_calls_forecasts_as_the_other_tables_do() -> None:
    tables = {label.table for label in LABELS.values()}
    assert {_label(column, {"refits": 0}, 7) for column in COLUMNS.values()} <= tables
    assert _label(LSTM, {"refits": 0}, 7) == _label(NEVER, {"refits": 1}, 7) == f"{MODEL}, never refitted"
    assert _label("SeasonalNaive", {"refits": 0}, 1) == "seasonal naive (no season)"


def test_labels_of_tables_take_the_season() -> None:
    package = ROOT / "lstm_tune"
    every = package.rglob("*.py")
    named = [str(p.relative_to(package)) for p in every if re.search(r"label_of\(.*\)\.table", p.read_text("utf-8"))]
    assert sorted(named) == ["cli/result_table.py", "evaluation/baseline_labels.py"]  # the first names none of a season
