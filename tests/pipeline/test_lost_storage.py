"""A study whose folder or storage is taken away while it runs: one line, and no traceback of any process."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import optuna
import pytest
import studies
from series import TINY
from studies import Watching

from lstm_tune.errors import LstmTuneError, StudyError
from lstm_tune.storage.open import open_storage

pytestmark = [pytest.mark.slow, pytest.mark.processes]
SPACE = TINY | {"lookback": {"low": 4, "high": 40}, "learning_rate": {"low": 1e-4, "high": 1e-1}}
tune = partial(studies.tune, space=SPACE, n_trials=30)


@pytest.mark.parametrize("workers", [1, 2])
def test_deleted_run_folder_ends_the_study_in_one_line(
    tmp_path: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    watching = Watching(lambda trial: shutil.rmtree(folder, ignore_errors=True) if trial >= 2 else None)
    with pytest.raises(LstmTuneError, match=r"study\.journal") as caught:
        tune(out=folder, workers=workers, progress=watching)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("workers", [1, 2])
def test_deleted_study_ends_the_study_in_one_line(
    tmp_path: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def delete(trial: int) -> None:
        storage = open_storage(str(tmp_path / "study.journal"))
        if trial >= 2 and optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)

    with pytest.raises(StudyError, match="no longer in its storage: it was deleted while it ran") as caught:
        tune(out=tmp_path, workers=workers, progress=Watching(delete))
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err
