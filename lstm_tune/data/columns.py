"""Columns of a frame: their names, the roles they play, and the numbers in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.timestamps import is_text
from lstm_tune.errors import DataError, UsageError

Floats = NDArray[np.float32] | NDArray[np.float64]

_ABSENT_WORDS = ("", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "None", "none", "nil", "missing", "NaT")
_ABSENT_SIGNS = ("?", "-", "--", ".", "*", "#N/A", "#NA", "<NA>", "#VALUE!", "#DIV/0!")
MISSING_WORDS = (*_ABSENT_WORDS, *_ABSENT_SIGNS)
_THOUSANDS = r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_DECIMAL_COMMA = r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+"


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """What the columns are used for."""

    targets: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]
    id: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The numeric columns: targets, past and future covariates."""
        return self.targets + self.past + self.future


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Numbers:
    """One column as numbers."""

    values: Floats  # (N,) NaN where missing or infinite; single precision where the source is, as it loses nothing
    missing: int  # values that are not there
    infinite: int
    note: str = ""


def tidy_frame(frame: pd.DataFrame, path: str) -> tuple[pd.DataFrame, str | None]:
    """Return the frame with plain text names, its index as a column, and that column's name if it is a time.

    Raises:
        DataError: no rows or columns, several header levels, or a name that stands twice.
    """
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError(f"{path} has {frame.columns.nlevels} header levels; flatten the column names to one level")
    frame = frame.copy(deep=False)
    time_index = None
    plain = isinstance(frame.index, pd.RangeIndex) or (
        frame.index.name is None and pd.api.types.is_integer_dtype(frame.index.dtype)
    )
    if not plain:
        is_time = isinstance(frame.index, (pd.DatetimeIndex, pd.PeriodIndex))
        if frame.index.nlevels == 1:
            frame.index = frame.index.rename(str(frame.index.name) if frame.index.name is not None else "index")
            time_index = str(frame.index.name) if is_time else None
        if set(frame.index.names) & set(frame.columns):
            raise DataError(f"{path} has an index and a column of the same name; rename one of them")
        frame = frame.reset_index()
    frame.columns = pd.Index([str(name).strip() for name in frame.columns], dtype=object)
    if frame.columns.has_duplicates:
        double = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"{path} has more than one column {double!r}; rename all but one")
    if not len(frame) or not len(frame.columns):
        raise DataError(f"{path} has no rows of data; give at least two, below a line of column names")
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(frame[name].cat.categories.dtype)
    return frame, time_index


def check_roles(columns: Sequence[str], roles: Roles, time: str | None) -> None:
    """Check that every named column is there, and named once.

    Raises:
        UsageError: an unknown column, or one in two roles.
    """
    used: dict[str, str] = {}
    named = [("target", name) for name in roles.targets]
    named += [("past covariate", name) for name in roles.past] + [("future covariate", name) for name in roles.future]
    named += [("time", time)] if time is not None else []
    named += [("id", roles.id)] if roles.id is not None else []
    for role, name in named:
        if name not in columns:
            close = difflib.get_close_matches(name, columns, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise UsageError(f"unknown column {name!r} as {role}; {hint}known: {_listed(columns)}")
        if name in used:
            raise UsageError(f"column {name!r} is named as {used[name]} and as {role}; name it once")
        used[name] = role


def series_of_rows(frame: pd.DataFrame, id_name: str | None) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Return the number (N,) of each row's series, None where there is one alone, and the S names, sorted as text.

    Raises:
        DataError: rows without an id.
    """
    if id_name is None:
        return None, ("",)
    ids = frame[id_name]
    absent = np.asarray(ids.isna())
    if absent.any():
        raise DataError(
            f"column {id_name!r} has {absent.sum()} rows without an id (first: row {int(absent.argmax()) + 1}); "
            "name their series or drop them"
        )
    codes, names = pd.factorize(ids.astype(str) if is_text(ids) else ids)
    words = np.array([str(name) for name in names], dtype=object)
    distinct, rank = np.unique(words.astype(str), return_inverse=True)
    return rank.reshape(-1)[codes].astype(np.int64), tuple(str(word) for word in distinct)


def default_targets(frame: pd.DataFrame, used: Collection[str]) -> tuple[str, ...]:
    """Return the only numeric column that has no role; a row counter does not count beside others.

    Raises:
        DataError: there is none, or more than one.
    """
    free = [name for name in frame.columns if name not in used and is_numeric(frame[name])]
    if len(free) > 1:
        free = [name for name in free if not is_row_counter(frame[name])] or free
    if not free:
        raise DataError(f"no numeric column is left for a target among {_listed(list(frame.columns))}; name --target")
    if len(free) > 1:
        raise DataError(f"{len(free)} columns could be the target: {_listed(free)}; choose with --target")
    return (free[0],)


def is_numeric(column: pd.Series[Any]) -> bool:
    """Return whether a column holds numbers, be it as text."""
    if is_text(column):
        sample = column.dropna().iloc[:100]
        try:
            read_numbers(sample, "")
            return bool(len(sample)) and not np.isnan(read_numbers(column, "").values).all()
        except DataError:
            return False
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def is_row_counter(column: pd.Series[Any]) -> bool:
    """Return whether a column counts 0, 1, 2, … or 1, 2, 3, …."""
    if not pd.api.types.is_integer_dtype(column.dtype) or column.isna().any():
        return False
    values = column.to_numpy(dtype=np.int64)
    return bool(values[0] in (0, 1) and (np.diff(values) == 1).all())


def read_numbers(column: pd.Series[Any], name: str) -> Numbers:
    """Read a column as numbers, text too where all of it reads as numbers in one way.

    Raises:
        DataError: the column holds something else.
    """
    note = ""
    values: Floats
    if is_text(column) and pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        values = np.asarray(
            column.astype("boolean").astype("Float64").to_numpy(np.float64, na_value=np.nan), np.float64
        )
    elif is_text(column):
        values, note = _parse_text(column, name)
    elif pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        if column.dtype == np.float32:
            values = np.asarray(column.to_numpy(), np.float32)
        else:
            values = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), np.float64)
    else:
        raise DataError(f"column {name!r} holds {column.dtype} values, no numbers; convert or choose another column")
    infinite = np.isinf(values)
    count = int(infinite.sum())
    missing = int(np.isnan(values).sum())
    return Numbers(
        values=np.where(infinite, np.nan, values) if count else values, missing=missing, infinite=count, note=note
    )


def _parse_text(column: pd.Series[Any], name: str) -> tuple[NDArray[np.float64], str]:
    """Return text (N,) as numbers, NaN where missing, and a note where separators were taken out."""
    text = column.astype("string").str.strip()
    text = text.mask(text.isin(MISSING_WORDS))
    values = _floats(text)
    unread = np.isnan(values) & np.asarray(text.notna())
    if not unread.any():
        return values, ""
    words = text[unread]
    plain = text[~unread & np.asarray(text.notna())]
    if words.str.fullmatch(_THOUSANDS).all():
        return _floats(text.str.replace(",", "")), f"column {name!r}: commas were read as thousands separators"
    comma = words.str.fullmatch(_DECIMAL_COMMA).all() and not plain.str.contains(".", regex=False).any()
    if comma:
        swapped = text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        return _floats(swapped), f"column {name!r}: commas were read as decimal commas"
    raise DataError(
        f"column {name!r} holds text (first {str(words.iloc[0])[:40]!r}, {len(words)} values that are no numbers); "
        "correct them or choose another column"
    )


def _floats(text: pd.Series[Any]) -> NDArray[np.float64]:
    numbers: pd.Series[Any] = pd.to_numeric(text.astype(object), errors="coerce")
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def as_names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one name, several or none as a tuple."""
    return () if names is None else (names,) if isinstance(names, str) else tuple(str(name) for name in names)


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(re.sub(r"\s+", " ", str(name)) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
