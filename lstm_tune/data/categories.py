"""Covariates that are words: a vocabulary from the train rows, and a number for each word in it.

The code of a word is its place in the vocabulary, from 1; 0 stands for every word that no train row holds. An empty
cell is a word, too ("no holiday"), but for covariates that do not change within a series: there a value is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.columns import Floats, is_mostly_numbers, is_numeric
from lstm_tune.data.number_format import MISSING_WORDS, Clues
from lstm_tune.data.stray_rows import is_text
from lstm_tune.errors import DataError
from lstm_tune.utils.text import counted

UNKNOWN = 0.0
MOST_CATEGORIES = 10_000
_NAMED = 3  # unknown words, in a sentence

Vocabulary = Mapping[str, tuple[str, ...]]  # {column: its words, sorted}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Coded:
    """A column of words as numbers."""

    codes: Floats  # (N,) place in `words` from 1; 0: no word, or one that is not among them
    words: tuple[str, ...]
    note: str = ""


def category_columns(
    frame: pd.DataFrame, covariates: Sequence[str], marked: frozenset[str], clues: Clues, known: Vocabulary | None
) -> tuple[str, ...]:
    """Return the covariates that are categories: those that a model knows as such, or text that is no number.

    Args:
        frame: the source.
        covariates: columns that may be categories.
        marked: columns that are of pandas' type `category`.
        clues: to how numbers are written.
        known: of a saved model; None: the data decide.
    """
    if known is not None:
        return tuple(name for name in covariates if name in known)
    return tuple(name for name in covariates if name in marked or _is_words(frame[name], clues))


def _is_words(column: pd.Series[Any], clues: Clues) -> bool:
    if not is_text(column) or pd.api.types.infer_dtype(column, skipna=True) in ("boolean", "empty"):
        return False
    return not is_numeric(column, clues) and not is_mostly_numbers(column)


def read_categories(name: str, column: pd.Series[Any], words: Sequence[str] | None, *, static: bool) -> Coded:
    """Read a column as categories.

    Args:
        name: of the column.
        column: (N,).
        words: the vocabulary; None: all words of the column, until `keep_trained` knows the train rows.
        static: whether it does not change within a series.

    Raises:
        DataError: it holds no word at all.
    """
    text = _as_text(column)
    if text.isna().all() and words is None:
        raise DataError(f"column {name!r} holds no value at all ({counted(len(text), 'row')}); choose another column")
    if not static:
        text = text.fillna("")
    found = sorted(text.dropna().unique().tolist())
    kept = tuple(found if words is None else words)
    places = {word: i + 1.0 for i, word in enumerate(kept)}
    new = [word for word in found if word and word not in places]  # rows to forecast have empty cells
    note = ""
    if new:
        shown = ", ".join(map(repr, new[:_NAMED])) + (", …" if len(new) > _NAMED else "")
        note = f"column {name!r} holds {counted(len(new), 'word')} that the model was not trained on ({shown}): unknown"
    codes = text.map(places).fillna(UNKNOWN).to_numpy(np.float64)
    return Coded(codes=codes, words=kept, note=note)


def _as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return words without blanks around them, NA if there is none; whole numbers without a decimal point."""
    if pd.api.types.is_float_dtype(column.dtype) and bool((column.dropna() % 1 == 0).all()):
        column = column.astype("Int64")
    text = column.astype("string").str.strip()
    return text.mask(text.isin(MISSING_WORDS)) if is_text(column) else text


def keep_trained(
    name: str, codes: Floats, words: Sequence[str], train: Sequence[tuple[int, int]]
) -> tuple[Floats, tuple[str, ...]]:
    """Return codes and vocabulary of the words that the train rows hold; all others become unknown.

    Args:
        name: of the column.
        codes: (N,) places in `words` from 1, NaN in rows that are to be filled.
        words: of all rows.
        train: rows [start, end) of each series.

    Raises:
        DataError: there are too many, or none.
    """
    seen: NDArray[Any] = np.unique(np.concatenate([codes[a:b] for a, b in train]))
    seen = seen[np.isfinite(seen) & (seen > 0)].astype(np.int64)
    if not len(seen):
        raise DataError(f"column {name!r} has no value in the train rows; leave it out or choose another split")
    if len(seen) > MOST_CATEGORIES:
        raise DataError(
            f"column {name!r} has {len(seen):,} different words in the train rows, above the {MOST_CATEGORIES:,} that "
            f"can be learned; put the rare ones together, or leave it out"
        )
    place = np.zeros(len(words) + 1)
    place[seen] = np.arange(1, len(seen) + 1)
    there = np.isfinite(codes)
    moved = np.where(there, place[np.where(there, codes, 0).astype(np.int64)], np.nan)
    return moved, tuple(words[i - 1] for i in seen)


def fill_static(
    name: str, values: Floats, codes: NDArray[np.int64] | None, blank: float, series: Sequence[str]
) -> Floats:
    """Return a column (N,) that does not change within a series, with that value in all rows of the series.

    Args:
        name: of the column.
        values: (N,).
        codes: (N,) number of the series of each row; None: there is one.
        blank: what a missing value becomes: NaN or `UNKNOWN`.
        series: names.

    Raises:
        DataError: it changes within a series.
    """
    groups = np.zeros(len(values), dtype=np.int64) if codes is None else codes
    there = ~np.isnan(values) if np.isnan(blank) else values != blank
    low, high = np.full(len(series), np.inf), np.full(len(series), -np.inf)
    np.minimum.at(low, groups[there], values[there])
    np.maximum.at(high, groups[there], values[there])
    changing = np.flatnonzero(low < high)
    if len(changing):
        which = f" in series {series[changing[0]]!r}" if series[changing[0]] else ""
        more = f" and {len(changing) - 1:,} more" if len(changing) > 1 else ""
        raise DataError(f"column {name!r} is named as static, but changes{which}{more}; name it as past= or future=")
    return np.where(np.isfinite(low), low, blank)[groups]
