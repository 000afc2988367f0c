"""Numbers written as text: which mark is the decimal one and which one separates thousands.

A column is read in one way. Words that can be read in one way alone decide for their column, other columns of the
file decide for a column without such words, then a saved model's reading, then the delimiter of the file. A word that
fits into neither reading is never turned into a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.errors import DataError, UsageError

_ABSENT_WORDS = ("", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "-NaN", "NULL", "null", "None", "none", "nil", "NaT")
_ABSENT_SIGNS = ("?", "-", "--", "–", ".", "*", "#N/A", "#N/A N/A", "#NA", "<NA>")
_SPREADSHEET_ERRORS = ("#VALUE!", "#DIV/0!", "#REF!", "#NAME?", "#NUM!", "#NULL!")
_GERMAN_FRENCH_ERRORS = ("#NV", "#WERT!", "#BEZUG!", "#ZAHL!", "#N/D", "#VALEUR!", "#NOMBRE!")
_ABSENT_FLOATS = ("1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN")
MISSING_WORDS = (
    *_ABSENT_WORDS,
    "missing",
    *_ABSENT_SIGNS,
    *_SPREADSHEET_ERRORS,
    *_GERMAN_FRENCH_ERRORS,
    *_ABSENT_FLOATS,
)

_MARKS = {",": "comma", ".": "dot"}
_SPACES = "[ \u00a0\u2009\u202f]"
_GROUPED_BY_OTHERS = rf"(?<=\d)(?:{_SPACES}|['’])(?=\d{{3}}(?!\d))"  # 1 234 or 1'234: nothing but thousands
_UNIT_BEFORE = rf"^([+-]?)(?:{_SPACES}|[€$£¥])+"
_UNIT_AFTER = rf"(?:{_SPACES}|[€$£¥%])+$"
_MINUS_AROUND = r"^\(([^()+-]+)\)$|^([^()+-]+)-$"  # (12.50) or 12.50-, as accountants and SAP write -12.50
_SIZE = 3.0  # numbers whose ratio is less are of one size


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberFormat:
    """How the numbers of a column are written."""

    decimal: str = "."
    thousands: str = ","

    def __post_init__(self) -> None:
        if self.decimal not in _MARKS or self.thousands not in ("", ",", ".", " ", "'"):
            raise UsageError(
                f"the decimal mark must be . or , and the thousands separator one of , . ' or a space, "
                f"but they are {self.decimal!r} and {self.thousands!r}"
            )
        if self.decimal == self.thousands:
            raise UsageError(f"{self.decimal!r} cannot be the decimal mark and the thousands separator; change one")


POINT = NumberFormat(decimal=".", thousands=",")
COMMA = NumberFormat(decimal=",", thousands=".")


def chosen_format(decimal: str | None, thousands: str | None) -> NumberFormat | None:
    """Return the format that a user named by one mark or both; None: nothing was named.

    Raises:
        UsageError: marks that are none, or the same one twice.
    """
    if decimal is None and thousands is None:
        return None
    if decimal is None:
        decimal = "," if thousands == "." else "."
    return (
        NumberFormat(decimal=decimal, thousands="," if decimal == "." else ".")
        if thousands is None
        else (NumberFormat(decimal=decimal, thousands=thousands))
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the words of a column allow their marks to be."""

    comma_decimal: bool = False  # a comma that can only be the decimal mark: 0,123 or 1,5
    comma_thousands: bool = False  # commas that can only separate thousands: 1,234,567
    comma_either: str = ""  # the first word such as 1,234
    dot_decimal: bool = False
    dot_thousands: bool = False
    dot_either: str = ""
    ungrouped: bool = False  # a whole number of four digits or more without a separator
    like_whole: str = ""  # reading in which words such as 1,234 are of the size of the whole numbers beside them
    example: str = ""  # the first word with a mark

    @property
    def is_mixed(self) -> bool:
        """Whether no single reading fits."""
        comma = self.comma_decimal or self.dot_thousands
        return comma and (self.comma_thousands or self.dot_decimal)

    @property
    def reading(self) -> NumberFormat | None:
        """What the column itself decides; None: both readings fit."""
        if self.comma_decimal or self.dot_thousands:
            return COMMA
        if self.comma_thousands or self.dot_decimal:
            return POINT
        return None

    @property
    def is_ambiguous(self) -> bool:
        """Whether there is a mark, and both readings fit."""
        return self.reading is None and bool(self.comma_either or self.dot_either)


def cleaned(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return text without blanks around it, units of money, percent signs and unmistakable separators; NA if missing.

    What is taken away leaves the size of the number as it is written: 12% becomes 12. (12) and 12- become -12.
    """
    text = column.astype("string").str.strip()
    text = text.mask(text.isin(MISSING_WORDS))
    odd = text.str.contains(r"[^0-9.,eE+-]|[0-9.,]-$", regex=True, na=False)
    if odd.any():
        words = _without_units(text[odd].str.replace("−", "-", regex=False))
        words = _without_units(words.str.replace(_MINUS_AROUND, r"-\1\2", regex=True))
        text = text.copy()
        text[odd] = words.str.replace(_GROUPED_BY_OTHERS, "", regex=True)
    return text


def _without_units(words: pd.Series[Any]) -> pd.Series[Any]:
    return words.str.replace(_UNIT_BEFORE, r"\1", regex=True).str.replace(_UNIT_AFTER, "", regex=True)


def weigh(text: pd.Series[Any]) -> Evidence:
    """Return what the words (N,) of a column, `cleaned`, allow."""
    words = text.dropna()
    marked = words[words.str.contains("[.,]", regex=True)]
    bare = marked.str.replace(r"^[+-]", "", regex=True)
    comma, dot = bare.str.contains(",", regex=False), bare.str.contains(".", regex=False)
    found: dict[str, Any] = {"example": str(marked.iloc[0]) if len(marked) else ""}
    for mark, name in _MARKS.items():
        alone = bare[(comma if mark == "," else dot) & ~(dot if mark == "," else comma)]
        m = "\\" + mark
        one = alone.str.fullmatch(rf"[1-9]\d{{0,2}}{m}\d{{3}}")
        many = alone.str.fullmatch(rf"[1-9]\d{{0,2}}(?:{m}\d{{3}}){{2,}}|[1-9]\d?(?:{m}\d{{2}})+{m}\d{{3}}")
        rest = alone[~one & ~many]
        found[f"{name}_either"] = str(alone[one].iloc[0]) if one.any() else ""
        found[f"{name}_thousands"] = bool(many.any())
        found[f"{name}_decimal"] = bool(rest.str.fullmatch(rf"\d*{m}\d*(?:[eE][+-]?\d+)?").any())
        found["like_whole"] = found.get("like_whole") or _like_whole(words, alone[one], mark)
    both = bare[comma & dot]
    if both.str.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d*").any():
        found["comma_decimal"] = True
    if both.str.fullmatch(r"\d{1,3}(?:,\d{2,3})*,\d{3}\.\d*").any():
        found["dot_decimal"] = True
    found["ungrouped"] = bool(words.str.fullmatch(r"[+-]?[1-9]\d{3,}").any())
    return Evidence(**found)


def _like_whole(words: pd.Series[Any], grouped: pd.Series[Any], mark: str) -> str:
    """Return the reading of words such as 1,234 in which they have the size of the whole numbers in their column.

    In a column of 2 and 2,190 the comma is a decimal one, and in one of 950 and 1,130 it separates thousands.
    """
    whole = words[words.str.fullmatch(r"[1-9]\d{0,2}")]
    if not len(grouped) or not len(whole):
        return ""
    usual = float(np.median(whole.astype("float64")))
    large = float(np.median(grouped.str.replace(mark, "", regex=False).astype("float64")))
    near = [max(usual, size) / min(usual, size) < _SIZE for size in (large / 1000, large)]
    return "" if near[0] == near[1] else "decimal" if near[0] else "thousands"


def parse(text: pd.Series[Any], form: NumberFormat) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return text (N,), `cleaned`, as numbers, NaN if missing, and which words are no numbers of this format."""
    words = text
    if form.thousands:
        t, d = "\\" + form.thousands, "\\" + form.decimal
        grouped = words.str.fullmatch(rf"[+-]?\d{{1,3}}(?:{t}\d{{2,3}})*{t}\d{{3}}(?:{d}\d*)?").fillna(False)
        if grouped.any():
            words = words.mask(grouped, words.str.replace(form.thousands, "", regex=False))
    if form.decimal == ",":
        points = words.str.contains(".", regex=False).fillna(False)
        words = words.mask(points, "a point").str.replace(",", ".", regex=False)
    numbers: pd.Series[Any] = pd.to_numeric(words.astype(object), errors="coerce")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    unread = np.isnan(values) & np.asarray(text.notna(), dtype=np.bool_)
    return values, unread


@dataclass(frozen=True, kw_only=True, slots=True)
class Clues:
    """What is known of a file before its columns are looked at."""

    chosen: NumberFormat | None = None  # by the user
    kept: Mapping[str, NumberFormat] | None = None  # by a saved model, for each column
    delimiter: str = ","
    dotted_dates: bool = False  # dates such as 31.12.2024
    others: tuple[Evidence, ...] = ()  # of columns of numbers that play no part


def choose_formats(columns: Mapping[str, Evidence], clues: Clues) -> dict[str, tuple[NumberFormat, str]]:
    """Choose how each column is read, and say what was assumed.

    Args:
        columns: those that hold text with marks.
        clues: of the file.

    Returns:
        {column: (format, note)}; the note is "" if the words themselves decide.

    Raises:
        DataError: a column whose words fit into no single reading.
    """
    own = {evidence.reading for evidence in (*columns.values(), *clues.others)} - {None}
    file = own.pop() if len(own) == 1 else None
    chosen: dict[str, tuple[NumberFormat, str]] = {}
    for name, evidence in columns.items():
        if clues.chosen is not None:
            chosen[name] = (clues.chosen, "")
            continue
        if evidence.is_mixed:
            raise DataError(
                f"column {name!r} mixes decimal commas and decimal points (first {evidence.example!r}); "
                "write all of them in one way"
            )
        form = evidence.reading or _guess(name, evidence, file, clues)
        chosen[name] = (form, _note(name, evidence, form))
    return chosen


def _guess(name: str, evidence: Evidence, file: NumberFormat | None, clues: Clues) -> NumberFormat:
    """Return the likelier reading of a column whose words fit into both."""
    if clues.kept is not None and name in clues.kept:
        return clues.kept[name]
    if file is not None:
        return file
    if evidence.like_whole:
        comma = evidence.like_whole == "decimal" if evidence.comma_either else evidence.like_whole == "thousands"
        return COMMA if comma else POINT
    if evidence.comma_either and (evidence.ungrouped or clues.delimiter == ";" or clues.dotted_dates):
        return COMMA  # files of countries with a decimal comma have another delimiter
    return POINT


def _other(form: NumberFormat) -> NumberFormat:
    return NumberFormat(decimal="." if form.decimal == "," else ",", thousands="," if form.decimal == "," else ".")


def _note(name: str, evidence: Evidence, form: NumberFormat) -> str:
    """Return how a column was read; "" if there is nothing but decimal points that can be nothing else."""
    commas = bool(evidence.comma_either) or evidence.comma_decimal or evidence.comma_thousands
    mark, plural = (",", "commas") if commas else (".", "points")
    is_decimal = mark == form.decimal
    if not evidence.is_ambiguous and is_decimal and mark == ".":
        return ""
    role = f"decimal {plural}" if is_decimal else "thousands separators"
    said = f"column {name!r}: {plural} were read as {role}"
    if not evidence.is_ambiguous:
        return said
    word = evidence.comma_either or evidence.dot_either
    read, not_read = (float(parse(pd.Series([word], dtype="string"), f)[0][0]) for f in (form, _other(form)))
    other = f'thousands="{mark}"' if is_decimal else f'decimal="{mark}"'
    return f"{said} ({word} is {read:.15g}, not {not_read:.15g}); if that is wrong, pass {other}"
