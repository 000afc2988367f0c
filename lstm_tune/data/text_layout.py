"""Where the table of a text file begins: delimiter, lines before it, names of the columns.

Programs put titles, comments, units and blank lines before the rows. The beginning of a file is enough to see which
line is the first row of data: the first one whose cells are numbers and stamps in the columns where most rows have
them. What stands before it is the header.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from lstm_tune.data.number_format import MISSING_WORDS
from lstm_tune.data.time_text import looks_like_time
from lstm_tune.utils.text import counted

DELIMITERS = (",", ";", "\t", "|")
SPACES = r"\s+"
_ROWS = 200  # of the beginning that are looked at
_COMMENT = ("#", "%", "//")
_NUMBER = re.compile(r"\(?[+−-]?[€$£]?\s?[\d.,'’ \u00a0\u202f]*\d[\d.,]*(?:[eE][+-]?\d+)?\s?[%€$£]?\)?")
_MOST = 0.6  # share of the cells of a column that are alike, from which on the others are exceptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a text file is to be read."""

    delimiter: str  # or SPACES
    names: tuple[str, ...]  # of the columns
    first: int = 1  # lines of the file before the first row of data
    plain: bool = True  # the first line holds the names, and the rows follow
    notes: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()  # of the beginning, without the header

    @property
    def times(self) -> tuple[str, ...]:
        """Names of the columns that hold time stamps."""
        return tuple(name for i, name in enumerate(self.names) if _column_kind(self.rows, i) == "t")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    """The beginning of a file, cut at a delimiter."""

    delimiter: str
    rows: tuple[tuple[str, ...], ...]
    ends: tuple[int, ...]  # line of the file, from 1 on, that each row ends in
    width: int  # cells of most rows
    share: float  # of the rows that have so many
    clean: float  # share of their cells that are numbers, stamps, or words without another delimiter

    @property
    def quality(self) -> tuple[float, int]:
        """Of several tables the one with the highest quality is taken."""
        return (round(self.share * (0.3 + 0.7 * self.clean), 2) if self.width > 1 else 0.0, self.width)


def find_layout(beginning: str, *, whole: bool = True) -> Layout:
    """Return how a file is to be read.

    Args:
        beginning: its text, or as much of it as is looked at.
        whole: whether that is all of it; else its last line may be cut.
    """
    lines = [line.rstrip("\n") for line in io.StringIO(beginning, newline=None)]  # as files are read, line by line
    if not whole and len(lines) > 1:
        lines = lines[:-1]
    first, forced, comments = _skip_preamble(lines)
    body = lines[first:]
    if not any(line.strip() for line in body):
        return Layout(delimiter=DELIMITERS[0], names=("",))
    tables = [_cut(body, d, first) for d in ((forced,) if forced else DELIMITERS)]
    best = max(tables, key=lambda table: table.quality)
    if best.width <= 1 and not forced:
        spaced = _cut_at_spaces(body, first)
        best = spaced or _cut(body, DELIMITERS[0], first)
    start = _first_row(best)
    return _named(best, start, comments)


def _skip_preamble(lines: Sequence[str]) -> tuple[int, str, list[str]]:
    """Return how many lines precede all cells, the delimiter that one of them names, and the comments."""
    delimiter, comments, at = "", [], 0
    for at, line in enumerate(lines):  # noqa: B007
        named = re.fullmatch(r'"?sep=(.)"?', line.strip("\ufeff \r\n"), re.IGNORECASE)
        if named:
            delimiter = "\t" if named[1] == "t" else named[1]
        elif line.lstrip().startswith(_COMMENT) and not re.match(r"\s*#\s*[,;\t|]", line):
            comments.append(line.lstrip().lstrip("#%/").strip())
        elif line.strip():
            break
    else:
        at = len(lines)
    return at, delimiter, comments


def _cut(body: Sequence[str], delimiter: str, before: int) -> _Table:
    rows, ends = [], []
    reader = csv.reader((line + "\n" for line in body), delimiter=delimiter, skipinitialspace=delimiter != "\t")
    try:
        for row in reader:
            rows.append(tuple(cell.strip() for cell in row))
            ends.append(before + reader.line_num)
            if len(rows) >= _ROWS:
                break
    except csv.Error:  # a cell beyond the reader's limit: pandas says what is wrong with it
        pass
    return _measured(delimiter, rows, ends)


def _cut_at_spaces(body: Sequence[str], before: int) -> _Table | None:
    """Return a table of numbers that are apart by blanks, or None."""
    rows = [tuple(line.split()) for line in body[:_ROWS]]
    table = _measured(SPACES, rows, range(before + 1, before + 1 + len(rows)))
    filled = [row for row in rows if row]
    alike = sum(len(row) == table.width for row in filled)
    numbers = sum(bool(row) and _kind(row[-1]) in "n" for row in filled)
    good = table.width > 1 and alike == len(filled) and numbers >= max(1, len(filled) - 1)
    return table if good and not any('"' in cell for row in filled for cell in row) else None


def _measured(delimiter: str, rows: Sequence[tuple[str, ...]], ends: Sequence[int]) -> _Table:
    filled = [row for row in rows if any(row)]
    widths = Counter(len(row) for row in filled)
    width = max(widths, key=lambda w: (widths[w], w == len(filled[0]), w)) if widths else 1
    alike = [row for row in filled if len(row) == width]
    cells = [cell for row in alike[len(alike) // 3 :] for cell in row]
    clean = sum(_kind(cell) != "x" or not re.search("[,;|\t]", cell) for cell in cells) / max(1, len(cells))
    return _Table(
        delimiter=delimiter,
        rows=tuple(rows),
        ends=tuple(ends),
        width=width,
        share=len(alike) / max(1, len(filled)),
        clean=clean,
    )


def _kind(cell: str) -> str:
    """Return n for a number, t for a stamp, m for what stands for a missing value, x for other text."""
    if cell in MISSING_WORDS:
        return "m"
    if looks_like_time(cell):
        return "t"
    return "n" if len(cell) <= 64 and _NUMBER.fullmatch(cell) else "x"


def _first_row(table: _Table) -> int:
    """Return the index of the first row of data; as many as there are rows if there is none."""
    filled = [i for i, row in enumerate(table.rows) if any(row)]
    alike = [i for i in filled if len(table.rows[i]) == table.width]
    lower = [tuple(map(_kind, table.rows[i])) for i in alike[max(1, len(alike) // 3) :] or alike[1:]]
    if not lower:
        return filled[0] + 1 if filled else len(table.rows)
    usual = []
    for column in zip(*lower, strict=True):
        kinds = Counter(kind for kind in column if kind != "m")
        kind, count = kinds.most_common(1)[0] if kinds else ("m", 0)
        usual.append(kind if kind in "nt" and count >= _MOST * kinds.total() else "")
    for i in filled:
        cells = table.rows[i]
        kinds_here = list(map(_kind, cells))
        pairs = [(kind, want) for kind, want in zip(kinds_here, usual, strict=False) if want]
        numbers = [kind for kind, want in pairs if want == "n"]
        fits = all(kind in (want, "m") or (kind in "nt" and want in "nt") for kind, want in pairs)
        fits |= "n" in numbers and all(kind in "nm" for kind in numbers)  # of an unreadable time, which an error names
        fits |= len(cells) == table.width and ("t", "t") in pairs  # of an unreadable number
        if fits and any(kind == want for kind, want in pairs) and not _names_columns(cells, kinds_here):
            return i
    return filled[0] + 1  # no column of numbers or stamps: the first line names the columns


def _names_columns(cells: Sequence[str], kinds: Sequence[str]) -> bool:
    """Return whether numbers are names: 0, 1, 2, … as pandas writes them, or whole numbers in a row beside a word."""
    numbers = [cell for cell, kind in zip(cells, kinds, strict=True) if kind == "n"]
    if "t" in kinds or not numbers or not all(re.fullmatch(r"\d{1,4}", cell) for cell in numbers):
        return False
    counted = [int(cell) for cell in numbers]
    if counted == list(range(len(counted))):
        return True
    stepping = all(b - a == 1 for a, b in pairwise(counted))
    return "x" in kinds and stepping and (len(counted) > 1 or 1900 <= counted[0] <= 2100)


def _named(table: _Table, start: int, comments: Sequence[str]) -> Layout:
    """Return the layout of a table whose data begin in row `start`."""
    header = [(i, table.rows[i]) for i in range(start) if any(table.rows[i])]
    if not header and comments:
        last = comments[-1]
        cells = last.split() if table.delimiter == SPACES else next(csv.reader([last], delimiter=table.delimiter), [])
        if len(cells) == table.width and not all(_kind(cell) in "nt" for cell in cells):
            header = [(-1, tuple(cell.strip() for cell in cells))]
    notes: list[str] = []
    rows = table.rows[start:]
    if header:
        names, dropped = _names(header, table.width)
        if dropped:
            were = "was" if dropped == 1 else "were"
            notes.append(f"{counted(dropped, 'line')} before the data {were} left out (titles, units or more names)")
    else:
        kinds = [_column_kind(rows, column) for column in range(table.width)]
        names = _invented(kinds)
        notes.append(f"the file has no line of column names: the columns are called {', '.join(names)}")
    width = table.width
    full = [row for row in rows if len(row) == width]
    if len(names) == width - 1 and full:
        if not any(row[-1] for row in full):  # each line but the header ends with a delimiter
            names = (*names, "")
        elif _are_row_names([row[0] for row in full]):
            names = ("", *names)
    ends = table.ends
    first = ends[start - 1] if start else (ends[0] - 1 if ends else 0)
    plain = bool(header) and len(header) == 1 and header[0][0] == 0 and start == 1 and ends[0] == 1
    return Layout(
        delimiter=table.delimiter,
        names=names,
        first=first,
        plain=plain and len(header[0][1]) == len(names),
        notes=tuple(notes),
        rows=rows,
    )


def _names(header: Sequence[tuple[int, tuple[str, ...]]], width: int) -> tuple[tuple[str, ...], int]:
    """Return the names of the columns, and how many lines before the data play no part in them."""
    if len(header) == 1:
        return header[0][1], 0
    full = [cells for _, cells in header if sum(map(bool, cells)) >= max(2, width / 2) and len(cells) >= width - 1]
    if not full:
        return header[-1][1], len(header) - 1
    names, last = full[0], header[-1][1]
    used = {id(names)}
    if len(set(names)) < len(names):
        levels = [_carried(cells) for _, cells in header if sum(map(bool, cells)) >= 2]
        joined = (dict.fromkeys(filter(None, column)) for column in zip_longest(*levels, fillvalue=""))
        names = tuple(" ".join(column) for column in joined)
        used |= {id(cells) for _, cells in header if sum(map(bool, cells)) >= 2}
    filled = [bool(cell) for cell in last]
    if filled[0] and filled == sorted(filled, reverse=True) and not filled[-1] and id(last) not in used:
        # pandas writes the names of the index alone into the last line
        names = tuple(new or old for new, old in zip_longest(last, names, fillvalue=""))
        used.add(id(last))
    return names, len(header) - len(used)


def _are_row_names(cells: Sequence[str]) -> bool:
    """Return whether the cells of a column without a name name or count rows, as R writes them."""
    if all(re.fullmatch(r"\d+", cell) for cell in cells):
        return [int(cell) for cell in cells[:2]] == [1, 2]
    return not any(_NUMBER.fullmatch(cell) for cell in cells)


def _carried(cells: Sequence[str]) -> list[str]:
    """Return cells in which a blank one takes the word on its left: what spreadsheets merge."""
    carried: list[str] = []
    for cell in cells:
        carried.append(cell or (carried[-1] if carried else ""))
    return carried


def _column_kind(rows: Sequence[Sequence[str]], column: int) -> str:
    kinds = Counter(_kind(row[column]) for row in rows if len(row) > column)
    kinds.pop("m", None)
    return kinds.most_common(1)[0][0] if kinds else "n"


def _invented(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return names for columns without any: time, id and y, counted if there are several of a kind."""
    words = [{"t": "time", "x": "id"}.get(kind, "y") for kind in kinds]
    total, seen, names = Counter(words), Counter[str](), []
    for word in words:
        names.append(word if total[word] == 1 else f"{word}{seen[word]}")
        seen[word] += 1
    return tuple(names)
