"""A study in a database: outages, answers that are lost, heartbeats, and trials that another process takes away."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import postgres
import pytest
import sqlalchemy as sql
import studies
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import TrialState
from series import TINY
from studies import Watching

from lstm_tune.errors import StudyError
from lstm_tune.search.tickets import make_tickets
from lstm_tune.search.trial_queue import STALE_TRIALS, fail_and_requeue
from lstm_tune.storage import database, database_opening, outages, schema
from lstm_tune.storage.buffered import inside
from lstm_tune.storage.claims import claim
from lstm_tune.storage.database import Database
from lstm_tune.storage.database_errors import Outage
from lstm_tune.storage.heartbeats import record_beat
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.open import open_storage

SPACE: dict[str, Any] = TINY | {"epochs": 2, "lookback": {"low": 4, "high": 40}, "learning_rate": [1e-3, 1e-2]}
tune = partial(studies.tune, space=SPACE, n_trials=6, pruner="median")


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.Server() as running:
        yield running


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(outages.time, "sleep", lambda seconds: None)
    storage = inside(open_storage(f"sqlite:///{tmp_path / 'study.db'}"))
    assert isinstance(storage, Database)
    yield storage
    storage._rdb.engine.dispose()


def one(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    trial.report(x, 0)
    trial.set_user_attr("a", x)
    return x


def losing(call: Callable[..., Any], times: int, *, done: bool) -> Callable[..., Any]:
    """A call whose first answers are lost; `done`: it was carried out nevertheless, the first time."""
    lost = []

    def lossy(*args: Any, **options: Any) -> Any:
        if len(lost) < times:
            lost.append(args)
            if done and len(lost) == 1:
                call(*args, **options)
            raise Outage("the connection is gone")
        return call(*args, **options)

    return lossy


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.processes
def test_no_server_of_a_benchmark_or_a_test_outlives_sigterm() -> None:
    program = (
        "import postgres as p, time\nwith p.Server() as s:\n print(s.port, s.folder, flush=True)\n time.sleep(600)"
    )
    path = os.pathsep.join([str(Path(postgres.__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert process.stdout is not None
    port, folder = process.stdout.readline().split()
    with socket.create_connection(("127.0.0.1", int(port))):
        process.terminate()
    assert process.wait()
    process.stdout.close()
    assert not Path(folder).exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)))


# ---- answers that are lost


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(
    "name",
    ["create_new_trial", "write_trial", "trials", "trial"],
)
def test_a_lost_answer_neither_loses_nor_doubles_a_trial(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, name: str, done: bool
) -> None:
    study = optuna.create_study(storage=sqlite, study_name="s")
    places: dict[str, Any] = {
        "create_new_trial": sqlite._rdb,
        "write_trial": database,
        "trials": sqlite._reader,
        "trial": sqlite._reader,
    }
    monkeypatch.setattr(places[name], name, losing(getattr(places[name], name), 3, done=done))
    study.enqueue_trial({"x": 0.5})
    study.optimize(one, n_trials=3)
    trials = study.trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 3
    assert [t.value for t in trials] == [t.params["x"] for t in trials] == [t.user_attrs["a"] for t in trials]
    assert trials[0].value == 0.5


@pytest.mark.parametrize("done", [False, True])
def test_a_trial_from_the_queue_is_taken_once_though_the_answer_is_lost(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    study = optuna.create_study(storage=sqlite, study_name="s")
    study.enqueue_trial({"x": 0.5})
    monkeypatch.setattr(sqlite, "_take", losing(sqlite._take, 2, done=done))
    study.optimize(one, n_trials=1)
    assert [(t.state, t.value) for t in study.trials] == [(TrialState.COMPLETE, 0.5)]


@pytest.mark.parametrize("done", [False, True])
def test_tickets_are_made_once_though_the_answer_is_lost(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    study = optuna.create_study(storage=sqlite, study_name="s")
    monkeypatch.setattr(database, "create_waiting_trials", losing(database.create_waiting_trials, 2, done=done))
    make_tickets(study, 3)
    assert [t.number for t in study.trials] == [0, 1, 2]


def test_a_trial_that_another_took_is_not_taken(sqlite: Database) -> None:
    study = optuna.create_study(storage=sqlite, study_name="s")
    study.enqueue_trial({"x": 0.5})
    here = study.trials[0]._trial_id
    assert sqlite.set_trial_state_values(here, TrialState.RUNNING)
    assert not sqlite.set_trial_state_values(here, TrialState.RUNNING)
    assert sqlite.set_trial_state_values(here, TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        sqlite.set_trial_state_values(here, TrialState.RUNNING)
    with pytest.raises(KeyError):
        sqlite.set_trial_state_values(999, TrialState.RUNNING)


def test_the_end_of_a_trial_is_refused_where_another_has_ended_it(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(storage=sqlite, study_name="s")
    here = study.ask()._trial_id
    sqlite.set_trial_state_values(here, TrialState.FAIL)
    monkeypatch.setattr(database, "write_trial", losing(database.write_trial, 1, done=False))
    with pytest.raises(UpdateFinishedTrialError):
        sqlite.set_trial_state_values(here, TrialState.COMPLETE, [1.0])
    assert study.trials[0].state is TrialState.FAIL


# ---- outages


def test_an_outage_and_its_end_are_reported_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(outages.time, "sleep", pauses.append)
    notes: list[str] = []
    storage = inside(open_storage(f"sqlite:///{tmp_path / 'study.db'}", Opening(info=notes.append)))
    assert isinstance(storage, Database)
    monkeypatch.setattr(storage._rdb, "get_all_studies", losing(storage._rdb.get_all_studies, 12, done=False))
    assert storage.get_all_studies() == []
    assert notes == ["the storage does not answer; waiting for it", "the storage answers again"]
    assert storage.attempts == 12
    assert max(pauses) <= 0.5  # Ctrl-C is looked at meanwhile
    assert 31 < sum(pauses) < 63  # from a tenth of a second, twice as long each time, to ten seconds
    storage._rdb.engine.dispose()


def test_an_outage_that_lasts_ends_the_study_with_one_line(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sqlite.outages.limit = 0.0
    tries = []

    def away(*args: Any) -> None:
        tries.append(args)
        raise Outage("no route to host")

    def break_it(trial: int) -> None:
        monkeypatch.setattr(database, "write_trial", away)
        monkeypatch.setattr(sqlite._reader, "trial", away)

    with pytest.raises(
        StudyError, match=r"no answer from the storage .*: no route to host; what was finished is kept"
    ) as e:
        tune(storage=sqlite, progress=Watching(break_it))
    assert "\n" not in str(e.value)
    assert len(tries) < 10


def test_what_a_database_refuses_is_one_line(sqlite: Database) -> None:
    sqlite._rdb.engine.dispose()
    with sqlite._rdb.engine.begin() as connection:
        connection.exec_driver_sql("drop table trials")
    study = optuna.create_study(storage=sqlite, study_name="s")
    with pytest.raises(
        StudyError, match=r"an error of the storage 'sqlite:///.*no such table: trials; check the URL"
    ) as raised:
        _ = study.trials
    assert "\n" not in str(raised.value)


# ---- trials that are taken away


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_that_is_taken_away_is_dropped_and_the_study_goes_on(
    tmp_path: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    taken: list[int] = []

    def take(trial: int) -> None:
        if not taken:
            other = optuna.load_study(study_name=None, storage=open_storage(tmp_path / "study.journal"))
            if fail_and_requeue(other, trial, "another process took it") == "queued":  # or it had just ended
                taken.append(trial)

    watching = Watching(take)
    space = SPACE | {"epochs": 60, "patience": 60}
    result = tune(storage=None, out=tmp_path, workers=workers, progress=watching, space=space, pruner="none")
    trials = result.study.trials
    assert len(taken) == 1
    lost = trials[taken[0]]
    assert (lost.state, lost.value) == (TrialState.FAIL, None)
    assert lost.user_attrs["traceback"] == "another process took it"
    assert [n for n in watching.notes if "its result was dropped" in n] == [
        f"trial {taken[0]}: another process has ended it, so that its result was dropped"
    ]
    assert [t.state for t in trials if t is not lost] == [TrialState.COMPLETE] * 6
    assert sum(t.user_attrs.get("repeats") == taken[0] for t in trials) == 1
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert "UpdateFinishedTrialError" not in err


@pytest.mark.parametrize("workers", [1])
def test_an_error_of_a_callback_is_no_trial_taken_away(workers: int) -> None:
    def wrong(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        tune(callbacks=[wrong], workers=workers)


# ---- PostgreSQL


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_restarted_in_mid_study_loses_nothing_and_no_password_is_shown(
    server: postgres.Server,
    tmp_path: Path,
    workers: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    modes = ["immediate", "fast"]

    def restart(trial: int) -> None:
        if modes:
            server.restart(modes.pop())

    name = f"restarted-{workers}"
    watching = Watching(restart)
    with caplog.at_level(logging.DEBUG):
        result = tune(
            storage=server.url, study_name=name, workers=workers, n_trials=8, out=tmp_path / "run", progress=watching
        )
    assert not modes
    study = optuna.load_study(study_name=name, storage=open_storage(server.url))
    assert len(study.trials) == len(result.study.trials) == 8
    assert all(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in study.trials)
    assert [t.number for t in study.trials] == list(range(8))
    shown = caplog.text + "".join(capfd.readouterr()) + "".join(watching.notes)
    shown += "".join(p.read_bytes().decode("latin1") for p in (tmp_path / "run").rglob("*") if p.is_file())
    assert postgres.PASSWORD not in shown
    assert postgres.QUOTED not in shown
    assert f"postgresql://tuner:***@127.0.0.1:{server.port}/postgres" in (tmp_path / "run/result.json").read_text()


@pytest.mark.slow
@pytest.mark.postgres
def test_many_writers_lose_and_double_nothing_while_the_server_crashes(server: postgres.Server) -> None:
    optuna.create_study(storage=open_storage(server.url), study_name="many")
    queue = optuna.load_study(study_name="many", storage=open_storage(server.url))
    for number in range(20):
        queue.enqueue_trial({"x": number / 20}, user_attrs={"queued": number})
    failed: list[BaseException] = []
    done: list[int] = []

    def write() -> None:
        try:
            study = optuna.load_study(study_name="many", storage=open_storage(server.url, Opening(seconds=60)))
            study.optimize(one, n_trials=25, callbacks=[lambda _, trial: done.append(trial.number)])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for mode in ("immediate", "fast") * 2:
        threads[0].join(0.2)
        server.restart(mode)
    for thread in threads:
        thread.join()
    assert not failed
    trials = queue.trials
    assert sorted(done) == list(range(75)) == [t.number for t in trials]
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 75
    assert all(t.value == t.params["x"] == t.user_attrs["a"] == t.intermediate_values[0] for t in trials)
    assert sorted(t.user_attrs["queued"] for t in trials if "queued" in t.user_attrs) == list(range(20))


@pytest.mark.slow
@pytest.mark.postgres
def test_heartbeats_outlive_a_beat_that_fails_and_a_trial_without_any_is_given_to_another(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BEAT", 1)
    storage = inside(open_storage(server.url, Opening(stale=STALE_TRIALS)))
    assert isinstance(storage, Database)
    study = optuna.create_study(storage=storage, study_name="beats")
    beats: list[str] = []
    enough = threading.Event()

    def record(engine: sql.Engine, trial_id: int) -> None:
        beats.append("failed" if len(beats) < 1 else "recorded")
        if beats[-1] == "failed":
            raise Outage("gone")
        record_beat(engine, trial_id)
        enough.set()

    monkeypatch.setattr(database, "record_beat", record)

    def waits(trial: optuna.Trial) -> float:
        assert enough.wait(120)
        return trial.suggest_float("x", 0, 1)

    study.optimize(waits, n_trials=1)
    assert beats[:2] == ["failed", "recorded"]

    # A trial whose worker is frozen; its last beat was ten minutes ago.
    frozen = optuna.Trial(study, storage.create_new_trial(study._study_id))
    frozen.suggest_float("x", 0, 1)
    server.sql(f"update trial_heartbeats set heartbeat = now() - interval '10 min' where trial_id = {frozen._trial_id}")
    other = optuna.load_study(study_name="beats", storage=open_storage(server.url, Opening(stale=STALE_TRIALS)))
    other.optimize(one, n_trials=1)
    assert study.trials[1].state is TrialState.RUNNING  # after an outage, or at the beginning, no one is stale
    monkeypatch.setattr(inside(other._storage).outages, "up_since", -1e9)  # type: ignore[attr-defined]
    worker = optuna.load_study(study_name="beats", storage=open_storage(server.url))
    monkeypatch.setattr(inside(worker._storage).outages, "up_since", -1e9)  # type: ignore[attr-defined]
    worker.optimize(one, n_trials=1)
    assert study.trials[1].state is TrialState.RUNNING  # the coordinator alone takes trials back
    other.optimize(one, n_trials=1)
    trials = study.trials
    assert (trials[1].state, trials[1].user_attrs["lost"]) == (TrialState.FAIL, "its worker sends no heartbeats")
    assert (trials[4].user_attrs["repeats"], trials[4].params) == (1, trials[1].params)
    with pytest.raises(UpdateFinishedTrialError):
        frozen.report(0.1, 5)
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(frozen._trial_id, TrialState.COMPLETE, [0.1])


@pytest.mark.slow
@pytest.mark.postgres
def test_what_the_server_refuses_is_reported_at_once_without_the_password_and_leaves_nothing(
    server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages.time, "sleep", lambda seconds: pytest.fail("it waits"))
    wrong = server.url.replace(postgres.QUOTED, "wr0ng")
    nobody = server.url.replace(postgres.USER, "nobody-here")
    for url, said in (
        (wrong, r"password authentication failed.*; check user and password: %-encoded in the URL, in PGPASSWORD"),
        (nobody, r"password authentication failed.*; check user and password"),
        (server.url + "x", r'database "postgresx" does not exist; create it with createdb'),
    ):
        with pytest.raises(StudyError, match=said) as raised:
            open_storage(url)
        assert "\n" not in str(raised.value)
        assert not {"wr0ng", postgres.PASSWORD, postgres.QUOTED} & set(str(raised.value).split())
        assert "wr0ng" not in str(raised.value)
        assert postgres.QUOTED not in str(raised.value)
    with pytest.raises(StudyError, match="password authentication failed"):
        tune(storage=wrong, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.postgres
def test_a_server_that_is_away_at_the_start_is_waited_for_a_little(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    pauses: list[float] = []

    def start_meanwhile(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            server.start()

    monkeypatch.setattr(outages.time, "sleep", start_meanwhile)
    open_storage(server.url)
    assert len(pauses) >= 2
    server.stop()
    monkeypatch.setattr(outages.time, "sleep", lambda seconds: None)
    with pytest.raises(StudyError, match=r"cannot open the storage .*Connection refused.*check host and port"):
        open_storage(server.url, Opening(seconds=0.0))
    server.start()


@pytest.mark.postgres
@pytest.mark.parametrize("workers", [1, 2])
def test_database_that_is_read_only_is_refused_before_the_study_begins(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(database_opening, "OPENING", 0.3)
    open_storage(server.url)  # makes the tables
    url = f"{server.url}?options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(StudyError, match=r"cannot open the storage .* is read-only .*; name the primary server$"):
        tune(storage=url, study_name="refused", workers=workers)


def test_schema_that_the_tests_have_not_seen_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "TESTED", (11,))
    with pytest.raises(
        StudyError, match="the database has version 12 of Optuna's schema, but lstm-tune knows 11 alone"
    ):
        open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    own = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")  # of which Optuna knows the schema
    number = own.create_new_study([StudyDirection.MINIMIZE], "s")
    with pytest.raises(StudyError, match="the database has version 12"):
        claim(own, number, "key", "token")
    assert own.get_study_system_attrs(number) == {}
