"""Sheets of workbooks: cells, sheets, titles, and workbooks that cannot be read."""

from __future__ import annotations

import datetime
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from lstm_tune.data import spreadsheets
from lstm_tune.data.load import load_series
from lstm_tune.data.readers import read_file
from lstm_tune.errors import DataError, UsageError

VALUES = [1.234, 2.345, 1500.0, 0.123456789012, -1e-9, 7.0]


def days(values: Sequence[Any] = VALUES) -> list[list[Any]]:
    """Rows of a date and a value."""
    return [[datetime.datetime(2024, 1, 1) + datetime.timedelta(days=i), value] for i, value in enumerate(values)]


def workbook(path: Path, **sheets: Sequence[Sequence[Any]]) -> Path:
    """Write sheets of rows."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def test_numbers_and_dates_arrive_to_the_digit(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx", data=[["day", "y"], *days()])
    series = load_series(file)
    assert (series.values[0].double() + series.origin[0]).tolist() == pytest.approx(VALUES, rel=1e-6)
    assert str(series.times[0])[:10] == "2024-01-01"
    frame = read_file(str(file)).frame
    assert pd.to_numeric(frame["y"]).tolist() == VALUES


def test_titles_above_and_totals_below_are_left_out(tmp_path: Path) -> None:
    rows = [["Sales 2024"], [], ["day", "y"], *days(), ["Total", sum(VALUES)]]
    series = load_series(workbook(tmp_path / "a.xlsx", data=rows))
    assert len(series.times) == len(VALUES)
    assert series.targets == ("y",)


def test_missing_cells_and_errors_of_formulas_are_missing(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx", data=[["day", "y"], *days([1.0, None, 3.0, "#N/A", 5.0, 6.0])])
    assert load_series(file).observed[0].tolist() == [True, False, True, False, True, True]


def test_a_sheet_is_chosen_by_its_name(tmp_path: Path) -> None:
    second = days([v + 1 for v in VALUES])
    file = workbook(tmp_path / "a.xlsx", empty=[], first=[["day", "y"], *days()], second=[["day", "y"], *second])
    assert read_file(f"{file}#second").frame["y"].tolist() == [v + 1 for v in VALUES]
    found = read_file(str(file))
    assert found.frame["y"].tolist() == VALUES
    assert any("sheet 'first' was read, not 'second'; a.xlsx#NAME" in note for note in found.notes)
    with pytest.raises(DataError, match=r"no sheet 'secnd', but empty, first, second; did you mean second\?"):
        read_file(f"{file}#secnd")


def test_text_with_decimal_commas_is_read_as_in_a_text_file(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx", data=[["day", "y"], *days(["1.234,5", "0,25", "3,5", "4,0", "5,5", "6,5"])])
    series = load_series(file)
    assert (series.values[0].double() + series.origin[0]).tolist() == pytest.approx([1234.5, 0.25, 3.5, 4.0, 5.5, 6.5])


def test_a_damaged_workbook_is_refused_in_one_line(tmp_path: Path) -> None:
    for name, content in (("a.xlsx", b"PK\x03\x04 no archive"), ("b.xls", b"none"), ("c.ods", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name} cannot be read as a spreadsheet \(.*\); save the sheet as CSV"):
            read_file(str(tmp_path / name))


def test_a_workbook_that_unpacks_to_more_than_memory_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = workbook(tmp_path / "a.xlsx", data=[["day", "y"], *days()])
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/more.xml", b"0" * 10**6)
    monkeypatch.setattr(spreadsheets, "memory_limit", lambda: 10**6)
    with pytest.raises(DataError, match=r"unpacks to 0\.0 GB, over a quarter of this machine's memory"):
        read_file(str(file))


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(UsageError, match=r"pip install 'lstm-tune\[excel\]'"):
        read_file(str(workbook(tmp_path / "a.xlsx", data=[["day", "y"], *days()])))


def test_a_text_file_whose_name_holds_a_hash_is_itself(tmp_path: Path) -> None:
    (tmp_path / "a#b.csv").write_text("day,y\n2024-01-01,1\n2024-01-02,2\n")
    assert read_file(str(tmp_path / "a#b.csv")).frame["y"].tolist() == [1, 2]
