"""A private PostgreSQL server in a temporary folder, on a free port, run by an unprivileged user."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from lstm_tune.utils.signals import stop_on_signals

USER, PASSWORD = "tuner", "s3cr@t/word"
QUOTED = "s3cr%40t%2Fword"


def binaries() -> Path | None:
    """The folder of the server's programs, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "pg_ctl").exists()), None)


def missing_requirement() -> str | None:
    """What is missing to start a server, or None."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        return f"psycopg: {error}"
    if binaries() is None:
        return "no PostgreSQL server is installed"
    if os.getuid() == 0 and _unprivileged_user() is None:
        return "PostgreSQL refuses to run as root, and there is no other user"
    return None


def _unprivileged_user() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def _free_port() -> int:
    """A free port outside the range of automatic ports, so that it is still free after a restart."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """Runs within a `with` block and asks for a password over TCP.

    Ctrl-C and SIGTERM raise KeyboardInterrupt within it, so that no server is left behind.
    """

    def __enter__(self) -> Server:
        self._signals = contextlib.ExitStack()
        self._signals.enter_context(stop_on_signals())
        folder = binaries()
        assert folder is not None
        self._programs = folder
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        user = _unprivileged_user() if os.getuid() == 0 else None
        self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self.port = _free_port()
        secret = self.folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        secret.chmod(0o644)
        try:
            self._run(
                *("initdb", "-D", str(self.folder / "data"), "-U", USER, "--pwfile", str(secret), "--no-sync"),
                *("--auth-host=scram-sha-256", "--auth-local=trust", "--encoding=UTF8", "--locale=C"),
            )
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        both = {signal.SIGINT, signal.SIGTERM}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, both)  # one more signal must not leave it running
        try:
            self.stop("immediate")
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._signals.close()

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{QUOTED}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        # No fsync: a crash of the server alone, not of the machine, still leaves complete files.
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c fsync=off"
        self._ctl("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: "fast" closes all connections, "immediate" is a crash."""
        self._ctl("stop", "-m", mode, check=False)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the owner of the database."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _ctl(self, *arguments: str, check: bool = True) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", *arguments, check=check)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        said = self.folder / f"{program}.txt"
        with open(said, "wb") as out:
            code = subprocess.run(
                [str(self._programs / program), *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                **self._as,  # type: ignore[call-overload]
            ).returncode
        if check and code:
            log = self.folder / "log"
            raise RuntimeError(f"{program}: {said.read_text()} {log.read_text() if log.exists() else ''}")
