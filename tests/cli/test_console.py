"""Lines on stderr: messages have options as they are typed, and paths stay as they are."""

from __future__ import annotations

import warnings

import pytest

from lstm_tune.cli.console import print_line, print_message, print_warnings
from lstm_tune.errors import LstmTuneWarning


def test_options_of_messages_are_spelled_for_the_shell_and_paths_are_left(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("3 rows written to seed=3")
    print_message("lstm-tune: ", "n_trials must be at least 1")
    with print_warnings():
        warnings.warn("no time column; pass time=", LstmTuneWarning, stacklevel=1)
    assert capsys.readouterr().err.splitlines() == [
        "3 rows written to seed=3",
        "lstm-tune: trials must be at least 1",
        "note: no time column; pass --time",
    ]
