"""Tickets: each is taken once, and none that the gate does not let through."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import postgres
import pytest
from optuna.storages import GrpcStorageProxy, InMemoryStorage, run_grpc_proxy_server
from optuna.trial import TrialState
from studies import study_of

from lstm_tune.search.tickets import Gate, make_tickets, read_trial_seconds, set_gate, set_trial_seconds, take_ticket
from lstm_tune.search.trial_queue import fail_and_requeue, give_back, n_counted
from lstm_tune.search.trials import Trial
from lstm_tune.storage.database_statements import TOKEN
from lstm_tune.storage.open import open_storage
from lstm_tune.storage.optuna_private import id_of_study, storage_of


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.Server() as running:
        yield running


def proxy() -> int:
    """Serve Optuna's gRPC proxy before a storage in memory, until the tests end; return its port."""
    pytest.importorskip("grpc")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = {"host": "127.0.0.1", "port": port}
    threading.Thread(target=run_grpc_proxy_server, args=(InMemoryStorage(),), kwargs=options, daemon=True).start()
    GrpcStorageProxy(host="127.0.0.1", port=port).wait_server_ready(60)
    return port


@pytest.fixture(params=["journal", "proxy", pytest.param("postgresql", marks=pytest.mark.postgres)])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Opens the same storage again and again, as different processes do."""
    if request.param == "journal":
        return lambda: open_storage(tmp_path / "study.journal")
    if request.param == "proxy":
        port = proxy()
        return lambda: GrpcStorageProxy(host="127.0.0.1", port=port)
    server = request.getfixturevalue("server")
    return lambda: open_storage(server.url)


pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def study(opens: Callable[[], Any], request: pytest.FixtureRequest) -> optuna.Study:
    return study_of(storage=opens(), name=request.node.name)


def test_no_ticket_is_taken_before_the_gate_is_open_or_after_it_was_closed(study: optuna.Study) -> None:
    make_tickets(study, 2)
    assert take_ticket(study, "a/1/1") is None
    set_gate(study, Gate(open=True))
    taken = take_ticket(study, "a/1/1")
    assert taken is not None
    assert (taken.number, taken.state, taken.user_attrs["run"]) == (0, TrialState.RUNNING, "a/1/1")
    set_gate(study, Gate(open=False))
    assert take_ticket(study, "a/1/1") is None
    assert study.trials[1].state is TrialState.WAITING


def test_no_ticket_after_the_last_one_is_taken(study: optuna.Study) -> None:
    make_tickets(study, 4)
    set_gate(study, Gate(open=True, last=1))
    assert [t and t.number for t in (take_ticket(study, "a/1/1") for _ in range(3))] == [0, 1, None]


def test_what_was_lost_or_given_back_is_taken_first_and_does_not_count(study: optuna.Study) -> None:
    make_tickets(study, 4)
    set_gate(study, Gate(open=True))
    for _ in range(2):
        take_ticket(study, "a/1/1")
    fail_and_requeue(study, 0, "gone")
    give_back(study, 1)
    give_back(study, 1)
    found = [take_ticket(study, "b/1/1") for _ in range(3)]
    assert [t.user_attrs.get("repeats") for t in found if t is not None] == [0, 1, None]
    assert Counter(t.state for t in study.trials) == {
        TrialState.FAIL: 2,
        TrialState.RUNNING: 3,
        TrialState.WAITING: 1,
    }
    assert n_counted(study) == 0


def test_ticket_asks_for_no_parameters(study: optuna.Study) -> None:
    make_tickets(study, 1)
    assert Trial.of(study.trials[0]).queued_params is None


def test_tickets_of_one_transaction_are_those_of_the_queue(study: optuna.Study) -> None:
    """Numbered one after the other, whoever makes them, and with the attributes that Optuna gives them."""
    make_tickets(study, 3)
    study.enqueue_trial({})
    make_tickets(study, 0)
    make_tickets(study, 2)
    study.enqueue_trial({"x": 1})
    trials = study.trials
    assert [t.number for t in trials] == list(range(7))
    assert {t.state for t in trials} == {TrialState.WAITING}
    bare = [{key: v for key, v in t.system_attrs.items() if key != TOKEN} for t in trials]
    assert bare == [bare[3]] * 6 + [{"fixed_params": {"x": 1}}]
    assert [t.datetime_start for t in trials] == [None] * 7


def test_seconds_of_a_trial_are_those_that_were_published(study: optuna.Study) -> None:
    def published() -> float:
        return read_trial_seconds(storage_of(study).get_study_system_attrs(id_of_study(study)))

    assert published() == float("inf")
    set_trial_seconds(study, 12.34)
    assert published() == 12.3
    set_trial_seconds(study, float("inf"))
    assert published() == float("inf")


def test_of_many_that_ask_at_the_same_moment_each_ticket_goes_to_one(
    study: optuna.Study, opens: Callable[[], Any]
) -> None:
    make_tickets(study, 40)
    set_gate(study, Gate(open=True))
    others = [optuna.load_study(study_name=study.study_name, storage=opens()) for _ in range(4)]
    barrier, taken = threading.Barrier(4), list[int]()

    def take(study: optuna.Study) -> None:
        barrier.wait()
        misses = 0
        while misses < 5:
            trial = take_ticket(study, f"host/{id(study)}/1")
            misses = misses + 1 if trial is None else 0
            if trial is not None:
                taken.append(trial.number)

    threads = [threading.Thread(target=take, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(40))
    assert {t.state for t in study.trials} == {TrialState.RUNNING}
