"""Columns of a frame: their names, the roles they play, and the numbers in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.number_format import POINT, Clues, Evidence, NumberFormat, choose_formats, cleaned, parse, weigh
from lstm_tune.data.stray_rows import is_text
from lstm_tune.errors import DataError, UsageError
from lstm_tune.utils.text import counted, listed

_JOINS = ("/", " / ", "|", " | ")  # between the ids of a series; the first that keeps all names apart

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """What the columns are used for."""

    targets: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]
    static: tuple[str, ...] = ()  # that do not change within a series
    ids: tuple[str, ...] = ()  # that name the series of a row, together

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of values: targets, past, future and static covariates, in this order."""
        return self.targets + self.past + self.future + self.static

    @property
    def covariates(self) -> tuple[str, ...]:
        """The columns that help to forecast, in the order of `names`."""
        return self.past + self.future + self.static


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Numbers:
    """A column as numbers."""

    values: Floats  # (N,) NaN where missing or infinite
    missing: int
    infinite: int
    note: str = ""  # how text was read
    form: NumberFormat | None = None  # of text with marks


def tidy_frame(frame: pd.DataFrame, path: str) -> tuple[pd.DataFrame, str | None]:
    """Return the frame with plain, distinct text names and its index as a column, and the index's name if it is time.

    An index of stamps is time; one of whole numbers that does not simply count up from the first row may be.

    Raises:
        DataError: no rows, no columns, or two columns of the same name.
    """
    frame = frame.copy(deep=False)
    time_index = None
    index = frame.index
    if not (isinstance(index, pd.RangeIndex) and index.step > 0):
        counts = index.nlevels == 1 and index.name is None and pd.api.types.is_numeric_dtype(index.dtype)
        may_be_time = counts or isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex))
        if index.nlevels == 1:
            frame.index = index.rename(str(index.name) if index.name is not None else "index")
            time_index = str(frame.index.name) if may_be_time else None
        if set(frame.index.names) & set(frame.columns):
            if not counts:
                raise DataError(f"{path} has an index and a column of the same name; rename one of them")
            time_index = None
        frame = frame.reset_index(drop=counts and time_index is None)
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
    named += [("static covariate", name) for name in roles.static]
    named += [("time", time)] if time is not None else []
    named += [("id", name) for name in roles.ids]
    for role, name in named:
        if name not in columns:
            close = difflib.get_close_matches(name, columns, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise UsageError(f"unknown column {name!r} as {role}; {hint}known: {listed(columns)}")
        if name in used:
            raise UsageError(f"column {name!r} is named as {used[name]} and as {role}; name it once")
        used[name] = role


LONG_ID, LONG_TIME, LONG_TARGET = "unique_id", "ds", "y"  # what Nixtla's libraries and Prophet call columns


@dataclass(frozen=True, kw_only=True, slots=True)
class LongFormat:
    """The columns of a frame that are called as in Nixtla's libraries; empty if they are not there."""

    ids: tuple[str, ...] = ()
    time: str | None = None
    targets: tuple[str, ...] = ()


def long_format(frame: pd.DataFrame, taken: Collection[str]) -> LongFormat:
    """Return which columns `unique_id`, `ds` and `y` name series, time and target, if at least two of them are there.

    Args:
        frame: of the source.
        taken: columns that have another role.
    """
    there = [name for name in (LONG_ID, LONG_TIME, LONG_TARGET) if name in frame.columns and name not in taken]
    if len({LONG_ID, LONG_TIME, LONG_TARGET} & set(frame.columns)) < 2:
        return LongFormat()
    repeats = LONG_ID in there and bool(frame[LONG_ID].duplicated().any())  # else it numbers the rows
    return LongFormat(
        ids=(LONG_ID,) if repeats else (),
        time=LONG_TIME if LONG_TIME in there else None,
        targets=(LONG_TARGET,) if LONG_TARGET in there else (),
    )


def series_of_rows(frame: pd.DataFrame, ids: Sequence[str]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Return the number (N,) of each row's series, None if there is one alone, and the S names, sorted as text.

    Several id columns are joined: store 1 and item a make the series "1/a".

    Raises:
        DataError: rows without an id.
    """
    if not ids:
        return None, ("",)
    for name in ids:
        absent = np.asarray(frame[name].isna())
        if absent.any():
            raise DataError(
                f"column {name!r} has {counted(int(absent.sum()), 'row')} without an id "
                f"(first: row {int(absent.argmax()) + 1}); name their series or drop them"
            )
    codes = np.zeros(len(frame), dtype=np.int64)
    parts: list[tuple[str, ...]] = [()]
    for name in ids:
        column = frame[name]
        own, values = pd.factorize(column.astype(str) if is_text(column) else column)
        words = np.array([str(value) for value in values], dtype=object)
        distinct, rank = np.unique(words.astype(str), return_inverse=True)
        both = codes * len(distinct) + rank.reshape(-1)[own]
        used, codes = np.unique(both, return_inverse=True)
        pairs = (divmod(int(code), len(distinct)) for code in used)
        parts = [(*parts[before], str(distinct[after])) for before, after in pairs]
    joined = ([mark.join(part) for part in parts] for mark in _JOINS)
    names = next((names for names in joined if len(set(names)) == len(names)), [str(part) for part in parts])
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[codes.reshape(-1)], tuple(names[i] for i in order)


def default_targets(frame: pd.DataFrame, used: Collection[str], clues: Clues) -> tuple[str, ...]:
    """Return the only numeric column that has no role; a row counter does not count beside others.

    Raises:
        DataError: there is none, or more than one.
    """
    free = [name for name in frame.columns if name not in used and is_numeric(frame[name], clues)]
    if len(free) > 1:
        free = [name for name in free if not is_row_counter(frame[name], name)] or free
    if not free:
        _refuse_nearly_numeric(frame, used, clues)
        raise DataError(
            f"no numeric column is left for a target; the columns are: {listed(list(frame.columns))}; name one with "
            f"target="
        )
    if len(free) > 1:
        raise DataError(f"{len(free)} columns could be the target: {listed(free)}; choose with target=")
    return (free[0],)


def _refuse_nearly_numeric(frame: pd.DataFrame, used: Collection[str], clues: Clues) -> None:
    """Say why a column whose cells are mostly numbers, or that alone is left, is not one of numbers."""
    texts = [name for name in frame.columns if name not in used and is_text(frame[name])]
    for name in texts:
        if is_mostly_numbers(frame[name]) or (len(texts) == 1 and frame[name].notna().any()):
            read_numbers({name: frame[name]}, clues)


def is_mostly_numbers(column: pd.Series[Any]) -> bool:
    """Return whether a column is text of which more than half of the words look like numbers."""
    text = cleaned(column).dropna() if is_text(column) else column[:0]
    return bool(len(text) and text.str.fullmatch(r"[+-]?[\d.,]*\d").mean() > 0.5)


def evidence_of_others(frame: pd.DataFrame, used: Collection[str]) -> tuple[Evidence, ...]:
    """Return what columns of text that play no part tell of the marks in numbers."""
    texts = (cleaned(frame[name]).dropna() for name in frame.columns if name not in used and is_text(frame[name]))
    return tuple(weigh(text) for text in texts if len(text) and text.str.fullmatch(r"[+-]?[\d.,]*\d").all())


def is_numeric(column: pd.Series[Any], clues: Clues = Clues()) -> bool:  # noqa: B008
    """Return whether a column holds numbers, be it as text."""
    if is_text(column):
        sample = column.dropna().iloc[:100]
        try:
            read_numbers({"": sample}, clues)
            return bool(len(sample)) and not np.isnan(read_numbers({"": column}, clues)[""].values).all()
        except DataError:
            return False
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def is_row_counter(column: pd.Series[Any], name: str) -> bool:
    """Return whether a column counts 0, 1, 2, … or 1, 2, 3, …, or is nameless and holds distinct whole numbers."""
    if not pd.api.types.is_integer_dtype(column.dtype) or column.isna().any():
        return False
    if re.fullmatch(r"Unnamed: \d+|rownames", name) and column.is_unique:
        return True
    values = column.to_numpy(dtype=np.int64)
    return bool(values[0] in (0, 1) and (np.diff(values) == 1).all())


def read_numbers(columns: Mapping[str, pd.Series[Any]], clues: Clues) -> dict[str, Numbers]:
    """Read columns as numbers, text too if all of a column reads as numbers in one way.

    Raises:
        DataError: a column holds something else.
    """
    words = {
        name: cleaned(column)
        for name, column in columns.items()
        if is_text(column) and pd.api.types.infer_dtype(column, skipna=True) != "boolean"
    }
    formats = choose_formats({name: weigh(text) for name, text in words.items()}, clues)
    return {
        name: _numbers_of_text(name, words[name], *formats[name]) if name in words else _numbers(name, column)
        for name, column in columns.items()
    }


def _numbers_of_text(name: str, text: pd.Series[Any], form: NumberFormat, note: str) -> Numbers:
    values, unread = parse(text, form)
    if unread.any():
        words = text[unread]
        wrong = f"{counted(len(words), 'value')} that {'is no number' if len(words) == 1 else 'are no numbers'}"
        marks = "" if form == POINT else f" with {form.decimal!r} as the decimal mark"
        raise DataError(
            f"column {name!r} holds text (first {str(words.iloc[0])[:40]!r}, {wrong}{marks}); "
            f"correct {'it' if len(words) == 1 else 'them'} or choose another column"
        )
    marked = bool(text.str.contains("[.,]", regex=True).fillna(False).any())
    return _counted(values, note, form if marked else None)


def _numbers(name: str, column: pd.Series[Any]) -> Numbers:
    values: Floats
    if is_text(column):  # True and False, some of them missing
        values = np.asarray(
            column.astype("boolean").astype("Float64").to_numpy(np.float64, na_value=np.nan), np.float64
        )
    elif pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        if column.dtype == np.float32:
            values = np.asarray(column.to_numpy(), np.float32)
        else:
            values = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), np.float64)
    else:
        raise DataError(f"column {name!r} holds {column.dtype} values, no numbers; convert or choose another column")
    return _counted(values)


def _counted(values: Floats, note: str = "", form: NumberFormat | None = None) -> Numbers:
    infinite = np.isinf(values)
    count = int(infinite.sum())
    missing = int(np.isnan(values).sum())
    plain = np.where(infinite, np.nan, values) if count else values
    return Numbers(values=plain, missing=missing, infinite=count, note=note, form=form)


def as_names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one name, several or none as a tuple."""
    return () if names is None else (names,) if isinstance(names, str) else tuple(str(name) for name in names)
