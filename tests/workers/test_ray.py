"""Workers as tasks of Ray: a fake package for what goes wrong, a cluster of two nodes for what must not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from series import daily, task_of, wave
from studies import Watching

import lstm_tune
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.workers import ray_tasks
from lstm_tune.workers.messages import Job
from lstm_tune.workers.ray_tasks import RayCluster, RayTasks, connected

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "robustness" / "hosts.py"
URL = "postgresql://me@db/studies"


class FakeRay(types.ModuleType):
    """Ray, as far as it is used: `ended` holds what tasks have returned, or raised."""

    def __init__(self, **resources: float) -> None:
        super().__init__("ray")
        self.resources = resources or {"CPU": 2.0}
        self.started: list[int] = []
        self.ended: dict[int, Any] = {}
        self.cancelled: list[tuple[int, bool]] = []
        self.kept: list[Any] = []
        self.asked: dict[str, Any] = {}
        self.init_error: Exception | None = None
        self.connected = False
        names = ("OutOfMemoryError", "NodeDiedError", "WorkerCrashedError", "LocalRayletDiedError")
        self.exceptions = types.SimpleNamespace(**{name: type(name, (Exception,), {}) for name in names})
        self._private = types.SimpleNamespace(worker=types.SimpleNamespace())

    def is_initialized(self) -> bool:
        return self.connected

    def init(self, **options: Any) -> None:
        self.asked = options
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.init_error is not None:
            raise self.init_error
        self.connected = True

    def shutdown(self) -> None:
        self.connected = False

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def put(self, value: Any) -> int:
        self.kept.append(value)
        return len(self.kept)

    def remote(self, **options: Any) -> Any:
        self.asked = options

        def start(*arguments: Any) -> int:
            self.started.append(len(self.started))
            return self.started[-1]

        return lambda function: types.SimpleNamespace(remote=start)

    def wait(self, tasks: list[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        return [t for t in tasks if t in self.ended], [t for t in tasks if t not in self.ended]

    def get(self, task: int) -> Any:
        if isinstance(found := self.ended[task], Exception):
            raise found
        return found

    def cancel(self, task: int, force: bool = False) -> None:
        self.cancelled.append((task, force))
        if not force and task % 2:  # every second one obeys
            self.ended[task] = None


def job(**given: Any) -> Job:
    usual: dict[str, Any] = {"sampler": None, "pruner": None, "space": None, "seed": 0, "precision": "fp32"}
    usual |= {"threads": 4, "ask_every": 0.0, "verbosity": 0, "run": "a/1/1", "storage": "s.journal", "study": "s"}
    return Job(**(usual | {"task": task_of(wave(60))} | given))


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_tasks, "_PAUSE", 0.0)
    monkeypatch.setattr(ray_tasks, "_PATIENCE", 0.0)


def tasks_of(ray: FakeRay, number: int = 2, **given: Any) -> RayTasks:
    cluster = RayCluster(ray=ray, address="auto")
    return RayTasks(cluster=cluster, job=job(**given), number=number, device="auto", progress=Watching())


# ---- bad input


@pytest.mark.parametrize(
    "address", ["cluster", "ray://host", "ray://host:port", "host:10001", "", "ray://a b:1", 5, True]
)
def test_address_of_another_form_is_refused(address: Any) -> None:
    with pytest.raises(UsageError, match=r"^ray must be local, auto or ray://HOST:PORT, but is "):
        TuneOptions(ray=address)


@pytest.mark.parametrize("address", [None, "local", "auto", "ray://head.example.org:10001", "ray://[::1]:10001"])
def test_addresses_are_taken(address: str | None) -> None:
    assert TuneOptions(ray=address).ray == address


def test_ray_without_workers_is_refused() -> None:
    with pytest.raises(UsageError, match="workers is 0, but with ray they are its tasks; pass auto, or how many"):
        TuneOptions(ray="auto", workers=0)


def test_a_cluster_takes_more_workers_than_a_machine() -> None:
    assert TuneOptions(ray="auto", workers=1000).workers == 1000
    with pytest.raises(UsageError, match="workers must be auto or from 0 to 1000, but is 1001"):
        TuneOptions(ray="auto", workers=1001)
    with pytest.raises(UsageError, match="workers must be auto or from 0 to 64, but is 65"):
        TuneOptions(workers=65)


@pytest.mark.parametrize(
    ("storage", "where"),
    [
        (None, "a file of this machine"),
        ("study.journal", "a file of this machine"),
        (lstm_tune.tune, "an object of this process"),
    ],
)
@pytest.mark.parametrize("address", ["auto", "ray://head:10001"])
def test_storage_that_nodes_cannot_reach_is_refused(address: str, storage: Any, where: str) -> None:
    with pytest.raises(UsageError, match=rf"must reach the study's storage, which is {where}; pass storage=.postgres"):
        connected(address, storage).__enter__()


def test_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r'^ray needs the package Ray \(.*\); run: pip install "lstm-tune\[ray\]"$'):
        lstm_tune.tune(daily(wave(60)), target="y", ray="local", n_trials=1)


def test_sqlite_is_refused_before_a_study_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    storage = f"sqlite:///{tmp_path}/s.db"
    with pytest.raises(UsageError, match="SQLite can hand one trial to two workers"):
        lstm_tune.tune(daily(wave(60)), target="y", ray="local", storage=storage, out=tmp_path / "run", n_trials=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("address", "remedy"),
    [("auto", "begin one with: ray start --head"), ("ray://head:10001", "check host and port")],
)
def test_cluster_that_does_not_answer_is_one_line(address: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay()
    ray.init_error = ConnectionError("no\nanswer")
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(StudyError, match=rf"^no Ray cluster answers at '{address}' \(no answer\); {remedy}"):
        connected(address, URL).__enter__()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN


# ---- the connection


def test_connection_leaves_signals_alone_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, before = FakeRay(), signal.getsignal(signal.SIGTERM)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with connected("auto", URL) as cluster:
        assert cluster is not None
        assert signal.getsignal(signal.SIGTERM) is before
    assert not ray.connected
    with connected(None, None) as nothing:
        assert nothing is None


def test_connection_of_the_caller_is_used_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay()
    ray.connected = True
    monkeypatch.setitem(sys.modules, "ray", ray)
    with connected("auto", URL):
        assert not ray.asked
    assert ray.connected


@pytest.mark.parametrize(
    ("resources", "workers", "device", "n_trials", "number"),
    [
        ({"CPU": 12.0}, "auto", "auto", None, 12),
        ({"CPU": 12.0}, "auto", "auto", 20, 5),
        ({"CPU": 12.0}, 30, "auto", None, 30),
        ({"CPU": 12.0}, 30, "auto", 20, 20),
        ({"CPU": 12.0, "GPU": 3.0}, "auto", "auto", None, 3),
        ({"CPU": 12.0, "GPU": 3.0}, "auto", "cpu", None, 12),
        ({"CPU": 12.0}, "auto", "cuda", None, 1),
    ],
)
def test_workers_are_chosen_by_what_the_cluster_has(
    resources: dict[str, float], workers: Any, device: str, n_trials: int | None, number: int
) -> None:
    cluster = RayCluster(ray=FakeRay(**resources), address="auto")
    assert cluster.pick_workers(workers, device=device, n_trials=n_trials) == number


# ---- the tasks


def test_job_is_put_into_the_object_store_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ray = FakeRay(CPU=2.0, GPU=4.0)
    with tasks_of(ray, number=3) as tasks:
        tasks.look(True, 0)
    assert ray.started == [0, 1, 2]
    (kept,) = ray.kept
    assert (kept.storage, kept.threads) == (str(tmp_path / "s.journal"), 1)
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == (1, 1)


@pytest.mark.usefixtures("no_pause")
def test_task_that_is_lost_is_replaced_and_reported_once() -> None:
    ray = FakeRay()
    with tasks_of(ray) as tasks:
        for n in range(8):  # however often, as long as trials end
            tasks.look(True, n)
            ray.ended[ray.started[-1]] = ray.exceptions.NodeDiedError()
        tasks.look(True, 8)
    assert len(ray.started) == 2 + 8
    assert isinstance(tasks.progress, Watching)
    assert [note for note in tasks.progress.notes if "lost" in note] == [
        "Ray: a task was lost with its process or its node; another task takes its place"
    ]


@pytest.mark.usefixtures("no_pause")
def test_study_ends_when_no_task_can_work() -> None:
    ray = FakeRay()
    with tasks_of(ray) as tasks:
        for _ in range(3):
            tasks.look(True, 0)
            ray.ended |= {task: "node b: no database" for task in ray.started}
        with pytest.raises(StudyError, match=r"no Ray task could work \(node b: no database\)"):
            tasks.look(True, 0)
    assert len(ray.started) == 6


@pytest.mark.usefixtures("no_pause")
def test_one_bad_node_does_not_end_the_study() -> None:
    ray = FakeRay()
    with tasks_of(ray) as tasks:
        for _ in range(9):
            tasks.look(True, 0)
            ray.ended |= {task: ModuleNotFoundError("no lstm_tune") for task in ray.started[1:]}
    assert len(ray.started) == 1 + 3


@pytest.mark.usefixtures("no_pause")
def test_no_task_begins_while_no_ticket_may_be_taken() -> None:
    ray = FakeRay()
    with tasks_of(ray) as tasks:
        tasks.look(True, 0)
        ray.ended |= dict.fromkeys(ray.started)
        tasks.look(False, 4)
        assert len(ray.started) == 2
        tasks.look(True, 4)
        assert len(ray.started) == 4


@pytest.mark.usefixtures("no_pause")
def test_tasks_are_cancelled_at_the_end_and_forced_if_they_do_not_obey() -> None:
    ray = FakeRay()
    with tasks_of(ray) as tasks:
        tasks.look(True, 0)
    assert ray.cancelled == [(0, False), (1, False), (0, True)]


@pytest.mark.usefixtures("no_pause")
def test_cluster_that_is_gone_ends_the_study_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay()
    with tasks_of(ray) as tasks:
        monkeypatch.setattr(ray, "wait", lambda *_, **__: 1 / 0)
        with pytest.raises(StudyError, match="the Ray cluster does not answer any more"):
            tasks.look(True, 0)


def test_node_with_another_version_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    said = ray_tasks._work([None], "0.0.1", {}, "cpu")
    assert said is not None
    assert f"has lstm-tune {lstm_tune.__version__}, and the study 0.0.1; install the same everywhere" in said


def test_task_on_a_device_is_the_same_task() -> None:
    task = task_of(wave(60))
    moved = task.on("cpu")
    assert moved.windows is not task.windows
    assert moved.windows.data is task.windows.data
    for one, other in zip(task.folds, moved.folds, strict=True):
        assert one.report_windows.tolist() == other.report_windows.tolist()


# ---- a cluster of two nodes


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.processes
@pytest.mark.skipif(
    find_spec("ray") is None or not SCRIPT.exists() or not os.path.isdir("/proc/self"),
    reason="Ray is not installed, or not in a checkout, or no /proc",
)
def test_trials_of_a_node_that_is_removed_are_done_again_each_once() -> None:
    command = [sys.executable, str(SCRIPT), "--ray", "--trials", "8", "--trials-between", "2", "--seed", "1"]
    done = subprocess.run([*command, "--faults", "node removed"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["asked"], report["counted"], report["repeated_twice"]) == (8, 8, 0)
    assert report["faults"]["node removed"] >= 1
    assert [reader.partition("/")[0] for reader in report["test_rows_read_by"]] == ["a"]
