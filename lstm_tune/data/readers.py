"""Files, examples, frames and arrays, each as one `DataFrame`."""

from __future__ import annotations

import csv
import os
import tempfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import torch

from lstm_tune.data.examples import find_example
from lstm_tune.data.number_format import NumberFormat
from lstm_tune.data.spreadsheets import SPREADSHEET_ENDINGS, split_sheet, write_sheet
from lstm_tune.data.text_files import TextTable, memory_limit, read_text
from lstm_tune.errors import DataError, UsageError


class ArrowStream(Protocol):
    """Whatever exports itself as an Arrow stream: a frame of polars, a relation of DuckDB, a table of pyarrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


Data: TypeAlias = (
    "str | os.PathLike[str] | pd.DataFrame | pd.Series[Any] | ArrowStream | np.ndarray[Any, Any] | torch.Tensor | "
    "list[Any]"
)

EXAMPLE = "example:"
TEXT_ENDINGS = (".csv", ".tsv", ".txt")
BINARY_ENDINGS = (".parquet", ".pq", ".feather", ".arrow")
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
    delimiter: str = ","  # of a text file
    dotted_dates: bool = False  # whether a text file has dates such as 31.12.2024


def read_source(source: Data, *, ids: Collection[str] = (), form: NumberFormat | None = None) -> Source:
    """Read whatever `load_series` takes.

    Args:
        source: what the user named or passed.
        ids: columns of a text file whose text is kept to the letter.
        form: of the numbers in a text file, if the user named one.

    Raises:
        UsageError: a type, a shape or an example that is not known.
        DataError: a file that is missing, unreadable, empty or of an unknown kind.
    """
    if isinstance(source, pd.DataFrame):
        if isinstance(source.columns, pd.MultiIndex):  # what the levels say together names a column
            names = ["_".join(str(part) for part in name if str(part)) for name in source.columns]
            source = source.set_axis(names, axis=1)
        return Source(frame=source, path="DataFrame")
    if isinstance(source, pd.Series):
        name = "y" if source.name is None else str(source.name).strip()
        return Source(frame=source.to_frame(name), path="Series", targets=(name,))
    if isinstance(source, torch.Tensor):
        numbers = source.detach().cpu()
        plain = numbers.is_complex() or numbers.dtype == torch.float32
        return _from_array((numbers if plain else numbers.double()).numpy(), "tensor")
    if hasattr(source, "__arrow_c_stream__"):  # polars, DuckDB, pyarrow
        return _from_arrow(source)
    if isinstance(source, (np.ndarray, list, tuple)):
        return _from_array(source, "array" if isinstance(source, np.ndarray) else type(source).__name__)
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(
            f"data must be a file, example:NAME, a frame or an array, but is of type {type(source).__name__}"
        )
    path = os.fspath(source)
    if path.startswith(EXAMPLE):
        example = find_example(path.removeprefix(EXAMPLE))
        return Source(frame=example.read(), path=path, targets=(example.target,))
    return read_file(path, ids=ids, form=form)


def names_data(text: str) -> bool:
    """Return whether a text names an example, or a file that is there, and perhaps a sheet of it."""
    return text.startswith(EXAMPLE) or Path(split_sheet(text)[0]).is_file()


def check_there(source: Data, *, example: str = ", or name example:sunspots to try one") -> None:
    """Refuse a path that names no file, before anything is waited for.

    Args:
        source: file or frame.
        example: what else can be named.

    Raises:
        DataError: it is missing, or a folder.
        UsageError: there is no such example.
    """
    if not isinstance(source, (str, os.PathLike)):
        return
    if (path := os.fspath(source)).startswith(EXAMPLE):
        find_example(path.removeprefix(EXAMPLE))
        return
    named, _ = split_sheet(path)
    if not named:
        raise DataError("the name of the data is empty; name a file")
    if Path(named).is_dir():
        raise DataError(f"{path} is a folder; name the file in it")
    if not Path(named).exists():
        raise DataError(f"{named} does not exist; check the path{example}")


def read_file(path: str, *, ids: Collection[str] = (), form: NumberFormat | None = None) -> Source:
    """Read a text, Parquet or Feather file.

    Args:
        path: of the file.
        ids: columns of a text file whose text is kept to the letter.
        form: of the numbers in a text file, if the user named one.

    Raises:
        DataError: it is missing, unreadable, empty or of an unknown kind.
    """
    named, sheet = split_sheet(path)
    file = Path(named)
    ending = "".join(file.suffixes[-2:]).lower() if file.suffix.lower() == ".gz" else file.suffix.lower()
    try:
        check_there(path)
        if ending.removesuffix(".gz") in TEXT_ENDINGS:
            return _from_text(read_text(file, path, ids=ids, form=form), path)
        if ending in SPREADSHEET_ENDINGS:
            with tempfile.TemporaryDirectory() as folder:
                text = Path(folder) / "sheet.csv"
                notes = write_sheet(file, sheet, text)
                return _from_text(read_text(text, path, ids=ids, form=form), path, notes)
        if ending in (".parquet", ".pq"):
            _check_parquet(file, path)
            return Source(frame=_sound(pyarrow.parquet.read_table(file)), path=path)
        if ending in (".feather", ".arrow"):
            return Source(frame=_sound(pyarrow.feather.read_table(file, memory_map=False)), path=path)
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path} is empty; give at least two rows below a line of column names") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory; cut it into smaller files") from error
    except _READ_ERRORS as error:
        detail = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as {ending.removeprefix('.')}: {detail}; repair the file") from error
    known = ", ".join(TEXT_ENDINGS + BINARY_ENDINGS + SPREADSHEET_ENDINGS)
    raise DataError(f"{path} ends in {ending!r}; known: {known}, and .csv.gz")


def _from_text(table: TextTable, path: str, notes: tuple[str, ...] = ()) -> Source:
    return Source(
        frame=table.frame,
        path=path,
        notes=notes + table.notes,
        delimiter=table.delimiter,
        dotted_dates=table.dotted_dates,
    )


def _check_parquet(file: Path, path: str) -> None:
    """Refuse a file of few bytes that claims more numbers than fit into memory."""
    meta = pyarrow.parquet.read_metadata(file)
    size = 8 * meta.num_rows * meta.num_columns
    if size > memory_limit():
        raise DataError(
            f"{path} holds {meta.num_rows:,} rows of {meta.num_columns} columns, more than a quarter of this machine's "
            "memory; cut it into smaller files"
        )


def _sound(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame, after a check that its columns lie within their memory: else a process may crash."""
    table.validate(full=True)
    try:
        frame: pd.DataFrame = table.to_pandas()
    except Exception as error:  # what pandas notes in the file of its columns may be anything
        raise ValueError(f"its columns are not what it says they are ({type(error).__name__}: {error})") from error
    return frame


def _from_arrow(source: Any) -> Source:
    """Read whatever exports itself as an Arrow stream: a table as a frame, a column as a series."""
    kind = type(source).__name__
    try:
        stream = pa.RecordBatchReader.from_stream(source)
    except (pa.ArrowException, TypeError):
        name = getattr(source, "name", None) or "y"
        return Source(frame=_sound(pa.table({name: pa.chunked_array(source)})), path=kind, targets=(name,))
    return Source(frame=_sound(stream.read_all()), path=kind)


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
