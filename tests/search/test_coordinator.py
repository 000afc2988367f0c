"""One process at a time coordinates a study: it alone begins trials, retrains and reads the test rows."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import postgres
import pytest
from optuna.trial import TrialState
from studies import study_of, tune

from lstm_tune.errors import StudyError
from lstm_tune.search import coordinator
from lstm_tune.search.coordinator import Coordinator, coordinate
from lstm_tune.search.trial_queue import begin_trial, recover_stale_trials
from lstm_tune.storage.claims import claim
from lstm_tune.storage.open import open_storage
from lstm_tune.storage.optuna_private import id_of_study, storage_of
from lstm_tune.utils.process import _start_of, this_run

ELSEWHERE = "far-away/77/123"  # a process of another machine
GONE = f"{this_run().partition('/')[0]}/999999999/1"  # a process of this machine that has ended


@pytest.fixture
def study() -> optuna.Study:
    return study_of()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "_WATCH", 0.4)
    monkeypatch.setattr(coordinator, "_LOOK", 0.02)


def owned_by(study: optuna.Study, run: str, *, beat: bool) -> str:
    """Let a process own the study, as if it had claimed it; return its token."""
    storage, study_id = storage_of(study), id_of_study(study)
    number = coordinator._latest(storage.get_study_system_attrs(study_id)) + 1
    token = f"{run}#token{number}"
    assert claim(storage, study_id, coordinator._key(number), token)
    if beat:
        storage.set_study_system_attr(study_id, coordinator._BEAT, [token, 3])
    return token


# ---- on this machine


def test_study_is_refused_until_it_is_released(study: optuna.Study) -> None:
    first = coordinate(study, None)
    with pytest.raises(StudyError, match=f"study 's' is at work in process {os.getpid()}; wait until it has ended"):
        coordinate(study, None)
    first.release()
    first.release()
    with coordinate(study, None) as second, pytest.raises(StudyError, match="at work"):
        coordinate(study, None)
    second.release()
    coordinate(study, None).release()


def test_study_of_a_dead_process_is_taken_over_at_once(study: optuna.Study) -> None:
    owned_by(study, GONE, beat=True)
    began = time.monotonic()
    with coordinate(study, None) as mine:
        assert mine.dead is None
    assert time.monotonic() - began < 5


def test_process_that_a_study_of_an_old_version_names_is_heeded(study: optuna.Study, monkeypatch: Any) -> None:
    storage = open_storage(None)
    storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "old")
    old = optuna.load_study(study_name="old", storage=storage)
    monkeypatch.setattr(coordinator, "is_alive", lambda run: run == "here/1/1")
    with pytest.raises(StudyError, match="at work in process 1"):
        coordinate(old, "here/1/1")
    coordinate(old, "here/2/2").release()


def test_second_study_of_the_same_folder_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    refused = []

    def again(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        with pytest.raises(StudyError, match=f"at work in process {os.getpid()}; wait until it has ended"):
            tune(n_trials=2, out=tmp_path, resume=True)
        refused.append(trial.number)

    tune(n_trials=2, out=tmp_path, callbacks=[again])
    assert refused == [0, 1]
    assert tune(n_trials=3, out=tmp_path, resume=True).record["study"]["n_trials"] == 3


# ---- on another machine


def test_process_of_another_machine_that_gives_signs_of_life_is_heeded(study: optuna.Study, quick: None) -> None:
    token = owned_by(study, ELSEWHERE, beat=True)
    notes: list[str] = []
    threading.Timer(
        0.1, storage_of(study).set_study_system_attr, (id_of_study(study), coordinator._BEAT, [token, 4])
    ).start()
    with pytest.raises(StudyError, match="study 's' is at work in process 77 on far-away; wait until it has ended"):
        coordinate(study, None, info=notes.append)
    assert len(notes) == 1
    assert "process 77 on far-away" in notes[0]


def test_trials_of_another_machine_that_is_dead_are_done_again(study: optuna.Study, quick: None) -> None:
    owned_by(study, ELSEWHERE, beat=True)
    trial = begin_trial(study, ELSEWHERE)
    notes: list[str] = []
    with coordinate(study, None) as mine:
        assert mine.dead == ELSEWHERE
        recover_stale_trials(study, mine.dead, take_over=False, info=notes.append)
    assert study.trials[trial.number].state is TrialState.FAIL
    assert study.trials[-1].state is TrialState.WAITING
    assert notes == []


def test_running_trials_of_other_machines_are_left_alone_in_one_line(study: optuna.Study) -> None:
    ours, theirs, others = (begin_trial(study, run).number for run in (GONE, ELSEWHERE, "other/5/5"))
    notes: list[str] = []
    recover_stale_trials(study, None, take_over=False, info=notes.append)
    assert [study.trials[n].state for n in (ours, theirs, others)] == [
        TrialState.FAIL,
        TrialState.RUNNING,
        TrialState.RUNNING,
    ]
    assert notes == [
        "2 trials of another machine (far-away, other) may still run, and are left alone; "
        "if that machine is gone, pass take_over=True"
    ]


def test_a_study_is_taken_over_at_once_if_the_user_says_that_the_other_machine_is_gone(study: optuna.Study) -> None:
    owned_by(study, ELSEWHERE, beat=True)
    trials = [begin_trial(study, run).number for run in (ELSEWHERE, "other/5/5")]
    notes: list[str] = []
    began = time.monotonic()
    with coordinate(study, None, take_over=True, info=notes.append) as mine:
        recover_stale_trials(study, mine.dead, take_over=True, info=notes.append)
    assert time.monotonic() - began < 5
    assert notes == ["study 's' is taken over from process 77 on far-away"]
    assert [study.trials[number].state for number in trials] == [TrialState.FAIL] * 2
    assert [t.user_attrs["repeats"] for t in study.trials if t.state is TrialState.WAITING] == trials


def test_a_study_of_a_living_process_of_this_machine_is_not_taken_over(study: optuna.Study) -> None:
    with coordinate(study, None), pytest.raises(StudyError, match="at work in process"):
        coordinate(study, None, take_over=True)


def test_a_study_that_a_living_process_has_released_is_free(study: optuna.Study) -> None:
    owned_by(study, f"{this_run().partition('/')[0]}/{os.getppid()}/{_start_of(os.getppid())}", beat=False)
    with pytest.raises(StudyError, match="at work in process"):
        coordinate(study, None)
    storage, study_id = storage_of(study), id_of_study(study)
    latest = coordinator._latest(storage.get_study_system_attrs(study_id))
    storage.set_study_system_attr(study_id, coordinator._RELEASED, latest)
    coordinate(study, None).release()


def test_watching_ends_when_the_user_wants_to_stop(study: optuna.Study, quick: None) -> None:
    owned_by(study, ELSEWHERE, beat=True)
    with pytest.raises(KeyboardInterrupt):
        coordinate(study, None, stop=lambda: True)
    coordinate(study, None).release()


def test_process_that_was_taken_for_dead_reads_no_test_row(study: optuna.Study) -> None:
    mine = coordinate(study, None)
    mine.verify()
    owned_by(study, ELSEWHERE, beat=False)
    with pytest.raises(
        StudyError, match=r"process 77 on far-away has taken over study 's', .* the result is made there"
    ):
        mine.verify()
    mine.release()


def test_beats_are_counted_until_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "_SECONDS", 0.02)
    study = study_of(storage=open_storage(tmp_path / "study.journal"))
    mine = coordinate(study, None)

    def beat() -> int:
        return int(storage_of(study).get_study_system_attrs(id_of_study(study))[coordinator._BEAT][1])

    until = time.monotonic() + 60
    while beat() < 3 and time.monotonic() < until:
        time.sleep(0.02)
    mine.release()
    time.sleep(0.1)
    last = beat()
    time.sleep(0.2)
    assert last >= 3
    assert beat() == last


# ---- several at the same moment


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.Server() as running:
        yield running


@pytest.fixture(params=["journal", "sqlite", "memory", pytest.param("postgresql", marks=pytest.mark.postgres)])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Opens the same storage again and again, as different processes do."""
    match request.param:
        case "journal":
            return lambda: open_storage(tmp_path / "study.journal")
        case "sqlite":
            return lambda: open_storage(f"sqlite:///{tmp_path / 'study.db'}")
        case "memory":
            shared = open_storage(None)
            return lambda: shared
    server = request.getfixturevalue("server")
    return lambda: open_storage(server.url)


def test_of_many_that_claim_at_the_same_moment_one_gets_the_study(opens: Callable[[], Any]) -> None:
    study_of(storage=opens(), name="claimed")
    for _ in range(4):
        barrier, won, refused = threading.Barrier(6), list[Coordinator](), list[str]()
        studies = [optuna.load_study(study_name="claimed", storage=opens()) for _ in range(6)]

        def take(study: optuna.Study, barrier: Any = barrier, won: Any = won, refused: Any = refused) -> None:
            barrier.wait()
            try:
                won.append(coordinate(study, None))
            except StudyError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=take, args=(study,)) for study in studies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(refused)) == (1, 5)
        won[0].release()


@pytest.mark.slow
@pytest.mark.processes
def test_of_two_processes_that_resume_at_the_same_moment_one_is_refused(tmp_path: Path) -> None:
    study_of(storage=open_storage(tmp_path / "study.journal"))
    script = (
        "import sys, time\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from studies import SPACE\n"
        "from lstm_tune.errors import StudyError\n"
        "from lstm_tune.search.identity import StudyIdentity\n"
        "from lstm_tune.search.pruners import make_pruner\n"
        "from lstm_tune.search.samplers import make_sampler\n"
        "from lstm_tune.search.study import create_study\n"
        "from lstm_tune.storage.open import open_storage\n"
        "storage = open_storage(sys.argv[1])\n"
        "given = dict(sampler=make_sampler('random', 0, SPACE), pruner=make_pruner('none', 3))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n"
        "    create_study(storage, 's', StudyIdentity(settings={'seed': 0}), resume=True, alone=True, **given)\n"
        "    print('in', flush=True)\n"
        "except StudyError as error:\n"
        "    print(error, flush=True)\n"
        "sys.stdin.readline()\n"
    )
    helpers = str(Path(__file__).parents[1] / "helpers")
    command = [sys.executable, "-c", script, str(tmp_path / "study.journal"), helpers]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    streams = [(p.stdin, p.stdout) for p in processes]
    said: list[str] = []
    try:
        for go in (True, False):
            for _, out in streams:
                assert out is not None
                said.append(out.readline().strip())
            if go:
                for into, _ in streams:
                    assert into is not None
                    into.write("\n")
                    into.flush()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert said[:2] == ["ready"] * 2
    assert sorted(said[2:])[0] == "in"
    assert "at work in process" in sorted(said[2:])[1]
