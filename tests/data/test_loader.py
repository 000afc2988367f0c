"""Files, examples, arrays and columns: what is read, and what is refused in one line."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lstm_tune.data.load import examples, load_series
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.text_layout import find_layout
from lstm_tune.errors import DataError, LstmTuneError, UsageError


def days(rows: int, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"date": pd.date_range("2024-01-01", periods=rows).astype(str)} | columns)


def write(folder: Path, text: str | bytes, name: str = "data.csv") -> str:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(file)


def refused(rule: type[LstmTuneError], source: Any, **options: Any) -> str:
    """Return the line with which the data are refused."""
    with pytest.raises(rule) as caught:
        load_series(source, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "txt", "parquet", "pq", "feather", "arrow"])
def test_every_kind_of_file_gives_the_same_series(tmp_path: Path, ending: str) -> None:
    frame = days(5, y=[1.0, 2.0, 4.0, 8.0, 16.0])
    path = str(tmp_path / f"data.{ending}")
    if ending in ("parquet", "pq"):
        frame.to_parquet(path)
    elif ending in ("feather", "arrow"):
        frame.to_feather(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ";" if ending == "txt" else ",")
    series = load_series(path)
    assert (series.path, series.freq, series.targets, series.time_name) == (path, "D", ("y",), "date")
    assert series.values.tolist() == [[1, 2, 4, 8, 16]]
    assert series.fingerprint() == load_series(frame).fingerprint()


@pytest.mark.parametrize(
    ("source", "targets"),
    [
        ([3, 1, 2], ("y",)),
        (np.array([3, 1, 2], dtype=np.int8), ("y",)),
        (torch.tensor([3.0, 1.0, 2.0], dtype=torch.bfloat16), ("y",)),
        (np.array([[3, 9], [1, 8], [2, 5]]), ("y0", "y1")),
        (pd.Series([3, 1, 2], name="sales"), ("sales",)),
    ],
)
def test_arrays_are_numbered_rows_of_targets(source: Any, targets: tuple[str, ...]) -> None:
    series = load_series(source)
    assert (series.targets, series.freq, series.time_name, series.calendar) == (targets, None, None, False)
    assert series.values[0].tolist() == [3, 1, 2]
    np.testing.assert_array_equal(series.times, [0, 1, 2])
    np.testing.assert_array_equal(series.extend_times(2), [[3, 4]])
    assert "no time column was found: the rows are numbered; pass time= if a column holds it" in series.notes


def test_covariate_of_an_array_is_no_target() -> None:
    series = load_series(np.arange(12.0).reshape(4, 3), past="y1")
    assert (series.targets, series.past_names) == (("y0", "y2"), ("y1",))


def test_every_example_loads_with_its_default_target() -> None:
    loaded = {name: load_series(f"example:{name}") for name in examples()}
    assert {name: (loaded[name].freq, loaded[name].n_rows) for name in ("sunspots", "co2", "elnino", "nile")} == {
        "sunspots": ("YS", 309),
        "co2": ("W-SAT", 2284),
        "elnino": ("MS", 732),
        "nile": ("YS", 100),
    }
    assert loaded["macrodata"].freq == "QS"
    assert loaded["co2"].missing == {"co2": 59}
    assert loaded["elnino"].values[0, :2].tolist() == pytest.approx([23.11, 24.20])
    assert all(not series.repaired or set(series.repaired) == {"missing_values"} for series in loaded.values())


def test_unknown_example_is_refused_with_the_known_ones() -> None:
    assert "known: sunspots, co2" in refused(UsageError, "example:moon")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.csv", "", "is empty"),
        ("data.csv", "date,y\n", "no rows"),
        ("data.csv", "date,y\n2024-01-01,1\n", "has 1 row"),
        ("data.csv", "y,y\n1,2\n3,4\n", "more than one column 'y'"),
        ("data.csv", "a,b\n1,2,3\n4,5,6\n", "cannot be read"),
        ("data.csv", "a,b\n1,2\n3,4,5\n", "cannot be read"),
        ("data.csv.gz", "no gzip", "cannot be read"),
        ("data.parquet", "no parquet", "cannot be read"),
        ("data.feather", "no feather", "cannot be read"),
        ("data", "", "known: .csv"),
        ("data.csv", "text\nfoo\nbar\n", "column 'text' holds text (first 'foo'"),
        ("data.csv", "a,b\n1,5\n2,3\n9,7\n", "2 columns could be the target: a, b; choose with target="),
        ("data.csv", "y\n5\n5\n5\n", "choose a target that varies"),
        ("data.csv", "y\nNA\n?\n-\n", "holds no value at all (3 rows)"),
        ("data.csv", "date,y\n2024-01-01,1\n2024-01-02,2\nlater,3\n", "1 unreadable time stamps (first 'later')"),
        ("data.csv", "date,y\n2024-01-01,1\n02/01/2024,2\n2024-01-03,3\n", "1 unreadable time stamps"),
        ("data.csv", "date,y\n2024-01-01,1\n,2\n2024-01-03,3\n", "1 unreadable time stamps"),
        ("data.csv", "year,y\n1600,1\n1601,2\n", "outside 1678 to 2261"),
        (
            "data.csv",
            "year,month,y\n2001,1,1\n2001,13,2\n",
            "1 impossible dates, or dates outside 1678 to 2261 (first year 2001, month 13",
        ),
        ("data.csv", "y\n1e300\n-1e300\n", "reaches 1e+300 in 2 rows of 2, above what float32 holds"),
        ("data.csv", "y\n1e-300\n2e-300\n", "varies less than float32 can hold"),
    ],
)
def test_unusable_file_is_refused(tmp_path: Path, name: str, content: str, says: str) -> None:
    assert says in refused(DataError, write(tmp_path, content, name))


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(DataError, tmp_path / "nothing.csv")
    assert "is a folder" in refused(DataError, tmp_path)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (3, "is of type int"),
        (np.zeros((2, 2, 2)), "1 or 2 dimensions"),
        ([[1, 2], [3]], "rows of equal length"),
        (["a", "b"], "must hold numbers"),
        (np.array([1j, 2]), "must hold numbers"),
        (torch.tensor([1j, 2]), "must hold numbers"),
    ],
)
def test_unusable_objects_are_refused(source: Any, says: str) -> None:
    assert says in refused(UsageError, source)


@pytest.mark.parametrize(
    ("options", "rule", "says"),
    [
        ({"target": "sale"}, UsageError, "did you mean 'sales'? known: date, sales, price, kind"),
        ({"target": "sales", "past": ["sales"]}, UsageError, "named as target and as past covariate"),
        ({"target": ["sales", "sales"]}, UsageError, "named as target and as target"),
        ({"target": "sales", "time": "sales"}, UsageError, "named as target and as time"),
        ({"target": "kind"}, DataError, "column 'kind' holds text (first 'a'"),
        ({"target": "sales", "time": "kind"}, DataError, "column 'kind' holds no time stamps"),
    ],
)
def test_unusable_roles_are_refused(options: dict[str, Any], rule: type[LstmTuneError], says: str) -> None:
    frame = days(3, sales=[1, 2, 3], price=[3, 2, 5], kind=["a", "b", "c"])
    assert says in refused(rule, frame, **options)


def test_text_columns_that_nobody_asked_for_are_left_out_and_named_once() -> None:
    series = load_series(days(3, y=[1, 2, 3], kind=["a", "b", "c"], sort=["u", "v", "w"]))
    assert series.targets == ("y",)
    assert series.notes == (
        "text columns were left out: kind, sort; to use one, pass it as past=, as future= or as static=, "
        "or as id= if it names the series",
    )


def test_row_counter_beside_another_number_is_not_taken_for_the_target() -> None:
    assert load_series(days(3, No=[1, 2, 3], y=[5, 1, 3])).targets == ("y",)
    assert load_series(days(3, No=[1, 2, 3])).targets == ("No",)


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["1,234", "12", "1,000,000"], [1234, 12, 1000000]),
        (["1,5", "-2,25", "3"], [1.5, -2.25, 3]),
        (["1.234,5", "2,5", "7"], [1234.5, 2.5, 7]),
        ([" 1 ", "?", "2e1"], [1, 1, 20]),
    ],
)
def test_numbers_written_as_text_are_read(words: list[str], numbers: list[float]) -> None:
    assert load_series(days(3, y=words)).values[0].tolist() == numbers


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["1,5", "2.5", "3"], "column 'y' mixes decimal commas and decimal points (first '1,5')"),
        (["1,234", "1,5x", "2"], "column 'y' holds text (first '1,5x'"),
        (["1_000", "2", "3"], "column 'y' holds text (first '1_000'"),
    ],
)
def test_text_that_reads_as_numbers_in_no_single_way_is_refused(words: list[str], says: str) -> None:
    assert says in refused(DataError, days(3, y=words), target="y")


@pytest.mark.parametrize("word", ["", "NA", "?", "null", "-", "NaN", "n/a", " ", "missing"])
def test_missing_words_and_infinite_values_are_filled_and_counted(tmp_path: Path, word: str) -> None:
    series = load_series(write(tmp_path, f"date,y\n2024-01-01,1\n2024-01-02,{word}\n2024-01-03,inf\n2024-01-04,3\n"))
    assert series.values.tolist() == [[1, 1, 1, 3]]
    assert series.observed.tolist() == [[True, False, False, True]]
    assert series.missing == {"y": 2}
    assert series.repaired == {"missing_values": 1, "infinite_values": 1}


def test_whole_numbers_booleans_and_nullable_columns_are_numbers() -> None:
    frame = days(3, y=pd.array([1, None, 3], dtype="Int64"), open=[True, False, True], odd=[True, None, False])
    series = load_series(frame, target="y", past=["open", "odd"])
    assert series.values.tolist() == [[1, 1, 3]]
    assert series.past.tolist() == [[1, 1], [0, 1], [1, 0]]


def test_file_without_header_and_file_in_windows_1252_are_read_and_noted(tmp_path: Path) -> None:
    series = load_series(write(tmp_path, "1.5\n2.5\n0.5\n", "numbers.txt"))
    assert (series.targets, series.values.tolist()) == (("y",), [[1.5, 2.5, 0.5]])
    assert "no line of column names" in series.notes[0]
    series = load_series(write(tmp_path, "jour;d\xe9bit €\n2024-01-01;1,5\n2024-01-02;2,5\n".encode("cp1252")))
    assert (series.targets, series.values.tolist()) == (("débit €",), [[1.5, 2.5]])
    assert any("Windows-1252" in note for note in series.notes)


def test_byte_order_marks_are_not_part_of_a_name(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        assert load_series(write(tmp_path, "ÿ\n1\n2\n".encode(encoding))).targets == ("ÿ",)


@pytest.mark.parametrize(
    ("text", "delimiter", "fields"),
    [
        ("a,b\n", ",", ["a", "b"]),
        ('\n"a;b"; c\n', ";", ["a;b", "c"]),
        ("a\tb\tc,d", "\t", ["a", "b", "c,d"]),
        ("1 2  3", r"\s+", ["1", "2", "3"]),
        ("my column", ",", ["my column"]),
        ("", ",", [""]),
    ],
)
def test_delimiter_is_the_one_that_makes_most_fields(text: str, delimiter: str, fields: list[str]) -> None:
    layout = find_layout(text)
    assert (layout.delimiter, list(layout.names)) == (delimiter, fields)


def outcome(path: str) -> tuple[SeriesSet | None, str]:
    """Return the series, or the line with which the file is refused; any other exception passes."""
    try:
        return load_series(path), ""
    except LstmTuneError as error:
        return None, str(error)


words = st.sampled_from(["1", "2.5", "-3", "", "NA", "x", "inf", "1,5", '"1,234"', "2024-01-01", "2024-01-02", "1e999"])
words |= st.sampled_from(["99999999999999999999", "01/02/2020", "2020", "201301", "\x00", '"', "é", " ", "1700000000"])
tables = st.lists(st.lists(words, min_size=1, max_size=4).map(",".join), max_size=8)
heads = st.sampled_from(["y", "date,y", "a,b,c", "year,month,y", "date,id,y", "ds,y,", ""])


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.tuples(heads, tables).map(lambda t: "\n".join([t[0], *t[1]]).encode())))
@example(gzip.compress(b"y\n1\n2\n"))
@example(b"y\n1e308\n-1e308\n1e308\n")
@example(b"date,y\n1700-01-01,1\n2200-01-01,2\n")
def test_any_bytes_load_or_are_refused_in_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), content)
        series, line = outcome(path)
    assert "\n" not in line
    if series is not None:
        assert torch.isfinite(series.values).all()
        assert series.observed.any()
        assert len(series.times) == series.n_rows == series.values.shape[1]


def test_columns_of_several_levels_are_named_by_all_of_them() -> None:
    columns = pd.MultiIndex.from_tuples([("Close", "A"), ("Volume", "")])
    frame = pd.DataFrame(np.arange(40.0).reshape(20, 2), pd.date_range("2024-01-01", periods=20), columns)
    data = load_series(frame, target="Close_A", past="Volume")
    assert (data.targets, data.past_names, data.freq) == (("Close_A",), ("Volume",), "D")


def test_tuple_of_numbers_is_read_as_a_list_is() -> None:
    assert load_series((1.0, 2.0, 4.0)).values.tolist() == load_series([1.0, 2.0, 4.0]).values.tolist()
