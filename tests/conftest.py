from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import postgres
import pytest
import torch
from hypothesis import HealthCheck, settings

from lstm_tune.cli import app as cli
from lstm_tune.training import trainer as train

# Tests beside those in tests/laws that hold a law, a number that users read, or a promise, and that take little time.
_ALSO_LAWS = (
    "cli/test_run_file.py",
    "data",
    "evaluation",
    "models",
    "diagnosis/test_gate.py",
    "pipeline/test_apply.py",
    "pipeline/test_members.py",
    "pipeline/test_options.py",
    "pipeline/test_out_of_date.py",
    "pipeline/test_reproducibility.py",
    "report/test_report_json.py",
    "report/test_run_folder.py",
    "report/test_series_csv.py",
    "search",
    "storage/test_journal.py",
    "training",
    "utils",
)
# Of these, files about formats: no number depends on them.
_NO_LAWS = (
    "data/test_number_format.py",
    "data/test_spreadsheets.py",
    "data/test_text_files.py",
    "data/test_time_column.py",
    "models/test_onnx.py",
    "search/test_progress.py",
    "search/test_space_schema.py",
    "training/test_precision.py",
)
_TAKE_LONG = ("slow", "processes", "postgres")

# On a busy machine an example may take any time: that is no failure.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the laws; skip what needs a PostgreSQL server if none can be started.

    With several workers of pytest-xdist, tests that share a study or a fixture go to the same one, and those that start
    processes or look at the clock run one after the other.
    """
    tests = Path(__file__).parent
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
        place = item.path.relative_to(tests).as_posix()
        also = place.startswith(_ALSO_LAWS) and place not in _NO_LAWS
        if also and not any(map(item.get_closest_marker, _TAKE_LONG)):
            item.add_marker(pytest.mark.laws)
    if missing := postgres.missing_requirement():
        for item in items:
            if item.get_closest_marker("postgres"):
                item.add_marker(pytest.mark.skip(reason=missing))


def _group(item: pytest.Item) -> str:
    """Return the group of a test: tests of a group run in the same process, one after the other."""
    if item.get_closest_marker("processes") or item.get_closest_marker("postgres"):
        return "processes"
    call = getattr(item, "callspec", None)
    if item.path.parent.name == "laws" and call is not None and "name" in call.params:
        return f"study of {call.params['name']}"
    if mark := item.get_closest_marker("study"):
        return f"study of {mark.args[0]}"
    return str(item.path)


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> None:
    """Use one thread, because a second one only waits in such small networks, and let Ctrl-C raise as in a terminal."""
    torch.set_num_threads(1)
    # If a shell starts the tests in the background, they and all that they start would ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.environ.pop("OPTUNA_STORAGE", None)  # or every study would be there


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Restore the handler of Ctrl-C: a command that was stopped ignores it, since its process is about to end."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def short_epochs() -> Iterator[None]:
    """Shorten an epoch to 128 windows, in the modules that ask for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "MIN_SAMPLES_PER_EPOCH", 128)
        yield


@pytest.fixture
def command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process; return (status, stdout, stderr)."""

    def call(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lstm-tune", *args])
        capsys.readouterr()
        try:
            cli.main()
            status: Any = 0
        except SystemExit as error:
            status = error.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return call
