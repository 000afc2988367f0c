"""Load data: from whatever the user names to checked series on a regular grid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from lstm_tune.data.assemble import assemble
from lstm_tune.data.cleaning import Repairs
from lstm_tune.data.columns import Roles, as_names, check_roles, default_targets, series_of_rows, tidy_frame
from lstm_tune.data.examples import Example, examples
from lstm_tune.data.readers import Data, read_source
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.timestamps import find_time, is_text
from lstm_tune.errors import DataError

__all__ = ["Example", "examples", "load_series", "split_known_future"]


def load_series(
    source: Data,
    *,
    target: str | Sequence[str] | None = None,
    time: str | None = None,
    id: str | None = None,
    past: str | Sequence[str] = (),
    future: str | Sequence[str] = (),
    calendar: bool | None = None,
    train: float = 1.0,
    origin: Sequence[float] | None = None,
) -> SeriesSet:
    """Load one or many series, check and repair them, and lay them on a regular grid.

    Time is, in this order: the column named; the frame's datetime or period index; a column of datetime type; one
    called like a time (date, timestamp, ds, …) that reads as one; the first text column that reads as time
    entirely; columns year, month (or quarter), day, hour, minute put together, as far as they are there, or a year
    alone if no year of 1501 to 2199 stands twice in a series; else the rows are numbered. Time zones become UTC;
    whole days with a zone keep their date.

    Rows are sorted by time within each series. Of rows with the same time stamp the first is kept; if those that
    differ in a target are more than 1% of the rows, the data are refused.

    The frequency is that of the most common step, common to all series, in months, quarters, years, weeks and
    business days where these fit; months may have their stamps on any day. Each series gets a grid from its first
    to its last row; rows that are missing from it are added. If at least 90% of the stamps lie on the grid, the
    others move to the nearest place, or are dropped where it is taken; with fewer, or a grid of over 5 times the
    rows, the rows are kept in order as if equally spaced, and there is no frequency.

    Missing values (empty, NA, ?, null, -, …), infinite ones and rows that were added take the last value before
    them, or at the beginning of a series its first one, and are marked as not observed. Text in which every value
    is a number with thousands separators or a decimal comma is read as such; other text columns are left out.
    Series of one row, or without any value, are left out.

    Calendar features are sine and cosine of the hour of the day (steps below a day), the day of the week (a day or
    less), the day of the year (a month or less) or the month (months).

    Args:
        source: a path to .csv, .tsv, .txt (also with .gz), .parquet, .pq, .feather or .arrow; "example:NAME"; a
            DataFrame; a Series (its name is the target); an array, list or tensor (N,) or (N, C), of which all
            columns ("y", or "y0", "y1", …) that are no covariate are targets.
        target: column or columns; None: the example's own, or the only numeric column without another role.
        time: the column that holds the time.
        id: the column that names the series of each row (long format).
        past: covariates known up to now.
        future: covariates known into the future.
        calendar: add calendar features to the future covariates; None: no.
        train: train rows of each series, or their share of it: no row after them decides in what units float32 holds
            the targets. By default the first half of the rows decides.
        origin: what is subtracted from each target, if it was decided before: a saved model keeps its units.

    Raises:
        DataError: the data cannot be used; one line says why and what to do.
        UsageError: an unknown column, example or type, a column in two roles, a calendar without time stamps.
    """
    read = read_source(source)
    frame, time_index = tidy_frame(read.frame, read.path)
    covariates = as_names(past) + as_names(future)
    targets = as_names(target)
    if not targets and read.targets is not None:
        targets = tuple(name for name in read.targets if name not in (*covariates, time, id))
    roles = Roles(targets=targets, past=as_names(past), future=as_names(future), id=id)
    check_roles(list(frame.columns), roles, time)
    codes, names = series_of_rows(frame, id)
    taken = {*roles.names, *([id] if id is not None else [])}
    found = find_time(frame, named=time, index=time_index, taken=taken, ids=codes)
    used = taken | set(found.columns)
    if not targets:
        targets = default_targets(frame, used)
        roles = Roles(targets=targets, past=roles.past, future=roles.future, id=id)
        used = used | set(targets)
    repairs = Repairs(notes=[*read.notes, *found.notes])
    left_out = [name for name in frame.columns if name not in used and is_text(frame[name])]
    if left_out:
        repairs.notes.append(f"text columns were left out: {', '.join(left_out)}")
    return assemble(
        frame,
        roles,
        time=found,
        codes=codes,
        names=names,
        path=read.path,
        calendar=calendar,
        repairs=repairs,
        train=train,
        origin=origin,
    )


def split_known_future(series: SeriesSet) -> tuple[SeriesSet, torch.Tensor]:
    """Cut off the rows at the end of which only the future covariates are known.

    Those are the rows after the last in which any target of their series is observed. Without future covariates
    nothing is cut.

    Returns:
        The series without those rows, and their future covariates (S, K, F), K of them a series.

    Raises:
        DataError: the series have different numbers K of such rows.
    """
    width = len(series.future_names)
    if not width:
        return series, torch.zeros(series.n_series, 0, 0)
    observed = series.observed.any(dim=0)
    bounds = list(itertools.pairwise(series.offsets))
    ends = [start + int(observed[start:end].nonzero()[-1]) + 1 for start, end in bounds]
    known = [end - last for (_, end), last in zip(bounds, ends, strict=True)]
    if len(set(known)) > 1:
        low, high = known.index(min(known)), known.index(max(known))
        raise DataError(
            f"series {series.series[low]!r} ends with {known[low]} rows of future covariates alone and "
            f"{series.series[high]!r} with {known[high]}; give each series the same number"
        )
    ahead = [series.future[last:end] for (_, end), last in zip(bounds, ends, strict=True)]
    return (series.head(ends) if known[0] else series), torch.stack(ahead)
