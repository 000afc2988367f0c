"""Virtual environments of other libraries with pinned versions, for `peers.py` and `time_to_quality.py`.

They are made once and kept in a cache folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "neuralforecast": ("neuralforecast==3.3.0",),
    "darts": ("darts[torch]==0.48.1",),
    "keras": ("keras==3.15.1", "tensorflow-cpu==2.21.0"),
}
CONSTRAINTS = ("torch==2.13.0",)  # if torch is installed, too
_DONE = "installed.json"


class PeerError(Exception):
    """An environment cannot be made, or a run in it failed. The text is one line."""


def add_envs_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--envs",
        type=Path,
        default=_cache() / "lstm_tune" / "peers",
        metavar="DIR",
        help="where the peers' environments are kept (1.5 GB each); default: %(default)s",
    )


def interpreter(peer: str, folder: Path) -> Path:
    """Return the Python of a peer's environment. It is made if it is missing or has other pinned versions.

    Raises:
        PeerError: it cannot be made.
    """
    home = folder / peer
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pins = {"requirements": [*REQUIREMENTS[peer]], "constraints": [*CONSTRAINTS]}
    done = home / _DONE
    if python.exists() and done.is_file() and json.loads(done.read_text(encoding="utf-8")) == pins:
        return python
    print(f"installing {' '.join(REQUIREMENTS[peer])} in {home}", file=sys.stderr, flush=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as beside:
            constraints = Path(beside) / "constraints.txt"
            constraints.write_text("\n".join(CONSTRAINTS) + "\n", encoding="utf-8")
            _call(peer, [sys.executable, "-m", "venv", "--clear", str(home)])
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _call(peer, [*pip, "--constraint", str(constraints), *REQUIREMENTS[peer]])
        done.write_text(
            json.dumps(pins), encoding="utf-8"
        )  # written last, so that an interrupted installation is repeated
    except OSError as error:
        raise PeerError(f"cannot make the environment of {peer} in {home}: {error.strerror}; pass --envs") from None
    return python


def start(python: Path | str, script: str, job: Mapping[str, Any], *, cwd: str, threads: int, log: IO[str]) -> Any:
    """Start one of the workers beside this file; its stdin and stdout are pipes, its stderr is `log`."""
    named = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return subprocess.Popen(
        [str(python), str(HERE / script), json.dumps(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=cwd,
        env=os.environ | named,
        text=True,
    )


def last_line(log: IO[str]) -> str:
    """Return the last line of `log` that is not blank."""
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was printed"


def _call(peer: str, command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        lines = (ended.stderr or ended.stdout).strip().splitlines() or ["no reason given"]
        raise PeerError(f"cannot make the environment of {peer}: {lines[-1].strip()}")


def _cache() -> Path:
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
