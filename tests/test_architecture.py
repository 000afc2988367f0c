"""Who may import whom; where torch and optuna stay; what the package names to the outside."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import lstm_tune

PACKAGE = Path(lstm_tune.__file__).parent
# A module imports only from those before it. New modules take their place here.
ORDER = [
    "errors",
    "urls",
    "findings",
    "names",
    "wording",
    "command",
    "compact",
    "interrupts",
    "evidence",
    "curves",
    "residuals",
    "allocator",
    "processes",
    "files",
    "config",
    "words",
    "timegrid",
    "timecolumn",
    "columns",
    "calendar",
    "examples",
    "readers",
    "series",
    "assemble",
    "loader",
    "parameter",
    "space_file",
    "space",
    "search_findings",
    "verdict",
    "split",
    "windows",
    "cell",
    "ridge",
    "model",
    "season",
    "evaluate",
    "baselines",
    "train",
    "task",
    "dependence",
    "stationarity",
    "noise",
    "symptom",
    "track",
    "level_symptoms",
    "value_symptoms",
    "series_symptoms",
    "facts",
    "meaning",
    "diagnosis",
    "objective",
    "precision",
    "ensemble",
    "internals",
    "journal",
    "database",
    "storage",
    "read_only",
    "requeue",
    "samplers",
    "pruners",
    "study",
    "budget",
    "retrain",
    "model_files",
    "forecaster",
    "options",
    "guard",
    "dashboard",
    "forecast_file",
    "figures",
    "report",
    "result",
    "inspection",
    "details",
    "record",
    "progress",
    "messages",
    "worker",
    "preload",
    "supervisor",
    "workers",
    "phases",
    "holdout",
    "waterfall",
    "subject",
    "book",
    "trainings",
    "walk",
    "explain",
    "arguments",
    "terminal",
    "screen",
    "diagnosis_screen",
    "notes",
    "explain_screen",
    "api",
    "cli",
    "__init__",
    "__main__",
]
OPTUNA = {
    "details",
    "notes",
    "objective",
    "journal",
    "database",
    "storage",
    "read_only",
    "dashboard",
    "internals",
    "requeue",
    "samplers",
    "pruners",
    "study",
    "budget",
    "result",
    "record",
    "progress",
    "messages",
    "worker",
    "workers",
    "phases",
    "holdout",
    "api",
    "cli",
}
TORCH_FREE = set(ORDER[: ORDER.index("readers")]) | {
    "arguments",
    "parameter",
    "space_file",
    "space",
    "guard",
    "screen",
    "cli",
    "__init__",
    "dependence",
    "stationarity",
    "noise",
    "symptom",
    "track",
    "level_symptoms",
    "value_symptoms",
    "diagnosis_screen",
}


@cache
def modules() -> dict[str, ast.Module]:
    return {p.stem: ast.parse(p.read_text(encoding="utf-8")) for p in sorted(PACKAGE.glob("*.py"))}


def imports(tree: ast.AST) -> set[str]:
    """All modules that are imported anywhere in the tree, save for type checking alone."""
    found: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped |= set(ast.walk(node))
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= (
                {f"{node.module}.{a.name}" for a in node.names} if node.module == "lstm_tune" else {str(node.module)}
            )
    return found


def own(tree: ast.AST) -> set[str]:
    return {name.split(".")[1] for name in imports(tree) if name.startswith("lstm_tune.")}


def at_import(tree: ast.Module) -> set[str]:
    """The top packages that importing the module imports."""
    outside = ast.Module(
        body=[n for n in tree.body if not isinstance(n, (ast.FunctionDef, ast.ClassDef))], type_ignores=[]
    )
    return {name.split(".")[0] for name in imports(outside)}


def test_every_module_has_a_place_in_the_order() -> None:
    assert set(modules()) == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_module_imports_only_from_those_before_it(name: str) -> None:
    assert own(modules()[name]) <= set(ORDER[: ORDER.index(name)])


def test_optuna_stays_where_it_belongs() -> None:
    users = {name for name, tree in modules().items() if {n.split(".")[0] for n in imports(tree)} & {"optuna"}}
    assert users == OPTUNA
    assert "optuna" not in at_import(modules()["cli"])


def test_what_optuna_keeps_to_itself_stands_in_one_module() -> None:
    private = {"_storage", "_study_id", "_trial_id", "_pop_waiting_trial_id"}
    for name, tree in modules().items():
        if name != "internals":
            assert not [found for found in imports(tree) if found.startswith("optuna.") and "._" in found], name
            used = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in private]
            assert not [n for n in used if ast.unparse(n.value) != "self"], name


def test_torch_stays_out_of_what_help_needs() -> None:
    users = {name for name, tree in modules().items() if "torch" in at_import(tree)}
    assert users & TORCH_FREE == set()
    for name in TORCH_FREE - {"cli", "__init__"}:
        assert own(modules()[name]) <= TORCH_FREE, name


def test_nothing_imports_pickle() -> None:
    assert not [name for name, tree in modules().items() if imports(tree) & {"pickle", "joblib", "dill", "shelve"}]


@pytest.mark.parametrize("statement", ["import lstm_tune", "import lstm_tune.cli", "from lstm_tune import DataError"])
def test_importing_loads_no_heavy_package(statement: str) -> None:
    heavy = "torch", "optuna", "pandas", "numpy", "sklearn", "statsmodels", "pyarrow", "plotly", "jinja2"
    code = f"import sys; {statement}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_pinned() -> None:
    assert sorted(lstm_tune.__all__) == [
        "Config",
        "DataError",
        "ForecastModel",
        "LstmTuneError",
        "Objective",
        "Result",
        "RunError",
        "StudyError",
        "UsageError",
        "diagnose",
        "load",
        "tune",
    ]
    assert len(lstm_tune.__all__) <= 12
    assert dir(lstm_tune) == sorted(lstm_tune.__all__)
    for name in lstm_tune.__all__:
        assert callable(getattr(lstm_tune, name))
    with pytest.raises(AttributeError, match="nothing"):
        _ = lstm_tune.nothing


def test_load_is_the_function_of_the_api_after_any_import() -> None:
    from lstm_tune.pipeline import tune as api

    assert lstm_tune.load is api.load


BENCHMARKS = sorted(PACKAGE.parent.glob("benchmarks/*.py"))


@pytest.mark.skipif(not BENCHMARKS, reason="not in a checkout")
@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmarks_import_names_that_are_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "lstm_tune":
            module = importlib.import_module(str(node.module))
            known = {*dir(module), *modules()} if module is lstm_tune else set(dir(module))
            assert {alias.name for alias in node.names} <= known
