"""What to do if a storage cannot be opened: the second half of each such message."""

from __future__ import annotations

import re
from pathlib import Path

_OF_MESSAGES = (  # the first that a database's words match
    (r"database is read-only", "name the primary server"),
    (r'database "[^"]*" does not exist|unknown database', "create it with createdb, or name another database"),
    (r'role "[^"]*" does not exist', "create it with createuser, or name another user"),
    (r"pg_hba", "let this machine and user in, in the server's pg_hba.conf"),
    (
        r"password|authentication failed|access denied",
        "check user and password: %-encoded in the URL, in PGPASSWORD, or in ~/.pgpass",
    ),
    (r"translate host|resol|not known|nodename", "check the name of the host in the URL"),
    (r"refused|time[d ]*out|no route|unreachable|socket", "check host and port in the URL, and that the server runs"),
    (r"permission denied|insufficient privilege", "give the user the right to create tables there"),
    (r"too many|connection slots", "raise max_connections of the server, or use fewer workers"),
    (r"not a database|malformed", "name another file, or another storage="),
    (r"locked", "wait until the other process has ended, or name another file"),
    (r"disk|space", "free some space, then repeat tune with resume=True"),
)


def remedy_for_message(said: str) -> str:
    """Return what to do if a database says this."""
    found = (remedy for pattern, remedy in _OF_MESSAGES if re.search(pattern, said, re.IGNORECASE))
    return next(found, "check the URL, and what the server's log says, or name another storage=")


def remedy_for_file(path: Path, example: str = "study.journal") -> str:
    """Return what to do if the file of a study cannot be opened; `example` is a name for such a file."""
    if path.is_dir():
        return f"this is a folder; name a file in it, such as {str(path / example)!r}"
    if not path.parent.is_dir():
        return f"make the folder {str(path.parent)!r}, or name another file"
    return "check that you may read and write it, or name another file" if path.exists() else "check the path"
