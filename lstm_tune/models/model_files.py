"""The files of a saved model: configuration and weights, and a manifest by which `load` knows that both are whole.

Nothing is pickled, and nothing is believed before it was compared: a file's size with the manifest before it is read,
its SHA-256 before it is parsed, the shapes in the head of the weights with those of the network before memory is taken
for them. All three files are written beside their place before the first of them takes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from lstm_tune.errors import RunError
from lstm_tune.utils.atomic_files import atomic_write, make_folder, parse_json, read_json

SCHEMA = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
_LARGEST_CONFIG = 2**24  # bytes
_LARGEST_HEAD = 2**24  # of the weights: names and shapes
_REMEDY = "restore it from a copy, or run tune again (with resume=True no trial is run again)"


def write_model(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the three files; a process that is killed leaves the old model, or the new one.

    Args:
        folder: made if it is missing.
        config: plain JSON; `schema` is put first.
        tensors: float32.
    """
    make_folder(folder)
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    contents = {
        CONFIG: _json({"schema": SCHEMA, **config}),
        WEIGHTS: safetensors.torch.save(plain),
    }
    manifest = {name: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for name, c in contents.items()}
    contents[MANIFEST] = _json({"schema": SCHEMA, "files": manifest})
    with contextlib.ExitStack() as stack:  # all take their names together, at its end
        for name, content in contents.items():
            stack.enter_context(atomic_write(folder / name)).write_bytes(content)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="backslashreplace")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a saved model.

    Raises:
        RunError: it or the manifest is missing, damaged, or of another schema.
    """
    content = _whole(folder, CONFIG, _LARGEST_CONFIG)
    return parse_json(content, folder / CONFIG, SCHEMA)


def read_weights(
    folder: Path, shapes: Mapping[str, Sequence[int]], optional: Collection[str] = ()
) -> dict[str, Tensor]:
    """Return the weights of a saved model, float32, as `shapes` says, which is compared before they are read.

    Args:
        folder: of the model.
        shapes: of each weight, by its name.
        optional: names that the file may lack: models that were saved before have none.

    Raises:
        RunError: the file is missing, damaged, or holds other weights.
    """
    path = folder / WEIGHTS
    head, length = _head(path)
    described = {name: entry for name, entry in head.items() if name != "__metadata__"}
    shapes = {name: shape for name, shape in shapes.items() if name in described or name not in optional}
    if described.keys() != shapes.keys():
        raise RunError(f"{path} holds other weights than {CONFIG} describes; {_REMEDY}")
    for name, shape in shapes.items():
        entry = described[name]
        if not isinstance(entry, dict) or entry.get("dtype") != "F32" or entry.get("shape") != list(shape):
            raise RunError(f"{path}: weight {name} has not the shape {tuple(shape)} of {CONFIG}; {_REMEDY}")
    content = _whole(folder, WEIGHTS, length + 4 * sum(math.prod(shape) for shape in shapes.values()))
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise RunError(f"{path} is damaged ({_line(error)}); {_REMEDY}") from None


def _head(path: Path) -> tuple[dict[str, Any], int]:
    """Return what the head of the weights says, and its length in bytes."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LARGEST_HEAD:
                raise ValueError("it does not begin as weights do")
            head = json.loads(file.read(length))
        if not isinstance(head, dict):
            raise ValueError("its head is no table")
    except OSError as error:
        raise RunError(f"{path} is missing or cannot be read ({error.strerror}); {_REMEDY}") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({_line(error)}); {_REMEDY}") from None
    return head, 8 + length


def _whole(folder: Path, name: str, most: int) -> bytes:
    """Return what a file holds, once size and SHA-256 are what the manifest says."""
    path = folder / name
    manifest = read_json(folder / MANIFEST, SCHEMA)
    files = manifest.get("files")
    entry = files.get(name) if isinstance(files, dict) else None
    size, digest = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    if not isinstance(size, int) or not isinstance(digest, str):
        raise RunError(f"{folder / MANIFEST} is damaged: it says nothing of {name}; {_REMEDY}")
    try:
        found = path.stat().st_size
        if found != size:
            raise RunError(f"{path} is damaged: it has {found:,} bytes, and {MANIFEST} says {size:,}; {_REMEDY}")
        if size > most:
            raise RunError(f"{path} is damaged: it has {found:,} bytes, and may have {most:,} at most; {_REMEDY}")
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} is missing or cannot be read ({error.strerror}); {_REMEDY}") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise RunError(f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}; {_REMEDY}")
    return content


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
