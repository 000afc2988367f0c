"""Numbers in text: one reading a column, decided by the words, the file, the size, the delimiter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lstm_tune.data.load import load_series
from lstm_tune.errors import DataError, LstmTuneError, UsageError

ISO, GERMAN = "%Y-%m-%d", "%d.%m.%Y"


def loaded(path: Path, columns: dict[str, Sequence[object]], delimiter: str, dates: str = ISO, **options: Any) -> Any:
    """Write columns beside a column of days, and load them."""
    rows = len(next(iter(columns.values())))
    times = [f"{day:{dates}}" for day in pd.date_range("2024-01-01", periods=rows)]
    lines = [["date", *columns], *([time, *row] for time, *row in zip(times, *columns.values(), strict=True))]
    path.write_text("\n".join(delimiter.join(map(str, line)) for line in lines), encoding="utf-8")
    return load_series(path, target="y", **options)


@pytest.mark.parametrize(
    ("words", "delimiter", "dates", "numbers"),
    [
        (["1,513", "2,190", "2,441"], ";", ISO, [1.513, 2.19, 2.441]),
        (["1,513", "2,190", "2,441"], "\t", GERMAN, [1.513, 2.19, 2.441]),
        (["1,513", "2,190", "2,441"], "\t", ISO, [1513, 2190, 2441]),
        (['"1,513"', '"2,190"', '"2,441"'], ",", ISO, [1513, 2190, 2441]),
        (['"1,51"', '"2,190"', '"2,441"'], ",", ISO, [1.51, 2.19, 2.441]),
        (["2", "2,190", "2,441"], ";", ISO, [2, 2.19, 2.441]),
        (["2", "2,190", "2,441"], "\t", ISO, [2, 2.19, 2.441]),
        (["950", "1,130", "980"], ";", ISO, [950, 1130, 980]),
        (["950", "1.130", "980"], ";", GERMAN, [950, 1130, 980]),
        (["0,123", "0,456", "1,789"], "\t", ISO, [0.123, 0.456, 1.789]),
        (["1500", "1,513", "2,190"], "\t", ISO, [1500, 1.513, 2.19]),
        (["1.234,56", "987,1", "12"], ";", GERMAN, [1234.56, 987.1, 12]),
        (['"1,234.56"', "987.1", "12"], ",", ISO, [1234.56, 987.1, 12]),
        (["1.234.567", "1.000", "999"], ";", GERMAN, [1234567, 1000, 999]),
        (['"1,23,456"', '"2,34,567.5"', "7"], ",", ISO, [123456, 234567.5, 7]),
        (["1 234,5", "12 345,6", "7"], ";", GERMAN, [1234.5, 12345.6, 7]),
        (["1\u00a0234,5", "12\u202f345,6", "7"], ";", GERMAN, [1234.5, 12345.6, 7]),
        (["1'234.5", "12’345.6", "7"], ";", GERMAN, [1234.5, 12345.6, 7]),
        (["1.234,56 €", "9,50 €", "12 €"], ";", GERMAN, [1234.56, 9.5, 12]),
        (['"$1,234.50"', "$9.50", "$12"], ",", ISO, [1234.5, 9.5, 12]),
        (["12%", "9.5%", "7"], ",", ISO, [12, 9.5, 7]),
        (["−1.5", "2", "+3"], ",", ISO, [-1.5, 2, 3]),
        (['"(1,234.50)"', "($9.50)", "$(7)", "-$12"], ",", ISO, [-1234.5, -9.5, -7, -12]),
        (["1.234,50-", "9,50- €", "(7,5) €", "12"], ";", GERMAN, [-1234.5, -9.5, -7.5, 12]),
        (["10.130", "9.870", "10.640"], ";", GERMAN, [10.13, 9.87, 10.64]),
    ],
)  # fmt: skip
def test_numbers_of_a_file(tmp_path: Path, words: list[str], delimiter: str, dates: str, numbers: list[float]) -> None:
    series = loaded(tmp_path / "data.csv", {"y": words}, delimiter, dates)
    assert (series.values[0].double() + series.origin[0]).tolist() == pytest.approx(numbers, rel=1e-6)


def test_reading_of_a_doubtful_column_is_the_one_of_the_other_columns(tmp_path: Path) -> None:
    words = ["10.130", "9.870", "10.640"]
    german = loaded(tmp_path / "data.csv", {"y": words, "z": ["1,5", "2,5", "3"]}, ";")
    assert german.values[0].tolist() == [10130, 9870, 10640]
    english = loaded(tmp_path / "data.csv", {"y": words, "z": ["1.5", "2.5", "3"]}, ";")
    assert english.values[0].tolist() == pytest.approx([10.13, 9.87, 10.64])


def test_mark_that_stands_late_in_a_long_file_counts(tmp_path: Path) -> None:
    words = [str(i % 9) for i in range(5000)] + ['"3,125"', '"4,5"']
    series = loaded(tmp_path / "data.csv", {"y": words}, ",")
    assert series.values[0, -2:].tolist() == [3.125, 4.5]


def test_doubt_is_reported_with_the_option_that_reads_otherwise(tmp_path: Path) -> None:
    doubtful = {"y": ["1,513", "2,190", "2,441"]}
    said = "column 'y': commas were read as decimal commas (1,513 is 1.513, not 1513)"
    assert loaded(tmp_path / "data.csv", doubtful, ";").notes == (f'{said}; if that is wrong, pass thousands=","',)
    assert loaded(tmp_path / "data.csv", doubtful, ";", thousands=",").values[0].tolist() == [1513, 2190, 2441]
    english = loaded(tmp_path / "data.csv", doubtful, "\t")
    assert english.notes[0].endswith('(1,513 is 1513, not 1.513); if that is wrong, pass decimal=","')
    assert loaded(tmp_path / "data.csv", doubtful, "\t", decimal=",").values[0, 0].item() == pytest.approx(1.513)
    clear = loaded(tmp_path / "data.csv", {"y": ["1,5", "2,19", "2,4"]}, ";")
    assert clear.notes == ("column 'y': commas were read as decimal commas",)
    assert loaded(tmp_path / "data.csv", {"y": ["1.5", "2.19", "2.4"]}, ";").notes == ()


@pytest.mark.parametrize(
    ("words", "options", "says"),
    [
        (["1,5", "2.5", "3"], {}, "column 'y' mixes decimal commas and decimal points"),
        (["1.234,5", "1,234.5", "3"], {}, "column 'y' mixes decimal commas and decimal points"),
        (
            ["1,5", "2.5", "3"],
            {"decimal": ","},
            "column 'y' holds text (first '2.5', 1 value that is no number with",
        ),
        (["1,5", "2,5", "3"], {"decimal": "."}, "column 'y' holds text (first '1,5'"),
        (["1,23,4", "2", "3"], {}, "column 'y' holds text (first '1,23,4'"),
        (["1.2.3", "2", "3"], {}, "column 'y' holds text (first '1.2.3'"),
    ],
)
def test_words_that_fit_no_single_reading_are_refused(
    tmp_path: Path, words: list[str], options: dict[str, str], says: str
) -> None:
    with pytest.raises(DataError) as caught:
        loaded(tmp_path / "data.csv", {"y": words}, ";", **options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("marks", [{"decimal": ";"}, {"thousands": "x"}, {"decimal": ",", "thousands": ","}])
def test_marks_that_are_none_are_refused(tmp_path: Path, marks: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        loaded(tmp_path / "data.csv", {"y": ["1", "2", "3"]}, ";", **marks)


def test_column_that_is_nearly_numeric_says_why_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("date;y\n2024-01-01;1,5\n2024-01-02;2.5\n2024-01-03;3,5\n")
    with pytest.raises(LstmTuneError, match="mixes decimal commas and decimal points"):
        load_series(tmp_path / "data.csv")


def test_column_of_numbers_in_text_is_not_called_a_text_column(tmp_path: Path) -> None:
    series = loaded(tmp_path / "data.csv", {"y": ["1,5", "2,5", "3"], "z": ["7,5", "8", "9"], "c": "abc"}, ";")
    assert any(note.startswith("text columns were left out: c;") for note in series.notes)
