"""Load data: from whatever the user names to checked series on a regular grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from lstm_tune.data.assemble import Table, assemble
from lstm_tune.data.cleaning import Repairs
from lstm_tune.data.columns import (
    LONG_ID,
    Roles,
    as_names,
    check_roles,
    default_targets,
    evidence_of_others,
    is_numeric,
    long_format,
    series_of_rows,
    tidy_frame,
)
from lstm_tune.data.even_times import Ints
from lstm_tune.data.examples import Example, examples
from lstm_tune.data.find_time import find_time
from lstm_tune.data.number_format import Clues, NumberFormat, chosen_format
from lstm_tune.data.readers import Data, Source, read_source
from lstm_tune.data.regular import Known
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split_rule import DEFAULT_SPLIT, SplitRule, read_split
from lstm_tune.data.stray_rows import is_text
from lstm_tune.data.time_column import TimeColumn
from lstm_tune.errors import DataError

__all__ = ["Example", "examples", "load_series"]


def load_series(
    source: Data,
    *,
    target: str | Sequence[str] | None = None,
    time: str | None = None,
    id: str | Sequence[str] | None = None,
    past: str | Sequence[str] = (),
    future: str | Sequence[str] = (),
    static: str | Sequence[str] = (),
    calendar: bool | None = None,
    holidays: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    split: SplitRule | Sequence[float] | str | None = DEFAULT_SPLIT,
    known: Known | None = None,
    keep_ahead: bool = False,
) -> SeriesSet:
    """Load one or many series, check and repair them, and lay them on a regular grid.

    The rules of reading, for text files, numbers, time, gaps, ids and covariates, are in the README.md of this folder.
    Every repair and every doubtful decision becomes a sentence in `SeriesSet.notes`.

    Args:
        source: a path to .csv, .tsv, .txt (also with .gz), .parquet, .pq, .feather or .arrow; "example:NAME"; a
            DataFrame; a Series (its name is the target); an array, list or tensor (N,) or (N, C), of which all
            columns ("y", or "y0", "y1", …) that are no covariate are targets.
        target: column or columns; None: the example's own, or the only numeric column without another role.
        time: the column that holds the time; None: it is looked for.
        id: the column, or columns, that name the series of each row (long format).
        past: covariates known up to now.
        future: covariates known into the future.
        static: covariates that do not change within a series. Text among covariates becomes categories.
        calendar: add calendar features to the future covariates; None: no.
        holidays: country whose public holidays are future covariates, such as "DE" or "US-CA"; None: none.
        decimal: decimal mark of numbers in text, "." or ","; None: it is found.
        thousands: separator of thousands in text; None: it is found.
        split: by which the rows are cut later on. What is decided by the data is decided by the rows before the test
            rows. None: all rows are train rows.
        known: what a saved model keeps of its data; these are then read as those were, and may be constant.
        keep_ahead: whether rows at the end without any target, the rows to forecast, are kept.

    Raises:
        DataError: the data cannot be used; one line says why and what to do.
        UsageError: an unknown column, example or type, a column in two roles, a calendar without time stamps.
    """
    form = chosen_format(decimal, thousands)
    ids = as_names(id)
    read = read_source(source, ids=ids or (LONG_ID,), form=form)
    marked = frozenset(
        str(name).strip() for name, kind in read.frame.dtypes.items() if isinstance(kind, pd.CategoricalDtype)
    )
    frame, index = tidy_frame(read.frame, read.path)
    given = Roles(
        targets=as_names(target), past=as_names(past), future=as_names(future), static=as_names(static), ids=ids
    )
    roles, time, renamed = _whole_roles(given, time, frame, read, known)
    check_roles(list(frame.columns), roles, time)
    codes, names = series_of_rows(frame, roles.ids) if roles.ids else (None, ("",))
    taken = {*roles.names, *roles.ids}
    frame, codes, found = _take_time(frame, codes, time, index, taken, read)
    used = taken | set(found.columns)
    clues = _clues(form, known, read, frame, used)
    repairs = Repairs(notes=[*read.notes, *found.notes])
    if not roles.targets:
        only = default_targets(frame, used, clues)
        if renamed:
            repairs.notes.append(f"there is no column 'y': the only numeric one, {only[0]!r}, was taken")
        roles = replace(roles, targets=only)
    left_out = _left_out(frame, used | set(roles.targets), clues)
    if left_out:
        remedy = "; to use one, pass it as past=, as future= or as static=, or as id= if it names the series"
        repairs.notes.append(f"text columns were left out: {', '.join(left_out)}{remedy if known is None else ''}")
    table = Table(frame=frame, roles=roles, time=found, codes=codes, names=names, path=read.path, marked=marked)
    if not len(frame):
        raise DataError(f"{read.path} has no rows of data; give at least two, below a line of column names")
    return assemble(
        table,
        calendar=calendar,
        holidays=holidays,
        repairs=repairs,
        clues=clues,
        split=read_split("split", split),
        known=known,
        keep_ahead=keep_ahead,
    )


def _whole_roles(
    given: Roles, time: str | None, frame: pd.DataFrame, read: Source, known: Known | None
) -> tuple[Roles, str | None, bool]:
    """Return the roles of the columns, the column of the time, and whether the target is called otherwise here.

    Args:
        given: the roles that were named; without targets the example's own are taken.
        time: the column of the time, if it was named.
        frame: the rows.
        read: where they are from.
        known: what a saved model keeps; None: columns named by the conventions of long format have their role, too.
    """
    targets, ids = given.targets, given.ids
    covariates = (*given.past, *given.future, *given.static)
    if known is None:
        conventional = long_format(frame, taken={*targets, *covariates})
        ids, time, targets = ids or conventional.ids, time or conventional.time, targets or conventional.targets
    elif time is None and known.time in frame.columns:
        time = known.time
    if not targets and read.targets is not None:
        targets = tuple(name for name in read.targets if name not in (*covariates, time, *ids))
    # A model of a Series without a name calls it y; pandas writes such a Series under the name 0.
    renamed = known is not None and targets == ("y",) and "y" not in frame.columns and "0" in frame.columns
    return replace(given, targets=() if renamed else targets, ids=ids), time, renamed


def _take_time(
    frame: pd.DataFrame, codes: Ints | None, time: str | None, index: str | None, taken: set[str], read: Source
) -> tuple[pd.DataFrame, Ints | None, TimeColumn]:
    """Return the rows that are data, without an index that nobody needs, the series of each row, and its time.

    Args:
        frame: the rows.
        codes: (N,) number of the series of each row; None: there is one.
        time: the column of the time, if it was named.
        index: the column that was the frame's index, if there is one.
        taken: columns that have another role.
        read: where the rows are from.
    """
    day_first = read.delimiter == ";" or read.dotted_dates
    found = find_time(frame, named=time, index=index, taken=taken, ids=codes, day_first=day_first)
    if index is not None and index not in (*found.columns, *taken):
        frame = frame.drop(columns=index)
    if found.dropped is not None:
        frame = frame[~found.dropped].reset_index(drop=True)
        codes = None if codes is None else codes[~found.dropped]
    return frame, codes, found.without_dropped()


def _clues(form: NumberFormat | None, known: Known | None, read: Source, frame: pd.DataFrame, used: set[str]) -> Clues:
    """Return what shows how numbers in text are written: what was named, what a model keeps, or the other columns."""
    return Clues(
        chosen=form,
        kept=None if known is None else known.formats,
        delimiter=read.delimiter,
        dotted_dates=read.dotted_dates,
        others=evidence_of_others(frame, used) if form is None else (),
    )


def _left_out(frame: pd.DataFrame, used: set[str], clues: Clues) -> list[str]:
    """Return the columns of text that have no role."""
    words = [name for name in frame.columns if name not in used and is_text(frame[name])]
    return [name for name in words if not is_numeric(frame[name], clues)]
