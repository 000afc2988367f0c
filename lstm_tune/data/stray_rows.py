"""Rows below or between the data that are none: totals, means, sources, remarks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.time_words import plain_word
from lstm_tune.utils.text import counted

Bools = NDArray[np.bool_]

_TOTALS = re.compile(
    r"(?:grand |sub|zwischen|gesamt|end)?(?:total|totals|totale|total general|totaal|sum|summe|somme|suma|soma|somma"
    r"|gesamt|insgesamt|ergebnis|mean|average|avg|mittelwert|mittel|durchschnitt|moyenne|media|promedio|gemiddelde"
    r"|median|count|anzahl|std|min|max)\b.*"
)


def is_text(column: pd.Series[Any]) -> bool:
    """Return whether a column holds text or objects."""
    return bool(pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype))


def stray_rows(frame: pd.DataFrame, time: Sequence[str], unread: Bools) -> tuple[Bools, tuple[str, ...]]:
    """Return which rows (N,) without a readable time can be left out, and the sentences that say so.

    A row can go whose other cells are all blank, and so can one that a word in it names a total or a mean. A row
    with values and without a time is never one of them.

    Args:
        frame: N rows.
        time: columns that the time is read from.
        unread: (N,) rows whose time cannot be read.
    """
    dropped = np.zeros(len(frame), dtype=np.bool_)
    if not unread.any():
        return dropped, ()
    rows = frame[unread]
    empty = rows.drop(columns=list(time)).isna().all(axis=1).to_numpy(dtype=bool)
    words = [name for name in frame.columns if is_text(frame[name])]
    total = np.zeros(len(rows), dtype=np.bool_)
    for name in words:
        total |= np.array([_is_total(cell) for cell in rows[name]], dtype=np.bool_)
    if len(rows.columns) == len(time):
        empty = np.zeros(len(rows), dtype=np.bool_)
    dropped[unread] = empty | total
    if not dropped.any():
        return dropped, ()
    return dropped, (_said(frame, words, dropped),)


def _is_total(cell: object) -> bool:
    return isinstance(cell, str) and _TOTALS.fullmatch(plain_word(cell.strip())) is not None


def _said(frame: pd.DataFrame, words: Sequence[str], dropped: Bools) -> str:
    count, last = int(dropped.sum()), int(np.flatnonzero(dropped)[0])
    cells = [str(cell) for cell in frame[list(words)].iloc[last] if isinstance(cell, str) and cell.strip()]
    where = " at the end" if bool(dropped[len(dropped) - count :].all()) else ""
    first = f" (first {cells[0][:40]!r})" if cells else ""
    were = "were" if count > 1 else "was"
    return f"{counted(count, 'row')}{where} {were} left out: no time stamp, but a total or a remark{first}"
