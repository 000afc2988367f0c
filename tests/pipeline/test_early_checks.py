"""What is wrong whatever the data hold is refused before they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lstm_tune
from lstm_tune.errors import LstmTuneError
from lstm_tune.pipeline import tune as steps


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"storage": "foo"}, 2, "storage must be a URL"),
        ({"storage": "foo://x/y"}, 2, "there is no database 'foo'"),
        ({"storage": "postgresql+foo://x/y"}, 2, "there is no database 'postgresql.foo'"),
        ({"storage": "missing/a.journal"}, 1, "make the folder 'missing', or name another file"),
        ({"storage": "sqlite:///missing/a.db"}, 1, "make the folder 'missing', or name another file"),
        ({"storage": "sqlite+foo:///a.db"}, 2, "there is no database 'sqlite.foo'"),
        ({"space": "qick"}, 2, "quick"),
        ({"metric": "mze"}, 2, "metric must be one of mse"),
        ({"sampler": "tpee"}, 2, "sampler must be one of"),
        ({"pruner": "mean"}, 2, "pruner must be one of"),
        ({"first": "nowhere"}, 1, "nowhere"),
        ({"out": "taken"}, 1, "holds a study already"),
        ({"data": "example:nil"}, 2, "unknown example 'nil'"),
        ({"data": "missing.csv"}, 2, "missing.csv does not exist"),
        ({"against": "others.csv"}, 2, "others.csv does not exist; check the path$"),
        ({"holidays": "XX"}, 2, "holidays must be a country .*'XX'"),
        ({"holidays": "DE-XX"}, 2, "its parts are BB"),
        ({"storage": "taken"}, 1, "this is a folder; name a file in it, such as 'taken/study.journal'"),
        ({"storage": "mysql+foo://u:p@127.0.0.1:1/db"}, 2, "there is no database"),
    ],
)
def test_what_needs_no_data_is_refused_before_they_are_read(
    options: dict[str, Any], status: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "holidays" in options:
        pytest.importorskip("holidays")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "study.journal").touch()
    monkeypatch.setattr(steps, "load_dataset", lambda *given: pytest.fail("the data were read"))
    with pytest.raises(LstmTuneError, match=words) as caught:
        lstm_tune.tune(**({"data": "example:nile", "n_trials": 1} | options))
    assert caught.value.exit_status == status
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_server_that_does_not_answer_is_noticed_before_the_data_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*given: object) -> None:
        raise LstmTuneError("it does not answer")

    monkeypatch.setattr("lstm_tune.pipeline.early_checks.open_storage", closed)
    monkeypatch.setattr(steps, "load_dataset", lambda *given: pytest.fail("the data were read"))
    with pytest.raises(LstmTuneError, match="it does not answer"):
        lstm_tune.tune("example:nile", n_trials=1, storage="postgresql://u@127.0.0.1:1/db")


def test_evaluate_looks_for_the_file_of_forecasts_before_the_model(
    command_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_tune.pipeline.saved_run.load", lambda run: pytest.fail("the model was read"))
    status, _, err = command_line("evaluate", "run", "data.csv", "--against", "others.csv")
    assert (status, err) == (2, "lstm-tune: others.csv does not exist; check the path\n")
