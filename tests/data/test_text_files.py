"""Text files as programs write them: encodings, titles, comments, units, blank rows, totals, ids."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lstm_tune.data import text_files
from lstm_tune.data.load import load_series
from lstm_tune.errors import DataError

DAYS = [f"{day:%Y-%m-%d}" for day in pd.date_range("2024-01-01", periods=30)]
Y = [float(v) for v in np.round(10 + np.sin(np.arange(30)), 2)]
ROWS = "\n".join(f"{d},{v}" for d, v in zip(DAYS, Y, strict=True))


def loaded(folder: Path, content: str | bytes, name: str = "data.csv", **options: Any) -> Any:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_series(path, **options)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("date,y\n" + ROWS, "y"),
        ("sep=,\ndate,y\n" + ROWS, "y"),
        ('"sep=,"\ndate,y\n' + ROWS, "y"),
        ("# station 12\n# mean values\ndate,y\n" + ROWS, "y"),
        ("# station 12\n# date,y\n" + ROWS, "y"),
        ("// export\n\n\ndate,y\n" + ROWS, "y"),
        ("My report\nmade on 2024-05-01\n\ndate,y\n" + ROWS, "y"),
        ("My report,\n,\ndate,y\n" + ROWS, "y"),
        ("date,y\n,°C\n" + ROWS, "y"),
        ("date,y\nUTC,degC\n" + ROWS, "y"),
        ("date,y\n" + ROWS.replace("\n", "\n\n", 3), "y"),
        ("date,y\n" + ROWS.replace("\n", "\n,\n", 3) + "\n,\n,\n", "y"),
        ("date,y,\n" + ROWS.replace("\n", ",\n") + ",", None),
        ("date,y\n" + ROWS.replace("\n", ",\n") + ",", None),
        (",y\n" + ROWS, "y"),
        ("Price,y,Volume\nTicker,ABC,ABC\nDate,,\n" + ROWS.replace("\n", ",5\n") + ",5", "y"),
        ("Price,y,y\nTicker,ABC,XYZ\nDate,,\n" + ROWS.replace("\n", ",5\n") + ",5", "y ABC"),
        (";A;;B;\nDay;kW;EUR;kW;EUR\n" + ROWS.replace(",", ";").replace("\n", ";1;2;3\n") + ";1;2;3", "A kW"),
        ('"date","y"\n' + "\n".join(f'"{d}","{v}"' for d, v in zip(DAYS, Y, strict=True)), "y"),
        ("date|y\n" + ROWS.replace(",", "|"), "y"),
        ("date      y\n" + ROWS.replace(",", "   "), "y"),
        ("date,y\r\n" + ROWS.replace("\n", "\r\n"), "y"),
        ("date,y\n" + ROWS + "\nTotal,300\n", "y"),
        ("date,y\nTotal,300\n" + ROWS, "y"),
        ("date,y\n" + ROWS + "\n\nSource: somebody\nDownloaded 2024-05-01\n", "y"),
        ("date,y\n" + ROWS.replace("\n", "\n# the sensor was moved\n", 1), "y"),
        ('date,"y\n(kW)"\n' + ROWS, "y\n(kW)"),
        ('Pipe of 5" in hall 3\ndate,y\n' + ROWS, "y"),
        ("# page\x0c2\ndate,y\n" + ROWS, "y"),
    ],
)  # fmt: skip
def test_rows_are_those_of_the_plain_file(tmp_path: Path, text: str, target: str | None) -> None:
    series = loaded(tmp_path, text, target=target)
    assert series.values[0].tolist() == pytest.approx(Y)
    assert (str(series.times[0])[:10], series.freq) == ("2024-01-01", "D")


@pytest.mark.parametrize("row", [0, 1, 29])
@pytest.mark.parametrize("head", ["", "date,y\n", "report\ndate,y\n"])
def test_row_whose_value_cannot_be_read_is_no_title(tmp_path: Path, head: str, row: int) -> None:
    for cell in ("closed", "1.5k", "10 kWh", "<0.5"):
        lines = [f"{d},{cell if i == row else v}" for i, (d, v) in enumerate(zip(DAYS, Y, strict=True))]
        with pytest.raises(DataError, match="column 'y' holds text "):
            loaded(tmp_path, head + "\n".join(lines), target="y")
    lines = [f"{d},{f'({v})' if i == row else v}" for i, (d, v) in enumerate(zip(DAYS, Y, strict=True))]
    assert loaded(tmp_path, head + "\n".join(lines)).values[0, row] == pytest.approx(-Y[row])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(b"y\n1\n2", mtime=0), r"is compressed \(gzip\)"),
        (b"PK\x03\x04abc", "is a spreadsheet or a ZIP file"),
        (b"\x89PNG\r\n", "is an image"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (b'[{"date": "2024-01-01", "y": 1}]', "is a JSON file"),
        (("date,y\n" + ROWS).encode("utf-16-le"), "in UTF-16 without a mark"),
        (bytes(100), "is no text file"),
    ],
)
def test_file_of_another_kind_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        loaded(tmp_path, content)


@pytest.mark.parametrize(
    "cells",
    [["1.5k"] * 30, ["yes", "no"] * 15, ["10 kWh"] * 30],
)
def test_only_column_that_is_left_is_named_if_it_holds_text(tmp_path: Path, cells: list[str]) -> None:
    with pytest.raises(DataError, match=f"^column 'y' holds text \\(first '{cells[0]}', 30 values that are no numbers"):
        loaded(tmp_path, "date,y\n" + "\n".join(f"{d},{c}" for d, c in zip(DAYS, cells, strict=True)))


@pytest.mark.parametrize("words", [("true", "false"), ("TRUE", "FALSE"), ("True", "False")])
def test_truths_are_one_and_zero(tmp_path: Path, words: tuple[str, str]) -> None:
    lines = [f"{d},{words[i % 3 > 0]}" for i, d in enumerate(DAYS)]
    assert loaded(tmp_path, "date,y\n" + "\n".join(lines), target="y").values[0, :4].tolist() == [1, 0, 0, 1]


def test_errors_of_spreadsheets_are_missing_values(tmp_path: Path) -> None:
    errors = {3: "#N/A", 7: "#REF!", 9: "#DIV/0!", 12: "#NAME?", 20: "#WERT!", 21: "#NV"}
    lines = [f"{d},{errors.get(i, v)}" for i, (d, v) in enumerate(zip(DAYS, Y, strict=True))]
    series = loaded(tmp_path, "date,y\n" + "\n".join(lines))
    assert (~series.observed[0]).nonzero().flatten().tolist() == list(errors)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_sign_of_the_euro_survives_the_encodings_of_excel(tmp_path: Path, encoding: str) -> None:
    text = "Datum;Umsatz €;Menge\n" + "\n".join(f"{d};{v};1" for d, v in zip(DAYS, Y, strict=True))
    series = loaded(tmp_path, text.encode(encoding), target="Umsatz €")
    assert series.values[0].tolist() == pytest.approx(Y)
    assert any("Windows-1252" in note for note in series.notes) == (encoding == "cp1252")


def test_letter_of_another_encoding_far_down_in_the_file_is_read(tmp_path: Path) -> None:
    days = pd.date_range("2000-01-01", periods=6000)
    lines = [f"{day:%Y-%m-%d},{i % 7},{'x' if i < 5990 else 'é'}" for i, day in enumerate(days)]
    series = loaded(tmp_path, ("date,y,c\n" + "\n".join(lines)).encode("cp1252"))
    assert series.n_rows == 6000
    assert any("Windows-1252" in note for note in series.notes)


@pytest.mark.parametrize(
    ("first", "sep", "names"),
    [
        ("2023-12-31,9.5", ",", "time, y"),
        ("31.12.2023;9,5", ";", "time, y"),
        ("a,2023-12-31,9.5", ",", "id, time, y"),
        ("2023-12-31,9.5,7", ",", "time, y0, y1"),
    ],
)
def test_file_without_names_loses_no_row(tmp_path: Path, first: str, sep: str, names: str) -> None:
    rows = [first]
    for day, v in zip(DAYS, Y, strict=True):
        cells = {"9.5": str(v), "9,5": str(v).replace(".", ","), "7": "7", "a": "a"}
        date = ".".join(reversed(day.split("-"))) if sep == ";" else day
        rows.append(sep.join(cells.get(cell, date) for cell in first.split(sep)))
    target = "y0" if "y0" in names else "y"
    series = loaded(tmp_path, "\n".join(rows), target=target)
    assert series.values[0].tolist() == pytest.approx([9.5, *Y])
    assert f"the file has no line of column names: the columns are called {names}" in series.notes


@pytest.mark.parametrize(("head", "target"), [("region,2019,2020", "2019"), ("0,1,2", "1"), (",0", "0")])
def test_numbers_can_be_names_of_columns(tmp_path: Path, head: str, target: str) -> None:
    rows = [f"DE,{v},7" if head.startswith("region") else f"7,{v},7" for v in Y]
    if head == ",0":
        rows = ROWS.split("\n")
    assert loaded(tmp_path, "\n".join([head, *rows]), target=target).values[0].tolist() == pytest.approx(Y)


def test_names_of_rows_as_r_writes_them_are_no_column(tmp_path: Path) -> None:
    body = "\n".join(f'"{i + 1}",{2000 + i},{v}' for i, v in enumerate(Y))
    for head in ('"rownames","time","value"', '"time","value"'):
        series = loaded(tmp_path, f"{head}\n{body}")
        assert (series.targets, series.freq, series.n_rows) == (("value",), "YS", 30)


def test_lines_of_very_many_columns_are_read(tmp_path: Path) -> None:
    names, cells = (",".join(f"{kind}{i}" for i in range(20_000)) for kind in ("column", "1."))
    text = "date,y," + names + "\n" + "\n".join(f"{d},{v},{cells}" for d, v in zip(DAYS[:9], Y, strict=False))
    assert loaded(tmp_path, text, target="y").values[0].tolist() == pytest.approx(Y[:9])


def test_what_was_left_out_is_reported(tmp_path: Path) -> None:
    text = "report,\ndate,y\n" + ROWS + "\n,\nSumme,300\nTotal général,300\n"
    notes = loaded(tmp_path, text).notes
    assert "1 line before the data was left out (titles, units or more names)" in notes
    assert "1 blank row was left out" in notes
    assert "2 rows at the end were left out: no time stamp, but a total or a remark (first 'Summe')" in notes


@pytest.mark.parametrize("cell", ["", "later", "n/a"])
@pytest.mark.parametrize("row", [0, 7, 29])
@pytest.mark.parametrize("name", ["date", "when"])
def test_row_with_a_value_and_without_a_time_is_refused(tmp_path: Path, cell: str, row: int, name: str) -> None:
    lines = [f"{cell if i == row else d},{v}" for i, (d, v) in enumerate(zip(DAYS[::-1], Y, strict=True))]
    with pytest.raises(DataError, match=f"column '{name}' has 1 unreadable time stamps"):
        loaded(tmp_path, "\n".join([f"{name},y", *lines]))


def test_text_of_ids_is_kept_to_the_letter(tmp_path: Path) -> None:
    ids = ("001", "1", "01.0", "NA", "null", "-")
    rows = [f"{name},{d},{v}" for name in ids for d, v in zip(DAYS, Y, strict=True)]
    series = loaded(tmp_path, "\n".join(["shop,date,y", *rows]), id="shop")
    assert series.series == tuple(sorted(ids))
    with pytest.raises(DataError, match="30 rows without an id"):
        loaded(tmp_path, "\n".join(["shop,date,y", *rows, *(r.replace("001,", ",") for r in rows[:30])]), id="shop")


def test_several_ids_name_a_series_together(tmp_path: Path) -> None:
    rows = [f"{s},{i},{d},{v}" for s in (10, 9) for i in "ba" for d, v in zip(DAYS, Y, strict=True)]
    series = loaded(tmp_path, "\n".join(["store,item,date,y", *rows]), target="y", id=["store", "item"])
    assert series.series == ("10/a", "10/b", "9/a", "9/b")
    assert series.id_names == ("store", "item")
    rows = [f"{a},{b},{d},{v}" for a, b in (("x/y", "z"), ("x", "y/z")) for d, v in zip(DAYS, Y, strict=True)]
    series = loaded(tmp_path, "\n".join(["store,item,date,y", *rows]), target="y", id=["store", "item"])
    assert series.series == ("x / y/z", "x/y / z")


def test_packed_file_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "memory_limit", lambda: 10**6)
    with pytest.raises(DataError, match="unpacks to more than"):
        loaded(tmp_path, gzip.compress(b"y\n" + b"1\n" * 10**6), "data.csv.gz")
    assert loaded(tmp_path, gzip.compress(b"y\n" + b"1\n2\n" * 10**4), "data.csv.gz").n_rows == 20_000
