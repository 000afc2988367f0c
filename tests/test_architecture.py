"""Which wing may import which; where torch and optuna stay; what the package exports."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import optuna
import pytest

import lstm_tune

PACKAGE = Path(lstm_tune.__file__).parent
# A wing imports only from those before it, and from the modules in the root.
WINGS = [
    "utils",
    "data",
    "evaluation",
    "models",
    "training",
    "storage",
    "search",
    "workers",
    "diagnosis",
    "report",
    "dashboard",
    "ablation",
    "pipeline",
    "cli",
]
ROOT = {"__init__", "__main__", "config", "errors", "sklearn"}
# Optuna is imported in these wings alone; the rest works on plain values.
OPTUNA = {"storage", "search", "workers", "report", "dashboard", "pipeline", "cli"}
# `--help` and the commands that need no training must start fast, so these modules import no torch.
TORCH_FREE_WINGS = {"utils", "storage"}
TORCH_FREE = {
    "search.parameter",
    "search.space",
    "search.space_file",
    "training.limits",
    "dashboard.access_guard",
    "diagnosis.autocorrelated_tests",
    "diagnosis.finding",
    "diagnosis.stationarity",
    "cli.app",
    "cli.diagnosis_table",
    "cli.options",
    "cli.tune_command",
    "cli.worker_command",
    "cli.result_table",
}


@cache
def modules() -> dict[str, ast.Module]:
    """All modules by their dotted names within the package, without the empty `__init__` of each wing."""
    paths = [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent == PACKAGE or p.name != "__init__.py"]
    return {".".join(p.relative_to(PACKAGE).with_suffix("").parts): ast.parse(p.read_text("utf-8")) for p in paths}


def wing(name: str) -> str:
    return name.split(".")[0]


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
            assert not node.level, "imports are absolute"
            parts = str(node.module).split(".")
            names_modules = parts[0] == "lstm_tune" and len(parts) <= 2 and parts[-1] not in ROOT
            found |= {f"{node.module}.{a.name}" for a in node.names} if names_modules else {str(node.module)}
    return found


def own(tree: ast.AST) -> set[str]:
    """The package's own modules that are imported, by their dotted names within the package."""
    return {name.removeprefix("lstm_tune.") for name in imports(tree) if name.startswith("lstm_tune.")}


def at_import(tree: ast.Module) -> set[str]:
    """The top packages that importing the module imports."""
    outside = ast.Module(
        body=[n for n in tree.body if not isinstance(n, (ast.FunctionDef, ast.ClassDef))], type_ignores=[]
    )
    return {name.split(".")[0] for name in imports(outside)}


def test_the_root_holds_wings_and_nothing_but_what_all_share() -> None:
    assert {name for name in modules() if "." not in name} == ROOT
    assert {p.parent.name for p in PACKAGE.glob("*/__init__.py")} == set(WINGS)


@pytest.mark.parametrize("name", WINGS)
def test_wing_imports_only_from_wings_before_it(name: str) -> None:
    allowed = {*WINGS[: WINGS.index(name) + 1], "config", "errors"}
    for module, tree in modules().items():
        if wing(module) == name:
            assert {wing(used) for used in own(tree)} <= allowed, module


@pytest.mark.parametrize("name", WINGS)
def test_no_module_imports_itself_over_others(name: str) -> None:
    """Within a wing, too, data flow one way: no circle of imports at module level."""
    graph = {module: own_at_import(tree) for module, tree in modules().items() if wing(module) == name}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"circle: {' -> '.join((*path, module))}"
        if module not in done:
            for used in graph.get(module, set()):
                visit(used, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def own_at_import(tree: ast.Module) -> set[str]:
    outside = ast.Module(
        body=[n for n in tree.body if not isinstance(n, (ast.FunctionDef, ast.ClassDef))], type_ignores=[]
    )
    return own(outside)


def test_optuna_stays_where_it_belongs() -> None:
    users = {wing(name) for name, tree in modules().items() if "optuna" in {n.split(".")[0] for n in imports(tree)}}
    assert users == OPTUNA
    assert "optuna" not in at_import(modules()["cli.app"])


def test_private_names_of_optuna_are_used_in_one_module() -> None:
    """An attribute that Optuna calls `_name` is read of `self` alone, or is one that a module of ours has, too."""
    folders = [Path(optuna.__file__).parent / name for name in ("storages", "study", "trial")]
    theirs = {
        name for folder in folders for path in folder.rglob("*.py") for name in defined(ast.parse(path.read_text()))
    }
    others = {name: tree for name, tree in modules().items() if name != "storage.optuna_private"}
    private = theirs - {name for tree in others.values() for name in defined(tree)} | BOTH
    for name, tree in others.items():
        assert not [found for found in imports(tree) if found.startswith("optuna.") and "._" in found], name
        froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("optuna")]
        assert not [a.name for n in froms for a in n.names if a.name.startswith("_")], name
        for used in (n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in private):
            of = ast.unparse(used.value)
            assert of in ("self", "cls") or used.attr[0] != "_", f"{name}:{used.lineno}: {of}.{used.attr}"
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value == "fixed_params"], name


BOTH = {"_storage", "_study_id", "_trial_id", "_backend"}  # names of Optuna's that modules of ours have, too


def defined(tree: ast.Module) -> Iterator[str]:
    """The names that a module gives to functions, classes, methods and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def test_attributes_of_trials_are_read_and_named_in_one_module() -> None:
    """All other modules get a `Trial`; two of them read attributes of the study itself."""
    for name, tree in modules().items():
        if wing(name) == "storage" or name == "search.trial_attributes":
            continue
        used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert "user_attrs" not in used or name in ("search.study", "search.identity"), name
        for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr in ("set_user_attr", "set_trial_user_attr"):
                assert not [a for a in call.args[:2] if isinstance(a, ast.Constant)], f"{name}:{call.lineno}"


def test_torch_stays_out_of_what_help_needs() -> None:
    free = {name for name in modules() if wing(name) in TORCH_FREE_WINGS} | TORCH_FREE
    assert free <= set(modules())
    assert {name for name in free if "torch" in at_import(modules()[name])} == set()


def test_nothing_imports_pickle() -> None:
    assert not [name for name, tree in modules().items() if imports(tree) & {"pickle", "joblib", "dill", "shelve"}]


_LIGHT = "torch", "pandas", "numpy", "pyarrow"  # with what follows, only what a command needs is loaded
_HEAVY = "optuna", "scipy.stats", "scipy.optimize", "sklearn", "statsmodels", "polars", "plotly", "jinja2"


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import lstm_tune", _LIGHT + _HEAVY),
        ("import lstm_tune.cli.app", _LIGHT + _HEAVY),
        ("from lstm_tune import DataError", _LIGHT + _HEAVY),
        ("import lstm_tune as l; l.diagnose([t % 12 for t in range(120)])", _HEAVY),
        ("from lstm_tune.pipeline import saved_run, out_of_date", _HEAVY),
        ("import lstm_tune.pipeline.tune, lstm_tune.cli.result_table", _HEAVY[1:]),
    ],
)
def test_importing_loads_no_package_without_need(statement: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print([m for m in {unwanted} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_pinned() -> None:
    assert sorted(lstm_tune.__all__) == [
        "Config",
        "DataError",
        "Diagnosis",
        "ForecastModel",
        "LstmTuneError",
        "Objective",
        "Result",
        "RunError",
        "Space",
        "SpaceError",
        "StudyError",
        "TuneOptions",
        "UsageError",
        "diagnose",
        "explain",
        "finish",
        "load",
        "load_result",
        "tune",
        "worker",
    ]
    assert len(lstm_tune.__all__) <= 20
    assert dir(lstm_tune) == sorted(lstm_tune.__all__)
    for name in lstm_tune.__all__:
        assert callable(getattr(lstm_tune, name))
    with pytest.raises(AttributeError, match="nothing"):
        _ = lstm_tune.nothing


def test_no_wing_has_the_name_of_a_public_function() -> None:
    """Importing such a wing would replace the function on the package."""
    assert not set(lstm_tune.__all__) & {*WINGS, *ROOT}


BENCHMARKS = sorted(PACKAGE.parent.glob("benchmarks/**/*.py"))


@pytest.mark.skipif(not BENCHMARKS, reason="not in a checkout")
@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmarks_import_names_that_are_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "lstm_tune":
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or f"{node.module}.{alias.name}".removeprefix("lstm_tune.") in set(
                    modules()
                )
