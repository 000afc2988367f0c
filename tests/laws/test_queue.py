"""The trials asked for are the trials that end, each once, whatever happens to the processes that have them."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from studies import study_of

from lstm_tune.search.progress import Silent
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.study import SharedStudy
from lstm_tune.search.tickets import take_ticket
from lstm_tune.search.trial_queue import (
    begin_trial,
    fail_and_requeue,
    fail_interrupted,
    fail_own_interrupted,
    give_back,
    n_counted,
    recover_stale_trials,
)
from lstm_tune.storage.open import open_storage
from lstm_tune.storage.optuna_private import storage_of
from lstm_tune.utils.process import _start_of, this_run
from lstm_tune.workers import coordinated
from lstm_tune.workers.sources import Budget

pytestmark = pytest.mark.laws

HOST = this_run().partition("/")[0]
LIVING = f"{HOST}/{os.getppid()}/{_start_of(os.getppid())}"  # a process of this machine beside this one
GONE = f"{HOST}/999999999/1"
ELSEWHERE = "far-away/77/123"
MOST_LOSSES = 3


@dataclass(slots=True)
class Expected:
    """What must be true of a study, kept beside it in the plainest way: each task is a configuration to be done."""

    study: optuna.Study
    task_of: dict[int, int] = field(default_factory=dict)  # of each trial: the number of its first one
    run_of: dict[int, str] = field(default_factory=dict)  # of each running trial
    again: list[int] = field(default_factory=list)  # trials that wait for their second or third turn
    left: list[int] = field(default_factory=list)  # interrupted ones, which wait for the next resume
    ended: set[int] = field(default_factory=set)
    losses: dict[int, int] = field(default_factory=dict)

    def begin(self, run: str) -> None:
        trial = begin_trial(self.study, run)
        repeats = trial.user_attrs.get("repeats")
        assert repeats == (self.again[0] if self.again else None), "what was lost comes first, in its order"
        self.task_of[trial.number] = trial.number if repeats is None else self.task_of[repeats]
        if repeats is not None:
            self.again.remove(repeats)
            first = self.study.trials[self.task_of[trial.number]]
            assert trial.system_attrs.get("fixed_params", {}) == first.system_attrs.get("fixed_params", {})
        assert trial.state is TrialState.RUNNING
        assert trial.user_attrs["run"] == run
        self.run_of[trial.number] = run

    def end(self, number: int, state: TrialState) -> None:
        self.study.tell(number, 1.0 if state is TrialState.COMPLETE else None, state=state)
        del self.run_of[number]
        self.ended.add(self.task_of[number])

    def lost(self, number: int) -> None:
        task = self.task_of[number]
        del self.run_of[number]
        self.losses[task] = self.losses.get(task, 0) + 1
        if self.losses[task] < MOST_LOSSES:
            self.again.append(number)
        else:
            self.ended.add(task)  # a configuration that no process survives counts, as any other failure

    def interrupted(self, number: int, *, at_once: bool) -> None:
        del self.run_of[number]
        (self.again if at_once else self.left).append(number)

    def resume(self) -> list[str]:
        told: list[str] = []
        recover_stale_trials(self.study, None, False, told.append)
        for number in sorted(number for number, run in self.run_of.items() if run in (GONE, this_run())):
            self.lost(number)
        self.again += sorted(self.left)
        self.left.clear()
        elsewhere = sum(run == ELSEWHERE for run in self.run_of.values())
        assert len(told) == (elsewhere > 0)
        if told:
            assert told[0].startswith(f"{elsewhere} trial{'s' if elsewhere > 1 else ''} of another machine (far-away)")
        return told

    def check(self) -> None:
        trials = self.study.trials
        assert n_counted(self.study) == len(self.ended)
        assert {t.number for t in trials if t.state is TrialState.RUNNING} == self.run_of.keys()
        repeated = [t.user_attrs["repeats"] for t in trials if "repeats" in t.user_attrs]
        assert len(repeated) == len(set(repeated)), "no trial is repeated twice"


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_to_processes_each_configuration_ends_once_and_counts_once(seed: int) -> None:
    rng = random.Random(seed)
    study = study_of(storage=open_storage(None), resume=True)
    for x in range(3):
        study.enqueue_trial({"x": x})
    expected = Expected(study=study)
    for _ in range(60):
        running = sorted(expected.run_of)
        what = rng.choice(["begin", "begin", "end", "lost", "interrupt", "give back", "resume", "stop"])
        if what == "begin":
            expected.begin(rng.choice([LIVING, GONE, ELSEWHERE, this_run()]))
        elif what == "resume":
            expected.resume()
        elif what == "stop":
            fail_own_interrupted(study, this_run())
            for number in [n for n in running if expected.run_of[n] == this_run()]:
                expected.interrupted(number, at_once=False)
        elif running:
            number = rng.choice(running)
            if what == "end":
                expected.end(number, rng.choice([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]))
            elif what == "lost":
                expected.lost(number)
                asked = fail_and_requeue(study, number, "gone")
                assert asked == ("queued" if number in expected.again else "given up")
                assert fail_and_requeue(study, number, "gone") == asked  # who hears of it twice changes nothing
            elif what == "interrupt":
                fail_interrupted(study, number)
                expected.interrupted(number, at_once=False)
            else:
                give_back(study, number)
                expected.interrupted(number, at_once=True)
        expected.again.sort(key=lambda n: _waiting_number(study, n))
        expected.check()
    expected.resume()
    while expected.run_of or any(t.state is TrialState.WAITING for t in study.trials):
        for number in sorted(expected.run_of):
            expected.end(number, TrialState.COMPLETE)
        if any(t.state is TrialState.WAITING for t in study.trials):
            expected.begin(this_run())
        expected.check()
    assert expected.ended == set(expected.task_of.values()) >= {0, 1, 2}


def _waiting_number(study: optuna.Study, repeated: int) -> int:
    """Return the number of the trial that repeats another one: trials that wait are begun in this order."""
    return next(t.number for t in study.trials if t.user_attrs.get("repeats") == repeated)


# ---- workers


@pytest.mark.parametrize("seed", range(6))
def test_tickets_are_taken_until_exactly_the_trials_asked_for_have_ended(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes here and elsewhere take tickets, end trials, lose them or give them back, in any order."""
    monkeypatch.setattr(coordinated, "_LOOK", 0.0)
    rng, wanted = random.Random(seed), 7
    study, ended = study_of(storage=open_storage(None)), list[int]()
    for x in range(rng.choice([0, 3, 10])):  # what waits already, perhaps more than is asked for
        study.enqueue_trial({"x": x})
    tickets = coordinated.CoordinatedTickets(
        study=SharedStudy(study.study_name, storage_of(study), study.sampler, study.pruner),
        run=this_run(),
        n_trials=wanted,
        local=1,
        few=bool(seed % 2),
        deadline=lambda: float("inf"),
        callbacks=[lambda study, trial: ended.append(trial.number)],
        progress=Silent(),
    )
    running, counted = list[int](), 0
    losses: dict[int, int] = {}  # of a configuration, by its first trial
    first: dict[int, int] = {}
    for _ in range(500):
        tickets.look()
        if tickets.exhausted:
            break
        what = rng.choice(["take", "take", "end", "lose", "give back"])
        if what == "take":
            for _ in range(rng.randint(1, 9)):  # between two looks of the coordinator
                trial = take_ticket(study, rng.choice([LIVING, ELSEWHERE, this_run()]))
                if trial is None:
                    break
                repeats = trial.user_attrs.get("repeats")
                first[trial.number] = trial.number if repeats is None else first[repeats]
                running.append(trial.number)
        elif running:
            number = running.pop(rng.randrange(len(running)))
            if what == "end":
                study.tell(number, 1.0)
                counted += 1
            elif what == "give back":
                give_back(study, number)
            else:
                fail_and_requeue(study, number, "gone")
                losses[first[number]] = losses.get(first[number], 0) + 1
                counted += losses[first[number]] == MOST_LOSSES
        assert len(running) + counted <= wanted
    assert tickets.exhausted
    assert (n_counted(study), counted, len(running)) == (wanted, wanted, 0)
    assert len(ended) == len(set(ended)) == wanted
    assert take_ticket(study, ELSEWHERE) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_budget_gives_as_many_trials_as_are_left_and_makes_up_for_lost_ones(seed: int) -> None:
    rng, wanted, told = random.Random(seed), 5, list[int]()
    study = study_of(storage=open_storage(None))
    budget = Budget(
        study=SharedStudy(study.study_name, storage_of(study), study.sampler, study.pruner),
        run=this_run(),
        left=wanted,
        deadline=lambda: float("inf"),
        callbacks=[lambda study, trial: told.append(trial.number)],
    )
    running = list[int]()
    while running or not budget.exhausted:
        if not budget.exhausted and rng.random() < 0.5:
            trial = budget.take()
            assert trial is not None
            running.append(trial.number)
        elif running:
            number = running.pop(rng.randrange(len(running)))
            if rng.random() < 0.3 and fail_and_requeue(study, number, "gone") == "queued":
                budget.queued_again()
                continue
            if study.trials[number].state is TrialState.RUNNING:
                study.tell(number, 1.0)
            budget.ended(number)
    assert n_counted(study) == len(told) == wanted


# ---- pruners


@pytest.mark.parametrize("epochs", [4, 30, 200])
def test_pruners_count_epochs(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, dict[str, Any]] = {}
    for name in ("MedianPruner", "SuccessiveHalvingPruner", "HyperbandPruner"):
        original = getattr(optuna.pruners, name)
        monkeypatch.setattr(
            optuna.pruners,
            name,
            lambda *, name=name, original=original, **how: asked.update({name: how}) or original(**how),
        )
    for name in ("median", "halving", "hyperband"):
        make_pruner(name, epochs, 9)
    first = max(1, epochs // 10)  # a trial may train for a tenth of its epochs before it is judged
    assert asked == {
        "MedianPruner": {"n_startup_trials": 9, "n_warmup_steps": first},
        "SuccessiveHalvingPruner": {"min_resource": first},
        "HyperbandPruner": {"min_resource": first, "max_resource": epochs},
    }


@pytest.mark.parametrize("name", ["median", "halving", "hyperband"])
def test_no_pruner_stops_the_best_trial_and_some_bad_ones_are_stopped_early(name: str) -> None:
    study = study_of(pruner=name, seed=1)
    stopped: dict[int, int] = {}

    def value(trial: optuna.Trial) -> float:
        quality = trial.number % 12 if trial.number % 12 else -trial.number  # each twelfth is the best until then
        for epoch in range(1, 31):
            trial.report(100.0 + quality + 10 / epoch, epoch)
            if trial.should_prune():
                stopped[trial.number] = epoch
                raise optuna.TrialPruned
        return 100.0 + quality

    study.optimize(value, n_trials=60)
    assert not [number for number in stopped if number % 12 == 0]
    assert len(stopped) > 5
    assert min(stopped.values()) >= 3
