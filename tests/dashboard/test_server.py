"""The dashboard as it is served: real requests over real sockets."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import optuna_dashboard
import pytest
from sqlalchemy.engine import URL

from lstm_tune.dashboard import server as dashboard
from lstm_tune.dashboard.server import close_server, dashboard_app, find_study, free_socket, make_server, serve
from lstm_tune.errors import LstmTuneError, RunError, StudyError, UsageError
from lstm_tune.storage.open import open_read_only, open_storage
from lstm_tune.storage.read_only import ReadOnlyStorage

Ask = Callable[..., tuple[int, dict[str, str], bytes]]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -1, 1)
    trial.report(x * x, 0)
    return x * x


def fill(storage: Any, name: str = "waves", trials: int = 3) -> optuna.Study:
    study = optuna.create_study(
        storage=storage, study_name=name, load_if_exists=True, sampler=optuna.samplers.RandomSampler(0)
    )
    study.optimize(objective, n_trials=trials)
    return study


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    fill(open_storage(folder / "study.journal"))
    return folder


@pytest.fixture
def start() -> Iterator[Callable[..., Ask]]:
    """Serve in a thread; return a function that asks."""
    servers = []

    def begin(storage: Any, **options: Any) -> Ask:
        server, port = make_server(dashboard_app(storage, **options), 0)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        servers.append((server, thread))

        def ask(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            plain = None if body is None else json.dumps(body)
            given = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
            connection.request(method, path, plain, given)
            response = connection.getresponse()
            answer = response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
            connection.close()
            return answer

        ask.port = port  # type: ignore[attr-defined]
        return ask

    yield begin
    for server, thread in servers:
        server.task_dispatcher.shutdown(timeout=10)  # first: a thread that still answers needs the sockets
        server.trigger.pull_trigger(lambda server=server: close_server(server))
        thread.join(60)
        assert not thread.is_alive()


def digest(folder: Path) -> dict[str, Any]:
    return {p.name: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in folder.iterdir()}


# ---- what is shown


def test_study_is_shown_and_nothing_in_the_folder_changes(start: Any, run: Path) -> None:
    before = digest(run)
    ask = start(open_read_only(run / "study.journal"))
    status, headers, body = ask("GET", "/api/studies")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert [s["study_name"] for s in json.loads(body)["study_summaries"]] == ["waves"]
    assert len(json.loads(ask("GET", "/api/studies/0")[2])["trials"]) == 3
    for path in ("/dashboard", "/static/bundle.js", "/api/studies/0/param_importances", "/csv/0"):
        assert ask("GET", path)[0] == 200, path
    assert digest(run) == before


def test_dashboard_opens_on_the_study_if_there_is_only_one(start: Any, run: Path) -> None:
    study = start(open_read_only(run / "study.journal"))("GET", "/")
    assert (study[0], study[1]["location"]) == (302, "/dashboard/studies/0")
    fill(open_storage(run / "study.journal"), "more", 1)
    several = start(open_read_only(run / "study.journal"))("GET", "/")
    assert (several[0], several[1]["location"]) == (302, "/dashboard")


def test_read_only_pages_hide_the_buttons_that_would_be_refused(start: Any, run: Path) -> None:
    for writable in (False, True):
        ask = start(open_read_only(run / "study.journal"), writable=writable)
        for path in ("/dashboard", "/dashboard/studies/0"):
            status, headers, body = ask("GET", path)
            assert status == 200
            assert int(headers["content-length"]) == len(body)
            assert headers["cache-control"] == "no-store"
            styles = body.decode().split("</head>")[0]
            assert "#dashboard main" in styles
            assert ("DriveFileRenameOutlineIcon" in styles) is not writable


def test_the_dashboard_has_the_buttons_that_are_hidden() -> None:
    """They are found by the names of their icons, which another version may change."""
    bundle = (Path(optuna_dashboard.__file__).parent / "public" / "bundle.js").read_text(encoding="utf-8")
    styles = (Path(dashboard.__file__).parent / "styles" / "read_only.css").read_text(encoding="utf-8")
    icons = re.findall(r'"([A-Za-z]+)Icon"', styles)
    assert len(icons) == 8
    assert [icon for icon in icons if f'"{icon}"' not in bundle] == []
    for label in ("skip trial", "delete study", "rename study", "delete artifact"):
        assert f'"aria-label":"{label}"' in bundle


def test_trials_that_end_later_are_shown_and_a_line_half_written_waits(run: Path) -> None:
    storage = open_read_only(run / "study.journal")
    fill(open_storage(run / "study.journal"), trials=2)
    assert len(storage.get_all_trials(0)) == 5
    with (run / "study.journal").open("ab") as file:
        file.write(b'{"op_code":0,"worker_id":"x"')
        file.flush()
        assert len(storage.get_all_studies()) == 1
        file.write(b',"study_name":"later","directions":[1]}\n')
    assert [s.study_name for s in storage.get_all_studies()] == ["waves", "later"]


def test_read_only_folder_is_enough(start: Any, run: Path) -> None:
    (run / "study.journal").chmod(0o400)
    run.chmod(0o500)
    try:
        ask = start(open_read_only(run / "study.journal"))
        assert ask("GET", "/api/studies/0")[0] == 200
        assert [p.name for p in run.iterdir()] == ["study.journal"]
    finally:
        run.chmod(0o700)


def test_artifact_is_served_in_a_sandbox(start: Any, run: Path) -> None:
    store = run / "artifacts"
    store.mkdir()
    (run / "plot.svg").write_bytes(SVG)
    storage = open_storage(run / "study.journal")
    study = optuna.load_study(storage=storage, study_name="waves")
    trial = study.ask()
    own = optuna.artifacts.upload_artifact(
        artifact_store=optuna.artifacts.FileSystemArtifactStore(store),
        file_path=str(run / "plot.svg"),
        study_or_trial=trial,
    )
    ask = start(open_read_only(run / "study.journal"), artifacts=store)
    status, headers, body = ask("GET", f"/artifacts/0/{trial._trial_id}/{own}")
    assert (status, body) == (200, SVG)
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers
    assert ask("GET", "/artifacts/0/../../../etc/passwd")[0] in (400, 404)
    assert find_study(str(run)) == (run / "study.journal", store)


# ---- who is refused


WRITES = [
    ("POST", "/api/studies", {"study_name": "mine", "directions": ["minimize"]}),
    ("DELETE", "/api/studies/0", {}),
    ("POST", "/api/studies/0/rename", {"study_name": "mine"}),
    ("PUT", "/api/studies/0/note", {"version": 1, "body": "x"}),
    ("POST", "/api/trials/0/tell", {"state": "Fail"}),
    ("POST", "/api/trials/0/user-attrs", {"user_attrs": {"a": 1}}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=lambda value: str(value)[:40])
def test_changes_are_refused_twice(start: Any, run: Path, method: str, path: str, body: Any) -> None:
    before = digest(run)
    storage = open_read_only(run / "study.journal")
    status, _, answer = start(storage)(method, path, body)
    assert (status, "--writable" in json.loads(answer)["reason"]) == (403, True)
    assert start(storage, writable=True)(method, path, body)[0] == 500  # the storage refuses by itself
    assert digest(run) == before


def test_changes_are_made_where_they_are_allowed(start: Any, run: Path) -> None:
    ask = start(open_storage(run / "study.journal"), writable=True)
    origin = f"http://127.0.0.1:{ask.port}"
    assert ask("PUT", "/api/studies/0/note", {"version": 1, "body": "mine"}, Origin="http://evil.example")[0] == 403
    assert ask("PUT", "/api/studies/0/note", {"version": 1, "body": "mine"}, Origin=origin)[0] == 204
    assert json.loads(ask("GET", "/api/studies/0")[2])["note"]["body"] == "mine"


def test_other_hosts_origins_and_visitors_without_token_are_refused(start: Any, run: Path) -> None:
    ask = start(open_read_only(run / "study.journal"), token="secret-token")
    assert ask("GET", "/api/studies")[0] == 401
    assert ask("GET", "/api/studies", Authorization="Bearer secret-token")[0] == 200
    assert ask("GET", "/api/studies", Authorization="Bearer secret-token", Host="evil.example")[0] == 403
    assert ask("GET", "/api/studies", Authorization="Bearer secret-token", Origin="http://evil.example")[0] == 403
    status, headers, _ = ask("GET", "/?token=secret-token")
    assert status == 303
    assert ask("GET", "/api/studies", Cookie=headers["set-cookie"].split(";")[0])[0] == 200


def test_every_way_to_write_is_refused_by_the_storage(run: Path) -> None:
    storage = open_read_only(run / "study.journal")
    writes = {n for n in dir(storage) if n.startswith(("set_", "create_", "delete_"))}
    assert len(writes) == 10
    for name in writes:
        with pytest.raises(StudyError, match="to be looked at alone"):
            getattr(storage, name)(0, "a", 1)
    with pytest.raises(StudyError, match="to be looked at alone"):
        storage._storage.set_study_user_attr(0, "a", 1)
    study = optuna.load_study(storage=storage, study_name="waves")
    assert study.best_trial.number == fill(open_storage(run / "study.journal"), trials=0).best_trial.number
    with pytest.raises(StudyError, match="to be looked at alone"):
        study.optimize(objective, n_trials=1)


# ---- slow and hostile clients


def test_clients_that_send_nothing_hold_nobody_up(start: Any, run: Path) -> None:
    ask = start(open_read_only(run / "study.journal"))
    slow = [socket.create_connection(("127.0.0.1", ask.port)) for _ in range(60)]
    for connection in slow:
        connection.sendall(b"GET /api/studies HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    assert ask("GET", "/api/studies")[0] == 200
    for connection in slow:
        connection.close()


def test_client_that_drips_is_cut_off(start: Any, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dashboard._LIMITS, "channel_timeout", 0)
    ask = start(open_read_only(run / "study.journal"))
    with socket.create_connection(("127.0.0.1", ask.port), timeout=60) as connection, pytest.raises(OSError):  # noqa: PT011, PT012
        for byte in b"GET /api/studies HTTP/1.1\r\nX: " + 12_000 * b"a":  # below the limit on headers
            connection.sendall(bytes([byte]))
            time.sleep(0.005)
    assert ask("GET", "/api/studies")[0] == 200


def test_large_headers_and_bodies_are_refused(start: Any, run: Path) -> None:
    ask = start(open_read_only(run / "study.journal"))
    assert ask("GET", "/api/studies", X="a" * 20_000)[0] == 431
    with socket.create_connection(("127.0.0.1", ask.port), timeout=60) as connection:
        connection.sendall(b"POST /api/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        assert b" 413 " in connection.recv(200)
    assert ask("GET", "/api/studies")[0] == 200


@pytest.mark.parametrize(
    "request_line", [b"\0\xff" * 50, b"GET", b"GET /%00%ff%fe HTTP/1.1\r\nHost: localhost", b"GET /\xc3( HTTP/9.9"]
)
def test_nonsense_is_survived(start: Any, run: Path, request_line: bytes) -> None:
    ask = start(open_read_only(run / "study.journal"))
    with socket.create_connection(("127.0.0.1", ask.port), timeout=60) as connection:
        connection.sendall(request_line + b"\r\n\r\n")
        connection.recv(100)
    for path in (
        "/api/studies/99999999999999999999",
        "/api/studies/-1",
        "/csv/7",
        "/static/../../x",
        "/api/studies/0?after=x",
    ):
        assert ask("GET", path)[0] in (400, 403, 404, 500), path
    assert ask("GET", "/api/studies")[0] == 200


# ---- where the study is


def test_study_is_found_by_folder_file_and_url(run: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'own.db'}"
    fill(optuna.storages.RDBStorage(url))
    assert find_study(str(run)) == (run / "study.journal", None)
    assert find_study(str(run / "study.journal")) == (run / "study.journal", None)
    assert find_study(url) == (url, None)
    assert find_study(str(tmp_path / "own.db")) == (url, None)
    other = tmp_path / "other"
    other.mkdir()
    for stored in (url, str(run / "study.journal")):
        (other / "result.json").write_text(json.dumps({"schema": 1, "study": {"storage": stored}}))
        assert str(find_study(str(other))[0]) == stored


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "holds no study"),
        ({"storage": None}, "it was in memory"),
        ({"storage": "postgresql://me:***@host/db"}, "name its storage URL"),
        ({"storage": "/gone/study.journal"}, "name its storage URL"),
        ({}, "in memory"),
        ([], "in memory"),
    ],
)
def test_folder_without_a_study_is_refused_with_one_line(tmp_path: Path, result: Any, says: str) -> None:
    if result is not None:
        (tmp_path / "result.json").write_text(json.dumps({"schema": 1, "study": result}))
    with pytest.raises(RunError, match=says):
        serve(str(tmp_path))


@pytest.mark.parametrize("source", ["missing", "missing/study.journal", "a\0b", "sqlite:///missing.db", "no://such"])
def test_study_that_is_not_there_is_refused_and_nothing_is_made(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LstmTuneError) as caught:
        serve(source)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"{}\n", b'{"op_code": 99}\n', b"[]\n", b"1\n"])
def test_file_that_is_no_journal_is_refused_with_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_bytes(content)
    with pytest.raises(LstmTuneError) as caught:
        serve(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_sqlite_is_opened_for_reading_alone(tmp_path: Path) -> None:
    path = tmp_path / "with space & ?.db"
    url = URL.create("sqlite", database=str(path)).render_as_string()
    fill(optuna.storages.RDBStorage(url))
    before = digest(tmp_path)
    found, _ = find_study(str(path))
    assert isinstance(found, str)
    storage = open_read_only(found)
    assert isinstance(storage, ReadOnlyStorage)
    assert len(storage.get_all_trials(1)) == 3
    with pytest.raises(optuna.exceptions.StorageInternalError):
        storage._storage.set_study_user_attr(1, "a", 1)
    assert digest(tmp_path) == before


def test_database_without_a_study_is_refused_and_left_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(StudyError, match="it holds no study"):
        open_read_only(f"sqlite:///{path}")
    assert path.stat().st_size == 0


# ---- the command


def test_wanted_port_that_is_taken_is_passed_over() -> None:
    with free_socket(0) as first:
        port = first.getsockname()[1]
        with free_socket(port) as second:
            assert second.getsockname()[1] != port
            assert second.getsockname()[0] == "127.0.0.1"
    for wrong in (-1, 65536):
        with pytest.raises(UsageError, match="port must be"):
            free_socket(wrong)


@pytest.mark.parametrize("token", ["", "short", "with\nnewline!", "münchhausen"])
def test_token_that_cannot_be_is_refused(token: str, run: Path) -> None:
    with pytest.raises(UsageError, match="token must be"):
        serve(str(run), token=token)


@pytest.mark.slow
@pytest.mark.processes
def test_command_prints_its_address_serves_and_ends_at_ctrl_c(run: Path) -> None:
    with free_socket(0) as taken:
        command = [sys.executable, "-W", "error", "-m", "lstm_tune", "dashboard", str(run)]
        process = subprocess.Popen(
            [*command, "--port", str(taken.getsockname()[1])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "LSTM_TUNE_TOKEN": "from-the-environment"},
        )
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        assert "is taken" in lines[0]
        assert "read-only" in lines[1]
        assert "Ctrl-C" in lines[2]
        assert "from-the-environment" not in "".join(lines)
        port = int(lines[1].split("127.0.0.1:")[1].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/api/studies", headers={"Authorization": "Bearer from-the-environment"})
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(("line", "says"), [(1, "is no journal of a study"), (3, "line 3 is no record")])
def test_journal_with_a_line_that_is_no_record_is_refused_not_shown_in_part(
    tmp_path: Path, line: int, says: str
) -> None:
    path = tmp_path / "study.journal"
    study = optuna.create_study(storage=open_storage(path))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = b"garb{led\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(StudyError, match=says):
        open_read_only(path)
    assert path.read_bytes() == b"".join(lines)
