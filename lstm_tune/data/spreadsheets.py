"""Sheets of a workbook (Excel, OpenDocument) as text, so that the rules of text files hold for them, too."""

from __future__ import annotations

import csv
import datetime
import zipfile
from pathlib import Path
from typing import Any

from lstm_tune.data.text_files import memory_limit
from lstm_tune.errors import DataError, UsageError
from lstm_tune.utils.text import did_you_mean, joined, listed

SPREADSHEET_ENDINGS = (".xlsx", ".xlsm", ".xls", ".ods")


def split_sheet(path: str) -> tuple[str, str | None]:
    """Return the file and the sheet of `FILE.xlsx#Sheet`; None: no sheet is named."""
    file, mark, sheet = path.rpartition("#")
    named = mark and file.lower().endswith(SPREADSHEET_ENDINGS) and not Path(path).exists()
    return (file, sheet) if named else (path, None)


def write_sheet(file: Path, sheet: str | None, out: Path) -> tuple[str, ...]:
    """Write one sheet as comma-separated text in UTF-8, and return a note on the choice.

    Args:
        file: the workbook.
        sheet: its name; None: the first one that holds something.
        out: the text file.

    Raises:
        UsageError: the package that reads workbooks is not installed.
        DataError: there is no such sheet, the workbook is damaged, or more than fits into memory.
    """
    try:
        import python_calamine
    except ImportError:
        raise UsageError(
            "spreadsheets need the package python-calamine: pip install 'lstm-tune[excel]', or save the sheet as CSV"
        ) from None
    _check_size(file)
    try:
        with python_calamine.CalamineWorkbook.from_path(file) as book:
            name, notes = _choose(book, sheet, file)
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file} cannot be read as a spreadsheet ({reason}); save the sheet as CSV") from None
    with out.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([_cell(cell) for cell in row] for row in rows)
    return notes


def _check_size(file: Path) -> None:
    """Refuse a packed workbook that unpacks to a large part of the machine's memory."""
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as packed:
        size = sum(part.file_size for part in packed.infolist())
    if size > memory_limit():
        raise DataError(f"{file} unpacks to {size / 1e9:.1f} GB, over a quarter of this machine's memory; cut it up")


def _choose(book: Any, sheet: str | None, file: Path) -> tuple[str, tuple[str, ...]]:
    names = book.sheet_names
    if sheet is not None and sheet not in names:
        raise DataError(f"{file} has no sheet {sheet!r}, but {listed(names)}{did_you_mean(sheet, names)}")
    full = [name for name in names if book.get_sheet_by_name(name).height]
    if sheet is not None or not full:
        return sheet or names[0], ()
    others = [repr(name) for name in full[1:6]]
    rest = f"the sheet {full[0]!r} was read, not {joined(others)}; {file.name}#NAME reads another one"
    return full[0], (rest,) if others else ()


def _cell(value: Any) -> str:
    """Return a cell as text that is read in one way alone."""
    match value:
        case bool():
            return str(value)
        case float():
            text = str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
            return f"{text}0" if text[-4:-3] == "." else text  # 1.234 might be a thousand and more
        case datetime.datetime():
            return value.isoformat(sep=" ")
    return str(value)
