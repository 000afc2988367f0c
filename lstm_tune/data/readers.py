"""Files, examples, frames and arrays, each as one `DataFrame`."""

from __future__ import annotations

import csv
import gzip
import os
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import torch

from lstm_tune.data.columns import MISSING_WORDS
from lstm_tune.data.examples import find_example
from lstm_tune.errors import DataError, UsageError

Data: TypeAlias = (
    "str | os.PathLike[str] | pd.DataFrame | pd.Series[Any] | np.ndarray[Any, Any] | torch.Tensor | list[Any]"
)

EXAMPLE = "example:"
TEXT_ENDINGS = (".csv", ".tsv", ".txt")
BINARY_ENDINGS = (".parquet", ".pq", ".feather", ".arrow")
DELIMITERS = (",", ";", "\t", "|")
HEADER_BYTES = 1 << 16
_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    csv.Error,
    zlib.error,
    pa.ArrowException,
    pd.errors.ParserWarning,
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Source:
    """A frame, and what is known from where it came."""

    frame: pd.DataFrame
    path: str  # what the user named
    targets: tuple[str, ...] | None = None  # unless the user names others
    notes: tuple[str, ...] = ()


def read_source(source: Data) -> Source:
    """Read whatever `load_series` takes.

    Raises:
        UsageError: a type, a shape or an example that is not known.
        DataError: a file that is missing, unreadable, empty or of an unknown kind.
    """
    if isinstance(source, pd.DataFrame):
        return Source(frame=source, path="DataFrame")
    if isinstance(source, pd.Series):
        name = "y" if source.name is None else str(source.name).strip()
        return Source(frame=source.to_frame(name), path="Series", targets=(name,))
    if isinstance(source, torch.Tensor):
        numbers = source.detach().cpu()
        plain = numbers.is_complex() or numbers.dtype == torch.float32
        return _from_array((numbers if plain else numbers.double()).numpy(), "tensor")
    if isinstance(source, (np.ndarray, list)):
        return _from_array(source, "array" if isinstance(source, np.ndarray) else "list")
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(
            f"data must be a file, example:NAME, a frame or an array, but is of type {type(source).__name__}"
        )
    path = os.fspath(source)
    if path.startswith(EXAMPLE):
        example = find_example(path.removeprefix(EXAMPLE))
        return Source(frame=example.read(), path=path, targets=(example.target,))
    return read_file(path)


def read_file(path: str) -> Source:
    """Read a text, Parquet or Feather file.

    Raises:
        DataError: it is missing, unreadable, empty or of an unknown kind.
    """
    file = Path(path)
    ending = "".join(file.suffixes[-2:]).lower() if file.suffix.lower() == ".gz" else file.suffix.lower()
    try:
        if file.is_dir():
            raise DataError(f"{path} is a folder; name the file in it")
        if not file.exists():
            raise DataError(f"{path} does not exist; check the path, or name example:sunspots to try one")
        if ending.removesuffix(".gz") in TEXT_ENDINGS:
            return _read_text(file, path)
        if ending in (".parquet", ".pq"):
            return Source(frame=_sound(pyarrow.parquet.read_table(file)), path=path)
        if ending in (".feather", ".arrow"):
            return Source(frame=_sound(pyarrow.feather.read_table(file, memory_map=False)), path=path)
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path} is empty; give at least two rows below a line of column names") from error
    except _READ_ERRORS as error:
        detail = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as {ending.removeprefix('.')}: {detail}; repair the file") from error
    raise DataError(f"{path} ends in {ending!r}; known: {', '.join(TEXT_ENDINGS + BINARY_ENDINGS)}, and .csv.gz")


def _sound(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame, once what its columns say of their own memory is true: else a process may crash."""
    table.validate(full=True)
    try:
        frame: pd.DataFrame = table.to_pandas()
    except Exception as error:  # what pandas notes in the file of its columns may be anything
        raise ValueError(f"its columns are not what it says they are ({type(error).__name__}: {error})") from error
    return frame


def _read_text(file: Path, path: str) -> Source:
    with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as stream:
        beginning = stream.read(HEADER_BYTES)
    encoding = "utf-16" if beginning[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    notes: tuple[str, ...] = ()
    delimiter, fields = find_header(beginning.decode(encoding, errors="replace"))
    seen: set[str] = set()
    for field in fields:
        if field and field in seen:  # pandas would rename the second one, and nobody would know
            raise DataError(f"{path} has more than one column {field!r}; rename all but one")
        seen.add(field)
    counted = [str(column) for column in range(len(fields))]  # the header that pandas writes for an array
    headless = fields != counted and all(_is_number(field) for field in fields)
    names = (["y"] if len(fields) == 1 else [f"y{column}" for column in range(len(fields))]) if headless else None
    if headless:
        notes += (f"the file has no line of column names: the columns are called {', '.join(names or ())}",)
    try:
        frame = _read_csv(file, delimiter, names, encoding)
    except UnicodeDecodeError:
        frame = _read_csv(file, delimiter, names, "latin-1")
        notes += ("the file is not in UTF-8 and was read as Latin-1",)
    return Source(frame=frame, path=path, notes=notes)


def _read_csv(file: Path, delimiter: str, names: list[str] | None, encoding: str) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        return pd.read_csv(
            file,
            sep=delimiter,
            names=names,
            header=None if names else 0,
            index_col=False,
            encoding=encoding,
            skipinitialspace=True,
            na_values=list(MISSING_WORDS),
            low_memory=False,
        )


def find_header(beginning: str) -> tuple[str, list[str]]:
    """Return the delimiter of a text file, the one that makes the most fields of its first line, and those fields."""
    line = next((line for line in beginning.splitlines() if line.strip()), "")
    best, fields = DELIMITERS[0], [line.strip().strip('"')]
    for delimiter in DELIMITERS:
        split = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        if len(split) > len(fields):
            best, fields = delimiter, [field.strip() for field in split]
    if len(fields) == 1 and len(line.split()) > 1 and all(_is_number(word) for word in line.split()):
        return r"\s+", line.split()
    return best, fields


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return word.lower() not in ("nan", "inf", "infinity")


def _from_array(source: Any, kind: str) -> Source:
    try:
        array = np.asarray(source)
        if np.iscomplexobj(array):
            raise TypeError("complex numbers have no order")
        array = array if array.dtype == np.float32 else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the {kind} must hold numbers, in rows of equal length; else pass a DataFrame") from error
    if array.ndim not in (1, 2):
        raise UsageError(f"the {kind} must have 1 or 2 dimensions (rows, columns), but has {array.ndim}")
    array = array.reshape(len(array), -1) if array.size else np.empty((0, 1))
    names = ("y",) if array.shape[1] == 1 else tuple(f"y{column}" for column in range(array.shape[1]))
    return Source(frame=pd.DataFrame(array, columns=list(names), copy=False), path=kind, targets=names)
