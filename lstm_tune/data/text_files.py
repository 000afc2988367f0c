"""Text files as frames: encoding, compression, layout; numbers that need no reading are numbers already."""

from __future__ import annotations

import gzip
import os
import re
import warnings
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lstm_tune.data.number_format import MISSING_WORDS, NumberFormat
from lstm_tune.data.text_layout import Layout, find_layout
from lstm_tune.errors import DataError
from lstm_tune.utils.text import counted

_LONGEST_LINES = 1 << 24  # bytes of the first two lines
BEGINNING = 1 << 16  # bytes that the layout is found in
_LARGEST_SHARE = 0.25  # of the memory of the machine, that a file may have unpacked
_MARKED = re.compile(r"[+-]?[€$£]?\s?\d*[\d.,'’ \u00a0\u202f]*[,'’ \u00a0\u202f]\d[\d.,]*\s?[%€$£]?")
_LOCAL = (";", "\t", "|")  # delimiters of files in which a comma or point may be either mark
_SMALL = 2**25  # bytes of a file that is read as text as a whole
_NAMELESS = re.compile(r"Unnamed: \d+")
_DOTTED = re.compile(r"\d{1,2}\.\d{1,2}\.\d{2,4}\b")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TextTable:
    """The table of a text file."""

    frame: pd.DataFrame
    delimiter: str
    dotted_dates: bool  # whether dates such as 31.12.2024 are in it
    notes: tuple[str, ...] = ()


def read_text(file: Path, path: str, *, ids: Collection[str] = (), form: NumberFormat | None = None) -> TextTable:
    """Read a text file, also a compressed one.

    Columns of plain numbers become numbers; other columns stay text, and so do all columns with marks in a file that
    may have decimal commas.

    Args:
        file: exists.
        path: what the user named.
        ids: columns whose text is kept to the letter, such as 001 and NA.
        form: of the numbers, if the user named one.

    Raises:
        DataError: two columns of one name, or more than fits into memory.
        Exception: whatever pandas, `csv` and `gzip` say of a damaged file.
    """
    if file.suffix.lower() == ".gz":
        _check_size(file, path)
    beginning, encoding, notes, whole = _decode(file, path)
    layout = find_layout(beginning, whole=whole)
    _check_names(layout.names, path)
    small = layout.delimiter in _LOCAL and file.stat().st_size <= _SMALL
    as_text = form is not None or small or _may_be_ambiguous(layout)
    frame, late = _read(file, layout, encoding, ids, as_text)
    if not as_text and any(_has_commas(frame[name]) for name in frame.columns if name not in ids):
        frame, late = _read(file, layout, encoding, ids, True)
    frame = frame[[name for name in frame.columns if not (_NAMELESS.fullmatch(name) and frame[name].isna().all())]]
    frame, blank = _without_blank_rows(frame)
    if blank:
        notes += (f"{counted(blank, 'blank row')} {'was' if blank == 1 else 'were'} left out",)
    dotted = any(_DOTTED.match(cell) for row in layout.rows[:20] for cell in row)
    return TextTable(frame=frame, delimiter=layout.delimiter, dotted_dates=dotted, notes=layout.notes + notes + late)


def _check_size(file: Path, path: str) -> None:
    """Refuse a compressed file that is a small part of what it unpacks to, before memory is taken for it.

    Raises:
        DataError: it would fill a quarter of the machine's memory.
    """
    most = memory_limit()
    if file.stat().st_size * 1032 < most:  # no gzip file unpacks to more
        return
    size = 0
    with gzip.open(file) as stream:
        while piece := stream.read(2**24):
            size += len(piece)
            if size > most:
                raise DataError(
                    f"{path} unpacks to more than {most / 1e9:.1f} GB, a quarter of this machine's memory; "
                    "cut it into smaller files"
                )


def memory_limit() -> int:
    """Return the bytes that a file may unpack to: a quarter of the machine's memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 2**34
    return int(memory * _LARGEST_SHARE)


def _decode(file: Path, path: str) -> tuple[str, str, tuple[str, ...], bool]:
    """Return the beginning of a file as text, its encoding, a note on it, and whether it is all."""
    with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as stream:
        content = stream.read(BEGINNING)
        while content.count(b"\n") < 2 and len(content) < _LONGEST_LINES and (more := stream.read(BEGINNING)):
            content += more  # very many columns
        whole = not stream.read(1)
    for mark, what in _NO_TABLES.items():
        if content.lstrip()[: len(mark)].lower() == mark:
            raise DataError(f"{path} is {what}")
    if content[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return content.decode("utf-32", errors="replace"), "utf-32", (), whole
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace"), "utf-16", (), whole
    if b"\0" in content.split(b"\n", 1)[0]:
        raise DataError(f"{path} is no text file, or one in UTF-16 without a mark; save it as UTF-8")
    try:
        content[: len(content) if whole else content.rfind(b"\n") + 1 or None].decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), "cp1252", (_WESTERN,), whole
    return content.decode("utf-8-sig", errors="replace"), "utf-8-sig", (), whole


# How files begin that are called like a text file and hold something else.
_NO_TABLES = {
    b"\x1f\x8b": "compressed (gzip); call it .gz, or unpack it",
    b"pk\x03\x04": "a spreadsheet or a ZIP file; call it .xlsx, or unpack it",
    b"\x89png": "an image; export the table as CSV",
    b"%pdf": "a PDF file; export the table as CSV",
    b"<!doctype": "a web page; download the file that it links to",
    b"<html": "a web page; download the file that it links to",
    b"<?xml": "an XML file; convert it to CSV",
    b"{": "a JSON file; convert it to CSV",
    b"[{": "a JSON file; convert it to CSV",
}
_WESTERN = "the file is not in UTF-8 and was read as Windows-1252"


def _check_names(names: tuple[str, ...], path: str) -> None:
    twice = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if twice:  # pandas would rename the second one, and nobody would know
        raise DataError(f"{path} has more than one column {twice[0]!r}; rename all but one")


def _may_be_ambiguous(layout: Layout) -> bool:
    """Return whether the beginning holds numbers with commas or the like, or points that may separate thousands."""
    cells = (cell for row in layout.rows for cell in row)
    grouped = layout.delimiter in _LOCAL
    return any(_MARKED.fullmatch(cell) or (grouped and _GROUPED.fullmatch(cell)) for cell in cells)


def _has_commas(column: pd.Series[Any]) -> bool:
    if not (pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)):
        return False
    text = column.dropna().astype("string")
    return bool(text.str.fullmatch(r"[+-]?[\d.]*,\d[\d.,]*").any())


def _read(
    file: Path, layout: Layout, encoding: str, ids: Collection[str], as_text: bool
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a file; if it proves to be in another encoding later on, read it again in that one and note it."""
    for attempt in (encoding, "cp1252", "latin-1"):
        try:
            frame = _read_csv(file, layout, attempt, ids, as_text)
        except UnicodeDecodeError:
            continue
        late = encoding == "utf-8-sig" and attempt != encoding
        return _numbers(frame, ids) if as_text else frame, (_WESTERN,) if late else ()
    raise AssertionError("Latin-1 reads every byte")


def _read_csv(file: Path, layout: Layout, encoding: str, ids: Collection[str], as_text: bool) -> pd.DataFrame:
    names = [name or f"Unnamed: {i}" for i, name in enumerate(layout.names)]
    kept = {name for name in names if name in ids}
    text = names if as_text else [*kept, *layout.times]
    missing: Any = list(MISSING_WORDS) if not kept else {n: [""] if n in kept else list(MISSING_WORDS) for n in names}
    opening = gzip.open if file.suffix.lower() == ".gz" else open
    with warnings.catch_warnings(), opening(file, "rt", encoding=encoding) as stream:
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        for _ in range(0 if layout.plain else layout.first):
            stream.readline()  # pandas would take a quote in a title for the beginning of a cell
        return pd.read_csv(
            stream,
            sep=layout.delimiter,
            names=None if layout.plain else names,
            header=0 if layout.plain else None,
            index_col=False,
            skipinitialspace=True,
            na_values=missing,
            keep_default_na=not kept,
            dtype=dict.fromkeys(text, str) if text else None,
            low_memory=False,
        )


def _numbers(frame: pd.DataFrame, ids: Collection[str]) -> pd.DataFrame:
    """Turn columns of text without any mark but a decimal point, and without leading zeros, into numbers."""
    for name in frame.columns:
        text = frame[name].dropna()
        if name in ids or not len(text):
            continue
        plain = text.astype("string").str.strip().str.fullmatch(r"[+-]?\d+(?:[eE][+-]?\d+)?")
        if plain.all():
            frame[name] = pd.to_numeric(frame[name])
    return frame


def _without_blank_rows(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Leave out rows without a single cell, and return how many; a single column may well have missing values."""
    if frame.shape[1] < 2:
        return frame, 0
    blank = frame.isna().all(axis=1)
    count = int(blank.sum())
    return (frame[~blank].reset_index(drop=True), count) if count and count < len(frame) else (frame, 0)
