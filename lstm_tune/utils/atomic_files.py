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

_LARGEST_JSON = 2**28  # bytes
_REMEDY = "restore it from a copy, or run tune again"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, otherwise it is removed."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
        _fsync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    """Wait until the disk holds the names in a folder, if the system supports that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_write(path) as beside:
        # Half of a character, which a path that is not UTF-8 may hold, becomes an escape that JSON reads.
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; NaN must have become null before."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, schema: int, remedy: str = _REMEDY) -> dict[str, Any]:
    """Read a JSON object of the given schema.

    Args:
        path: of the file.
        schema: that it must have.
        remedy: what to do if it is damaged.

    Raises:
        RunError: missing, unreadable, too large, not such an object, or of another schema.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_JSON:
            raise RunError(f"{path} is damaged: {size:,} bytes, and no more than {_LARGEST_JSON:,} are read; {remedy}")
        content = path.read_bytes()
    except FileNotFoundError:
        raise RunError(
            f"{path} is missing; name a run folder of lstm-tune, restore it, or run tune again with resume=True"
        ) from None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
    return parse_json(content, path, schema, remedy)


def parse_json(content: bytes, path: Path, schema: int, remedy: str = _REMEDY) -> dict[str, Any]:
    """Return the JSON object of the given schema that a file at `path` holds.

    Raises:
        RunError: not such an object, or of another schema.
    """
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); {remedy}") from None
    if not isinstance(value, dict):
        raise RunError(f"{path} is damaged: it must hold a JSON object; {remedy}")
    if value.get("schema") != schema:
        raise RunError(
            f"{path} has schema {json.dumps(value.get('schema'))[:40]}, but this version reads schema {schema}; "
            f"{remedy}"
        )
    return value


@contextlib.contextmanager
def refuse_damage(path: Path, *also: type[Exception], remedy: str = _REMEDY) -> Iterator[None]:
    """Say that a file is damaged if what it holds cannot be worked with inside the `with`.

    Args:
        path: of the file.
        *also: further errors that damage shows in.
        remedy: what to do.

    Raises:
        RunError: a part is missing, or of the wrong kind.
    """
    shown: tuple[type[Exception], ...] = (LookupError, TypeError, ValueError, AttributeError, *also)
    try:
        yield
    except shown as error:
        lacks = ", or of an earlier version" if isinstance(error, KeyError) else ""
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise RunError(f"{path} is damaged{lacks} ({reason}); {remedy}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def make_folder(path: Path) -> None:
    """Create a folder, with its parents, and check that it can be written to.

    Raises:
        UsageError: it cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write to the output folder {str(path)!r}: {error.strerror}; choose another out="
        ) from None
