"""A journal that was edited by hand: the study goes on, or is refused in one line; there is never a traceback."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from series import TINY, task_of, wave

from lstm_tune.errors import LstmTuneError, StudyError
from lstm_tune.report.report_json import curves
from lstm_tune.report.result import trial_row
from lstm_tune.search.coordinator import Coordinator
from lstm_tune.search.identity import StudyIdentity
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import space_from_mapping
from lstm_tune.search.study import create_study
from lstm_tune.search.task_objective import TaskObjective
from lstm_tune.search.trial_queue import counted_trials
from lstm_tune.search.trials import candidates, read_trials
from lstm_tune.storage.journal import open_journal

SPACE = space_from_mapping(TINY | {"lookback": {"low": 4, "high": 12}, "learning_rate": {"low": 1e-3, "high": 1e-2}})
IDENTITY = StudyIdentity(settings={"seed": 0, "space": SPACE.to_dict()})
VALUES: tuple[Any, ...] = (None, "x", -1, 10**9, 1e400, [], {}, True, [[1]], {"a": 1}, "COMPLETE", 0.5)


def opened_study(path: Path, *, resume: bool) -> Coordinator:
    sampler, pruner = make_sampler("tpe", 0, SPACE), make_pruner("median", 2)
    journal = open_journal(path)
    return create_study(journal, "s", IDENTITY, sampler=sampler, pruner=pruner, resume=resume, alone=True)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The journal of a study of three trials."""
    path = tmp_path_factory.mktemp("whole") / "study.journal"
    opened = opened_study(path, resume=False)
    opened.study.optimize(TaskObjective(task_of(wave()), SPACE), n_trials=3)
    opened.release()
    return path.read_text().splitlines()


def resume(path: Path) -> None:
    """Resume the study, read all that is read of its trials, and do one more."""
    opened = opened_study(path, resume=True)
    with opened:
        trials = read_trials(opened.study)
        counted_trials(trials)
        candidates(trials)
        curves([t for t in trials if t.finished], by_fold=False)
        for trial in trials:
            trial_row(trial)
            trial.curve()
        trial = opened.study.ask()
        SPACE.suggest(trial)
        trial.report(0.5, 0)
        trial.should_prune()
        opened.study.tell(trial, 0.4)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a record, by the keys that lead there."""
    if path:
        yield path
    for key in value if isinstance(value, dict) else range(min(len(value), 3)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def edited(lines: list[str], rng: random.Random) -> list[str]:
    """The journal with one value, or one line, changed."""
    lines, at = list(lines), rng.randrange(len(lines))
    match rng.choice(("value", "value", "value", "delete", "double", "swap")):
        case "value":
            record = json.loads(lines[at])
            *path, last = rng.choice(list(places(record)))
            inner = record
            for key in path:
                inner = inner[key]
            inner[last] = rng.choice(VALUES)
            lines[at] = json.dumps(record)
        case "delete":
            del lines[at]
        case "double":
            lines.insert(rng.randrange(len(lines)), lines[at])
        case "swap":
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
    return lines


def error_of(path: Path) -> str | None:
    """The text with which a study is refused; None: it is resumed."""
    try:
        resume(path)
    except LstmTuneError as error:
        return str(error)
    return None


def test_journal_that_nobody_edited_is_resumed(lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.write_text("\n".join(lines) + "\n")
    resume(path)
    assert len(optuna.load_study(study_name="s", storage=open_journal(path)).trials) == 4


@pytest.mark.parametrize("seed", range(6))
def test_edited_journal_is_resumed_or_refused_in_one_line(lines: list[str], tmp_path: Path, seed: int) -> None:
    rng, refused = random.Random(seed), 0
    path = tmp_path / "study.journal"
    for _ in range(40):
        path.write_text("\n".join(edited(lines, rng)) + "\n")
        if (error := error_of(path)) is not None:
            assert "\n" not in error
            refused += 1
    assert 0 < refused < 40


@pytest.mark.parametrize("name", ["best_epoch", "epochs"])
def test_impossible_epoch_is_refused_with_trial_name_and_value(lines: list[str], tmp_path: Path, name: str) -> None:
    path = tmp_path / "study.journal"
    record = rf'"user_attr":{{"{name}":\d+}}'
    path.write_text(re.sub(record, f'"user_attr":{{"{name}":1000000000}}', "\n".join(lines)) + "\n")
    with pytest.raises(StudyError, match=rf"trial 0 of the study is damaged, or was edited: {name} must .*1000000000"):
        resume(path)
