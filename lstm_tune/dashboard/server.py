"""`lstm-tune dashboard`: optuna-dashboard on a study, for this machine only.

optuna-dashboard has no password, does not check who asks, and deletes on request. So it is served on the loopback
address, behind a `Guard`, from a storage that cannot write, by a process of low priority.

The server is waitress. One thread reads all requests and passes on only complete ones, so a client that is slow to send
or to read occupies a connection and no worker thread; sizes, connections and threads are bounded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.artifacts import FileSystemArtifactStore
from optuna.storages import BaseStorage
from sqlalchemy.engine import URL
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server

from lstm_tune.dashboard.access_guard import Guard
from lstm_tune.errors import RunError, UsageError
from lstm_tune.report.run_folder import storage_of_run
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.open import open_read_only, open_storage
from lstm_tune.storage.optuna_private import id_of_study

HOST = "127.0.0.1"
PORT = 8080
_PORTS = 50  # that are tried after the wanted one, before any free one is taken
_LEAST_TOKEN = 8  # characters
_ARTIFACTS = "artifacts"
_LIMITS: dict[str, Any] = {
    "threads": 4,
    "connection_limit": 200,
    "channel_timeout": 20,  # seconds without a byte
    "cleanup_interval": 5,
    "max_request_header_size": 16_384,
    "max_request_body_size": 2**24,  # a read-only dashboard reads none of it
    "ident": None,
    "asyncore_use_poll": True,
}


def find_study(source: str) -> tuple[str | Path, Path | None]:
    """Return where a study is stored, and the folder of its artifacts if there is one.

    Args:
        source: a run folder, a journal or SQLite file, or a storage URL.

    Raises:
        RunError: it does not exist, or the folder holds no study.
    """
    if "://" in source:
        return source, None
    path = Path(source)
    try:
        if path.is_dir():
            artifacts = path / _ARTIFACTS
            return storage_of_run(path), artifacts if artifacts.is_dir() else None
        with path.open("rb") as file:
            sqlite = file.read(15) == b"SQLite format 3"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"{source!r} cannot be opened ({reason}); name a run folder that tune wrote, or a storage URL"
        ) from None
    return URL.create("sqlite", database=str(path.resolve())).render_as_string() if sqlite else path, None


def dashboard_app(
    storage: BaseStorage, *, writable: bool = False, token: str | None = None, artifacts: Path | None = None
) -> Guard:
    """Return the guarded dashboard as a WSGI application. It opens on the study if the storage holds only one."""
    import optuna_dashboard

    def start_page() -> str:
        try:
            studies = storage.get_all_studies()
        except Exception:  # whatever the storage lacks, the dashboard's own page says
            return "/dashboard"
        return f"/dashboard/studies/{id_of_study(studies[0])}" if len(studies) == 1 else "/dashboard"

    store = None if artifacts is None else FileSystemArtifactStore(artifacts)
    app = optuna_dashboard.wsgi(storage, artifact_store=store)
    return Guard(app, writable=writable, token=token, start_page=start_page)


def serve(
    source: str,
    *,
    port: int = PORT,
    writable: bool = False,
    token: str | None = None,
    print_line: Callable[[str], None] = print,
) -> None:
    """Serve the dashboard until it is interrupted.

    Args:
        source: a run folder, a journal or SQLite file, or a storage URL.
        port: on the loopback address; if it is taken, a free one near it is used.
        writable: whether the dashboard may change the study.
        token: that visitors must give; None: no token is needed.
        print_line: called with the address, and with what happens.

    Raises:
        RunError: there is no such study.
        StudyError: its storage cannot be opened.
        UsageError: the port or the token cannot be used.
    """
    if token is not None and (len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(f"token must be at least {_LEAST_TOKEN} plain characters; `openssl rand -hex 16` makes one")
    stored, artifacts = find_study(source)
    storage: BaseStorage = open_storage(stored, Opening(create=False)) if writable else open_read_only(stored)
    if not storage.get_all_studies():
        print_line("the storage holds no study yet; the dashboard will show it once it exists")
    app = dashboard_app(storage, writable=writable, token=token, artifacts=artifacts)
    server, found = make_server(app, port)
    address = f"http://{HOST}:{found}/"
    for name in ("optuna_dashboard", "waitress", "waitress.queue"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the browser shows what it is answered
    with contextlib.suppress(OSError):
        os.nice(5)  # the study goes first
    if found != port:
        print_line(f"port {port} is taken; {found} is used")
    ways = "changes allowed" if writable else "read-only"
    print_line(f"dashboard ({ways}): {address}{'?token=… with your token, once' if token else ''}")
    print_line("Press Ctrl-C to end it.")
    try:
        server.run()
    finally:
        close_server(server)


def make_server(app: Guard, port: int) -> tuple[Any, int]:
    """Return a waitress server that already listens on the loopback address, and its port."""
    listening = free_socket(port)
    server = create_server(app, sockets=[listening], **_LIMITS)
    server.channel_class = _Channel
    return server, int(listening.getsockname()[1])


def close_server(server: Any) -> None:
    """Close the sockets of a server: the one it listens on and its connections."""
    wasyncore.close_all(server._map, ignore_all=True)


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection whose request must be complete some seconds after its first byte."""

    began: float | None = None

    def received(self, data: bytes) -> bool:
        """Take the bytes that have arrived."""
        more = bool(super().received(data))
        now = time.monotonic()
        if self.request is None:  # the last request is complete, and no other has begun
            self.began = None
        elif self.began is None:
            self.began = now
        elif now - self.began > self.adj.channel_timeout:
            self.will_close = True
        return more


def free_socket(port: int) -> socket.socket:
    """Return a socket bound to the wanted port of the loopback address, or to a free one if that is taken.

    Raises:
        UsageError: there is no such port, or no port can be opened.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"port must be from 0 to 65535, but is {port}")
    error: OSError | None = None
    for candidate in (*range(port, min(port + _PORTS, 65536)), 0):
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, candidate))
            bound.listen()  # until then another process may take the port
        except OSError as refused:
            bound.close()
            error = refused
        else:
            return bound
    raise UsageError(f"no port can be opened ({error}); choose another port=")
