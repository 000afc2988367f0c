"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lstm_tune.errors import RunError, UsageError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes the name of `path`, else it is removed."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON (no NaN: they become null before) whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, schema: int) -> dict[str, Any]:
    """Read a JSON object of the given schema.

    Raises:
        RunError: missing, unreadable, not such an object, or of another schema.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} is missing; is {path.parent} a run folder of lstm-tune?") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged or cannot be read ({error}); restore it or run tune again") from None
    if not isinstance(value, dict):
        raise RunError(f"{path} is damaged: it must hold a JSON object; restore it or run tune again")
    if value.get("schema") != schema:
        raise RunError(
            f"{path} has schema {value.get('schema')!r}, but this version reads schema {schema}; run tune again"
        )
    return value


def make_folder(path: Path) -> None:
    """Make a folder, and its parents, to write into.

    Raises:
        UsageError: it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write to the output folder {str(path)!r}: {error.strerror}; choose another --out"
        ) from None
