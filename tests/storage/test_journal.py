"""The journal: what a kill, a full disk, a stale lock and another program do to it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock
from optuna.trial import TrialState
from series import TINY, daily, wave
from studies import study_of, tried, value_of

import lstm_tune
from lstm_tune.errors import StudyError
from lstm_tune.storage import journal_file, journal_lock
from lstm_tune.storage.journal import open_journal
from lstm_tune.storage.journal_file import JournalFile

RECORD = {"op_code": 2, "worker_id": "w", "study_id": 0, "user_attr": {"a": 1}}


def study_in(path: Path, trials: int = 3) -> optuna.Study:
    study = optuna.create_study(storage=open_journal(path), study_name="s", load_if_exists=True)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    return study


def lines(path: Path) -> list[Any]:
    text = path.read_bytes()
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def read(file: JournalFile, start: int = 0) -> list[Any]:
    return list(file.read_logs(start))


def asleep(*_: float) -> None:
    raise AssertionError("it waits")


# ---- lines that were torn


@pytest.mark.parametrize("torn", [b'{"op_', b'{"op_code":5,"worker_id":"w","tri', b'{"op_code":5}', b"{", b"\0\0\0"])
def test_a_torn_last_line_is_cut_off_at_opening_and_reported(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "study.journal"
    study_in(path)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    notes: list[str] = []
    study = optuna.load_study(study_name="s", storage=open_journal(path, notes.append))
    assert path.read_bytes() == whole
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3
    assert len(notes) == 1
    assert f"{len(torn)} bytes" in notes[0]
    open_journal(path, notes.append)
    assert len(notes) == 1


def test_a_long_torn_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    whole = (json.dumps(RECORD, separators=(",", ":")) + "\n").encode() * 3
    path.write_bytes(whole + b'{"op_code":2,"worker_id":"' + b"x" * (3 * journal_file._BLOCK + 5))
    JournalFile(path)
    assert path.read_bytes() == whole


def test_a_line_torn_while_others_work_disturbs_neither_readers_nor_writers(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    first, second = JournalFile(path), JournalFile(path)
    first.append_logs([RECORD])
    assert len(read(second)) == 1
    with open(path, "ab") as file:
        file.write(b'{"op_code":2,"worker_id":"de')
    assert len(read(second)) == len(read(first)) == 1
    assert read(second, 1) == []
    first.append_logs([RECORD, RECORD])
    assert len(read(second, 1)) == 2
    assert len(lines(path)) == len(read(second)) == len(read(JournalFile(path))) == 3


def test_a_line_that_was_cut_and_replaced_while_it_was_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.journal"
    file = JournalFile(path)
    file.append_logs([RECORD, RECORD])
    parse, failed = journal_file._parse, []

    def fail_once(line: bytes) -> Any:
        if not failed:
            failed.append(line)
            return None
        return parse(line)

    monkeypatch.setattr(journal_file, "_parse", fail_once)
    assert read(file) == [RECORD, RECORD]


@pytest.mark.slow
@pytest.mark.processes
def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    code = (
        "import sys; from pathlib import Path; from lstm_tune.storage.journal_file import JournalFile\n"
        "file, number, big = JournalFile(Path(sys.argv[1])), 0, 'x' * 300_000\n"
        "while True:\n"
        "    record = {'op_code': 2, 'worker_id': sys.argv[2], 'n': number, 'big': big}\n"
        "    file.append_logs([record]); print(number, flush=True); number += 1\n"
    )
    said: dict[str, int] = {}

    def listen(name: str, writer: subprocess.Popen[str], most: int) -> None:
        assert writer.stdout is not None
        for line in writer.stdout:
            said[name] = int(line)
            if said[name] == most:
                writer.send_signal(signal.SIGKILL)

    writers = {
        name: subprocess.Popen([sys.executable, "-c", code, str(path), name], stdout=subprocess.PIPE, text=True)
        for name in "abc"
    }
    threads = [
        threading.Thread(target=listen, args=(name, writer, 8 + 5 * i))
        for i, (name, writer) in enumerate(writers.items())
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers.values():
        assert writer.wait() == -signal.SIGKILL
        assert writer.stdout is not None
        writer.stdout.close()
    JournalFile(path)
    numbers: dict[str, list[int]] = {name: [] for name in writers}
    for record in lines(path):
        numbers[record["worker_id"]].append(record["n"])
    for name, found in numbers.items():
        assert found == list(range(len(found)))
        assert len(found) > said[name] >= 8
    assert not list(tmp_path.glob("*.lock"))


# ---- locks


@pytest.mark.slow
@pytest.mark.processes
def test_the_lock_of_a_killed_process_is_broken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.journal"
    file = JournalFile(path)
    code = (
        "import os, signal, sys; from pathlib import Path; from lstm_tune.storage import journal_lock\n"
        "with journal_lock.locked(Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert os.path.lexists(f"{path}.lock")
    monkeypatch.setattr(journal_lock.time, "sleep", asleep)
    file.append_logs([RECORD])
    assert lines(path) == [RECORD]
    assert not os.path.lexists(f"{path}.lock")


@pytest.mark.parametrize("make", [JournalFileOpenLock, JournalFileSymlinkLock])
def test_the_lock_of_another_program_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    path = tmp_path / "study.journal"
    file = JournalFile(path)
    lock = make(str(path))
    lock.acquire()
    waited = []

    def let_go(seconds: float) -> None:
        assert path.read_bytes() == b""
        waited.append(seconds)
        if len(waited) == 3:
            lock.release()

    monkeypatch.setattr(journal_lock.time, "sleep", let_go)
    file.append_logs([RECORD])
    assert len(waited) == 3
    assert lines(path) == [RECORD]


def test_the_lock_of_another_program_that_never_lets_go_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.journal"
    file = JournalFile(path)
    JournalFileOpenLock(str(path)).acquire()
    monkeypatch.setattr(journal_lock, "_GRACE", 0.02)
    file.append_logs([RECORD])
    assert lines(path) == [RECORD]
    assert not os.path.lexists(f"{path}.lock")


def test_a_frozen_holder_of_the_lock_stalls_nobody_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.journal"
    file = JournalFile(path)
    monkeypatch.setattr(journal_lock, "_GRACE", 0.02)
    with journal_lock.locked(path):
        file.append_logs([RECORD])
    assert lines(path) == [RECORD]
    assert not os.path.lexists(f"{path}.lock")


def test_optuna_reads_what_we_write_and_we_read_what_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    ours = study_in(path, 2)
    theirs = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    study_in(path, 1)
    assert [t.params for t in ours.trials] == [t.params for t in theirs.trials]
    assert len(ours.trials) == 5


# ---- files that are no journals, or not any more


def test_garbage_in_the_middle_is_one_line_that_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    study_in(path)
    good = path.read_bytes().splitlines(keepends=True)
    for bad in (b"nonsense\n", b"[1]\n", b'{"a":1}\n', b'{"op_code":-1,"worker_id":"w"}\n', b"\xff\xfe\n", b"\n"):
        path.write_bytes(b"".join([*good[:3], bad, *good[3:]]))
        with pytest.raises(StudyError, match=r"line 4 is no record; restore it .* \(head -n 3\)$") as raised:
            open_journal(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("bad", [b"\x93\x01\xfe\x07", b"no end", b"\x93\n\x01", b"garbage\n{"])
def test_garbage_after_a_good_journal_is_refused_by_its_line_and_nothing_is_cut(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "study.journal"
    study_in(path)
    file, whole = JournalFile(path), path.read_bytes()
    path.write_bytes(whole + bad)
    good = whole.count(b"\n")
    for touch in (lambda: open_journal(path), lambda: file.append_logs([RECORD])):
        with pytest.raises(StudyError, match=rf"line {good + 1} is no record; restore it .* \(head -n {good}\)$"):
            touch()
    assert path.read_bytes() == whole + bad


def test_records_that_do_not_fit_together_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.write_text('{"op_code":0,"worker_id":"w"}\n', encoding="utf-8")
    with pytest.raises(StudyError, match=r"damaged: its records do not fit together \('study_name'\)"):
        open_journal(path)


@pytest.mark.parametrize(
    "content", [b"date,y\n1,2\n", b"date,y\n1,2", b"no end", b"\x89PNG\r\n\x1a\n\0", b"{\n}", b'{"a": 1}', b"[]"]
)
def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.log"
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"mine\.log' is no journal of a study; name another file$"):
        open_journal(path)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["mine.log"]


def test_a_folder_and_a_missing_folder_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"cannot open the study file .*: Is a directory"):
        open_journal(tmp_path)
    with pytest.raises(StudyError, match=r"cannot open the study file .*: No such file or directory"):
        open_journal(tmp_path / "no" / "a.journal")


def test_a_file_that_is_removed_or_cut_in_use_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    study = study_in(path)
    kept = path.read_bytes()
    path.write_bytes(kept[: kept.index(b"\n") + 1])
    with pytest.raises(StudyError, match=r"was cut or replaced while it was in use"):
        _ = study.trials
    path.unlink()
    with pytest.raises(StudyError, match=r"cannot read the study file .*: No such file"):
        _ = study.trials
    with pytest.raises(StudyError, match=r"cannot write to the study file .*: No such file"):
        study.enqueue_trial({"x": 1.0})
    assert not path.exists()


# ---- a full disk


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond that: a write that does is cut short, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_for_which_there_is_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    file = JournalFile(path)
    file.append_logs([RECORD])
    size = path.stat().st_size
    with (
        files_of_at_most(size + 10),
        pytest.raises(StudyError, match=r"cannot write .*: File too large; what was finished is kept"),
    ):
        file.append_logs([RECORD])
    assert path.stat().st_size == size
    file.append_logs([RECORD])
    assert read(file) == lines(path) == [RECORD, RECORD]


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_the_study_with_one_line_and_it_goes_on_later(tmp_path: Path, workers: int) -> None:
    space = TINY | {"epochs": 1, "lookback": {"low": 4, "high": 40}, "learning_rate": [1e-3, 1e-2]}
    given: dict[str, Any] = {
        "target": "y",
        "space": space,
        "workers": workers,
        "n_trials": 6,
        "retrain_seeds": 1,
        "folds": 1,
        "sampler": "random",
        "pruner": "none",
        "out": tmp_path / "run",
    }
    journal_file = tmp_path / "run" / "study.journal"
    ended = []

    def fill(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        ended.append(trial.number)
        if len(ended) == 2:
            size = journal_file.stat().st_size + 700
            for pid in [os.getpid(), *_children()]:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    with (
        files_of_at_most(resource.RLIM_INFINITY),
        pytest.raises(StudyError, match=r"cannot write.*too large") as raised,
    ):
        lstm_tune.tune(daily(wave(200)), callbacks=[fill], **given)
    assert "\n" not in str(raised.value)
    lines(journal_file)
    stored = optuna.load_study(study_name=None, storage=open_journal(journal_file))
    done = {t.number: t.value for t in stored.trials if t.state is TrialState.COMPLETE}
    assert set(ended) <= set(done)
    assert len(done) < 6
    result = lstm_tune.tune(daily(wave(200)), resume=True, **given)
    assert {n: t.value for n, t in enumerate(result.study.trials) if n in done} == done
    assert sum(t.state is TrialState.COMPLETE for t in result.study.trials) == 6


def _children() -> list[int]:
    import multiprocessing

    return [child.pid for child in multiprocessing.active_children() if child.pid]


# ---- the file as a storage


def test_journal_means_one_file_whatever_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study_of(storage=open_journal(Path("study.journal")))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    again = open_journal(Path("../study.journal"))
    assert optuna.get_all_study_names(again) == ["s"]


def test_journal_waits_for_the_disk_once_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    study = study_of(storage=open_journal(tmp_path / "study.journal"))
    monkeypatch.setattr(os, "fsync", synced.append)
    study.optimize(value_of, n_trials=3)
    assert len(synced) == 3
    again = study_of(storage=open_journal(tmp_path / "study.journal"), resume=True)
    assert tried(again) == tried(study)


def test_storage_can_be_sent_to_a_worker_and_reads_on_there(tmp_path: Path) -> None:
    storage = open_journal(tmp_path / "study.journal")
    study = optuna.create_study(storage=storage, study_name="s")
    sent = ForkingPickler.loads(ForkingPickler.dumps(storage))
    study.optimize(lambda trial: 1.0, n_trials=1)
    assert len(optuna.load_study(study_name="s", storage=sent).trials) == 1


def test_operation_of_a_newer_optuna_is_not_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    optuna.create_study(storage=open_journal(path), study_name="s")
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"op_code":99,"worker_id":"w"}\n')
    before = path.read_bytes()
    with pytest.raises(StudyError, match=r"was written by a newer Optuna .line 2 has operation 99.; install that one"):
        open_journal(path)
    assert path.read_bytes() == before
