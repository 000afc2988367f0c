"""Any bytes as data, search space or saved model give a result, or one of our own errors in one line.

The examples are the same in every run; `LSTM_TUNE_FUZZ=5000 python -m pytest tests/test_fuzz.py` tries 5,000 others.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from series import TINY, daily, net, series_of, wave

from lstm_tune.config import RULES, Config
from lstm_tune.data.load import load_series
from lstm_tune.data.windows import Windows
from lstm_tune.errors import LstmTuneError
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.search.space import load_space
from lstm_tune.training.saved_model import DataSpec, ForecastModel

pytestmark = pytest.mark.slow
EXAMPLES = int(os.environ.get("LSTM_TUNE_FUZZ", "0"))
TIMEOUT = 60  # seconds for one example; more counts as a hang


def fuzz(share: float = 1.0) -> settings:
    """Set the number of examples to `share` of the usual 100, without a time limit for each."""
    return settings(
        max_examples=round(share * (EXAMPLES or 100)),
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def own_errors_allowed() -> Iterator[None]:
    """Accept a normal end and our own errors; turn a hang into a failure."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"still running after {TIMEOUT} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(TIMEOUT)
    try:
        with contextlib.suppress(LstmTuneError):
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# ---- bytes


@st.composite
def mutated(draw: st.DrawFn, contents: tuple[bytes, ...]) -> bytes:
    """One of the contents, cut, flipped, doubled or overwritten in some places."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 4))):
        if not content:
            break
        at = draw(st.integers(0, len(content) - 1))
        match draw(st.sampled_from(("flip", "cut", "write", "drop", "double", "number"))):
            case "flip":
                content[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del content[at:]
            case "write":
                content[at : at + 4] = draw(st.binary(min_size=1, max_size=8))
            case "drop":
                del content[at : at + draw(st.integers(1, 64))]
            case "double":
                content[at:at] = content[at : at + draw(st.integers(1, 200))]
            case "number":
                content[at : at + 4] = draw(st.sampled_from((b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0", b"\x01")))
    return bytes(content)


# ---- data

WORDS = (
    *(
        "",
        "0",
        "1",
        "-1",
        "2.5",
        "1e400",
        "-1e400",
        "1e-400",
        "inf",
        "-inf",
        "nan",
        "NA",
        "?",
        "-",
        "NaT",
        "null",
        "0x1F",
    ),
    *(
        "1,5",
        "1.234,5",
        "1,234",
        "1_000",
        "٣",
        "１",
        "½",
        "true",
        "False",
        "3+4j",
        "99999999999999999999",
        "1e308",
        "-0",
    ),
    *("2024-01-01", "2024-01-02 03:04", "2024-13-45", "9999-12-31", "0001-01-01", "262144-01-01", "-2024-01-01"),
    *("2024-01-01T00:00:00Z", "2024-01-01T00:00:00+23:59", "2024-01-01T00:00:00.123456789123", "1/2/24", "31/12/1999"),
    *("Feb 30, 2024", "2024Q1", "2024Q5", "202401", "20240230", "1704067200", "1704067200000", "9223372036854775807"),
    *(
        '"',
        '""',
        "'",
        "\\",
        "\0",
        "\t",
        ";",
        "|",
        "=cmd()",
        "a\nb",
        "\ufeff",
        "\u202e",
        "\x1b[31m",
        "日本",
        "e\u0301",
        "🦀",
    ),
    *("1677-09-21", "2262-04-12", "24:00", "12:00 PM", "a" * 300, "[1, 2]", "{}", "<b>", "#N/A", "1 2 3"),
)
NAMES = (
    *("y", "y", "date", "date", "id", "time", "year", "month", "day", "hour", "quarter", "ds", "x", "z", "Unnamed: 0"),
    *("", " ", "y ", "Y", "0", "1", "nan", "a" * 2000, "=1+1", "<script>", "../../x", "\x1b[2J", "ÿ", "y.1", "index"),
)
TIMES = (
    "2024-01-{:02d}",
    "{}",
    "2024-01-01 {:02d}:00",
    "{}/1/2020",
    "20{:02d}",
    "170406{:04d}",
    "0.{}",
    "1e{}",
    "{:03d}0101",
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A text file that is almost a table."""
    width = draw(st.integers(1, 5))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=width, max_size=width, unique=draw(st.booleans())))
    columns: list[list[str]] = []
    rows = draw(st.integers(0, 30))
    for _ in range(width):
        kind = draw(st.sampled_from(("time", "numbers", "numbers", "words", "mixed")))
        form = draw(st.sampled_from(TIMES))
        numbers = draw(st.lists(st.floats(width=32).map(str), min_size=rows, max_size=rows))
        words = draw(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), min_size=rows, max_size=rows))
        column = {"time": [form.format(i + 1) for i in range(rows)], "numbers": numbers, "words": words}.get(kind)
        if column is None:
            column = [words[i] if draw(st.integers(0, 5)) == 0 else numbers[i] for i in range(rows)]
        columns.append(column)
    delimiter = draw(st.sampled_from((",", ",", ";", "\t", "|", " ")))
    end = draw(st.sampled_from(("\n", "\r\n", "\r")))
    quote = draw(st.booleans())
    lines = [names, *([column[i] for column in columns] for i in range(rows))]
    if draw(st.booleans()):
        lines = lines[1:]
    text = end.join(delimiter.join(f'"{c}"' if quote else c for c in line) for line in lines) + draw(
        st.sampled_from(("", end, end * 3, '"', "\0", delimiter))
    )
    encoding = draw(st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-32")))
    return text.encode(encoding, "replace")


def frames() -> tuple[pd.DataFrame, ...]:
    long = pd.concat([daily(wave(30)).assign(id=name) for name in "ab"])
    return daily(wave(40), x=wave(40, seed=1)), long, pd.DataFrame({"y": wave(20)})


def written(kind: str) -> tuple[bytes, ...]:
    contents = []
    for frame in frames():
        out = io.BytesIO()
        match kind:
            case "csv":
                frame.to_csv(out, index=False)
            case "parquet":
                frame.to_parquet(out, index=False)
            case "feather":
                frame.reset_index(drop=True).to_feather(out)
            case "lz4":
                frame.reset_index(drop=True).to_feather(out, compression="uncompressed")
            case "gz":
                frame.to_csv(out, index=False, compression="gzip")
        contents.append(out.getvalue())
    return tuple(contents)


def options() -> st.SearchStrategy[dict[str, Any]]:
    name = st.one_of(st.none(), st.sampled_from(("y", "date", "id", "x", "0", "nothing")))
    return st.fixed_dictionaries(
        {},
        optional={
            "target": name,
            "time": st.one_of(st.none(), st.sampled_from(("date", "y"))),
            "id": st.one_of(st.none(), st.sampled_from(("id", "y"))),
            "past": st.sampled_from(((), ("x",), ("y", "x"))),
            "future": st.sampled_from(((), ("x",))),
            "calendar": st.sampled_from((None, True, False)),
        },
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def load(path: Path, content: bytes, chosen: dict[str, Any]) -> None:
    path.write_bytes(content)
    with own_errors_allowed():
        data = load_series(path, **chosen)
        assert bool(torch.isfinite(data.values).all())
        assert data.values.shape == (data.n_channels, data.n_rows)
        assert data.offsets[0] == 0
        assert (np.diff(data.offsets) > 0).all()
        assert len(data.times) == data.n_rows


@given(content=tables(), chosen=options())
@fuzz(2)
def test_almost_valid_table_is_loaded_or_refused(folder: Path, content: bytes, chosen: dict[str, Any]) -> None:
    load(folder / "data.csv", content, chosen)


@given(content=st.binary(max_size=400), ending=st.sampled_from((".csv", ".parquet", ".feather", ".csv.gz", ".txt")))
@fuzz()
def test_random_bytes_are_loaded_or_refused(folder: Path, content: bytes, ending: str) -> None:
    load(folder / f"data{ending}", content, {})


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather", "lz4", "gz"])
def test_corrupted_data_file_is_loaded_or_refused(folder: Path, kind: str) -> None:
    ending = {"lz4": "feather", "gz": "csv.gz"}.get(kind, kind)

    @given(content=mutated(written(kind)), chosen=options())
    @fuzz()
    def check(content: bytes, chosen: dict[str, Any]) -> None:
        load(folder / f"data.{ending}", content, chosen)

    check()


EXTREME_TEXTS: dict[str, bytes] = {
    "empty file": b"",
    "only a byte order mark": b"\xef\xbb\xbf",
    "only blank lines": b"\n\n\n\n",
    "only null bytes": b"\0" * 1000,
    "a null byte among numbers": b"y\n1\n2\0\n3\n",
    "an unbalanced quote": b'y,z\n1,"2\n3,4\n5,6\n',
    "a quote that spans all rows": b'date,y\n"' + b"2024-01-01,1\n" * 1000,
    "one row longer than the others": b"y\n1\n2,3\n4\n",
    "a row of a million cells": b"y\n1\n" + b"1," * 10**6 + b"\n",
    "a hundred thousand columns": ",".join(f"c{i}" for i in range(10**5)).encode()
    + b"\n"
    + b"1," * (10**5 - 1)
    + b"1\n",
    "the same name twice": b"y,y\n1,2\n3,4\n",
    "the same name after a blank": b"y,y \n1,2\n3,4\n",
    "numbers beyond float64": b"y\n1e400\n-1e400\n1e308\n-1e308\n1\n",
    "only infinities": b"y\ninf\n-inf\ninf\n",
    "a number with a million digits": b"y\n" + b"9" * 10**6 + b"\n1\n2\n",
    "years beyond nanosecond time stamps": b"date,y\n9999-01-01,1\n9999-01-02,2\n9999-01-03,3\n",
    "seconds beyond nanosecond time stamps": b"time,y\n99999999999,1\n99999999998,2\n99999999997,3\n",
    "first and last nanosecond time stamps": b"date,y\n1677-09-22,1\n2262-04-11,2\n1970-01-01,3\n",
    "a step of centuries": b"date,y\n1700-01-01,1\n2200-01-01,2\n2200-01-02,3\n",
    "a nanosecond and a century": b"date,y\n2024-01-01 00:00:00.000000001,1\n2024-01-01 00:00:00.000000002,2\n2124,3\n",
    "two encodings": "date,y\nä,1\n".encode("latin-1") + "日本,2\n".encode(),
    "a byte order mark in the middle": b"y\n1\n\xef\xbb\xbf2\n3\n",
    "truncated utf-16": b"\xff\xfey\x00\n\x001\x00\n",
    "year zero": b"year,month,y\n0,0,1\n0,1,2\n1,2,3\n",
    "enormous years": b"year,y\n1e300,1\n2e300,2\n",
    "offsets that differ": b"date,y\n2024-01-01T00:00:00+01:00,1\n2024-01-02,2\n2024-01-03T00:00:00Z,3\n",
    "numbers in other scripts": "y\n١\n２\n½\n".encode(),
    "a line without a line break": b"y" * 10**6,
}


@pytest.mark.parametrize("content", EXTREME_TEXTS.values(), ids=list(EXTREME_TEXTS))
def test_extreme_text_file_is_loaded_or_refused(tmp_path: Path, content: bytes) -> None:
    for chosen in ({}, {"target": "y"}, {"target": "y", "calendar": True}, {"time": "date"}, {"id": "date"}):
        load(tmp_path / "data.csv", content, chosen)


# ---- search spaces

VALUES = (
    *(
        "1",
        "0",
        "-1",
        "1.5",
        "1e400",
        "-inf",
        "nan",
        "true",
        '"adam"',
        '"x"',
        "[]",
        "[1]",
        "[1, 1]",
        "{}",
        "[[1]]",
        '""',
    ),
    *(
        "{ low = 1, high = 9 }",
        "{ low = 9, high = 1 }",
        "{ low = 1e-4, high = 1e-2, log = true }",
        "{ low = 0, high = 1 }",
    ),
    *("{ low = 1, high = 9, step = 3 }", "{ low = 1, high = 8, when = { layers = 2 } }", "9999999999999999999999"),
    *('["adam", "sgd"]', '["none", "last"]', '{ choices = [1, 2], when = { optimizer = "sgd" } }', "2024-01-01", "'''"),
    *(
        "{ low = nan, high = 2 }",
        "{ low = 1, high = inf }",
        "{ when = {} }",
        "[1, 'a', 2.5]",
        '"\\ud800"',
        "0x10",
        "1_0",
    ),
)


@st.composite
def spaces(draw: st.DrawFn) -> str:
    """A search-space file that is almost valid."""
    keys = (
        *RULES,
        "description",
        "max_steps",
        "epoch_samples",
        "first",
        "lookbak",
        '"="',
        "a.b",
        "[first]",
        "[[first]]",
    )
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        key = draw(st.sampled_from(keys))
        lines.append(key if key.startswith("[") else f"{key} = {draw(st.sampled_from(VALUES))}")
    return "\n".join(lines) + draw(st.sampled_from(("", "\n", "\0", "\x1b", "[", "=")))


def use_space(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with own_errors_allowed():
        space = load_space(path)
        assert space.enqueued() is not None
        json.dumps(space.to_dict())
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
        for _ in range(3):
            assert isinstance(space.suggest(study.ask()), Config)


@given(text=spaces())
@fuzz(2)
def test_almost_valid_space_is_loaded_or_refused(folder: Path, text: str) -> None:
    use_space(folder / "space.toml", text.encode("utf-8", "replace"))


def test_corrupted_preset_is_loaded_or_refused(folder: Path) -> None:
    from lstm_tune.search.space import presets

    presets_text = tuple(path.read_bytes() for path in presets().values())

    @given(content=mutated(presets_text))
    @fuzz()
    def check(content: bytes) -> None:
        use_space(folder / "space.toml", content)

    check()


@pytest.mark.parametrize(
    "content",
    [
        b"lookback = " + b"[" * 100_000,
        b"lookback = " + b"{a=" * 5_000,
        b"a." * 50_000 + b"b = 1",
        b"lookback = " + b"9" * 100_000,
        b"[" + b"a." * 20_000 + b"a]\n",
        b"lookback = 8\n" * 2,
        b"\xef\xbb\xbf",
        b"lookback = { low = 1, high = 99999999999999999999 }",
        b"lookback = { low = 1, high = 9223372036854775807 }",
        b"learning_rate = { low = 5e-324, high = 1, log = true }",
        b"hidden_units = { low = 1, high = 4096, step = 4095 }",
    ],
    ids=range(11),
)
def test_extreme_space_is_loaded_or_refused(tmp_path: Path, content: bytes) -> None:
    use_space(tmp_path / "space.toml", content)


# ---- models

LEAVES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 10**9, 10**30, -(10**30), 0.5, 1e308, "", "x", "none", "h", "y", [], {}, [None]),
    *([1], ["y"], ["y", "y"], {"a": 1}, [0.0], "\x00", "a" * 10_000, 7, 3, "linear", 10**6),
)


@pytest.fixture(scope="module")
def model_folder() -> Iterator[Path]:
    """A saved model of two members, with covariates and a calendar."""
    data = series_of(daily(wave(), x=wave(seed=1), z=wave(seed=2)), target="y", past="x", future="z", calendar=True)
    shape = Shape(horizon=3, past=1, future=data.future.shape[1], period=7)
    windows = Windows(data, 3)
    members = []
    for seed, own in enumerate(({}, {"lookback": 5, "skip": "linear", "head_units": 3})):
        member = net(Config.from_params(TINY | own), shape, seed)
        member.fit_statistics(windows, ((0, 100),))
        members.append(member)
    scale = TargetScale.of(windows, ((0, 100),))
    with tempfile.TemporaryDirectory() as name:
        ForecastModel(MeanForecaster(members).eval(), shape, DataSpec.of(data), scale).save(name)
        yield Path(name)


def seal(folder: Path) -> None:
    files = {}
    for name in ("config.json", "weights.safetensors"):
        content = (folder / name).read_bytes()
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": files}))


def use_model(folder: Path) -> None:
    frame = daily(wave(40), x=wave(40, seed=1), z=wave(40, seed=2))
    ahead = daily([np.nan] * 3, start="2024-02-10", x=[np.nan] * 3, z=[1.0, 2.0, 3.0])
    with own_errors_allowed():
        model = ForecastModel.load(folder)
        forecast = model.predict(pd.concat([frame, ahead]))
        assert len(forecast) == model.horizon
        model.evaluate(frame)


@st.composite
def edits(draw: st.DrawFn, value: Any) -> Any:
    """The value with one or two of its parts replaced, dropped or added."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 2))):
        at = value
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], (dict, list)) and at[key] and draw(st.integers(0, 3)):
                at = at[key]
                continue
            match draw(st.sampled_from(("replace", "replace", "drop", "add"))):
                case "replace":
                    at[key] = copy.deepcopy(draw(st.sampled_from(LEAVES)))
                case "drop":
                    del at[key]
                case "add" if isinstance(at, dict):
                    at[draw(st.sampled_from(("new", "horizon", "x", "lookback")))] = copy.deepcopy(
                        draw(st.sampled_from(LEAVES))
                    )
                case "add":
                    at.append(copy.deepcopy(draw(st.sampled_from(LEAVES))))
            break
    return value


def test_corrupted_model_is_loaded_or_refused(folder: Path, model_folder: Path) -> None:
    names = ("config.json", "weights.safetensors", "manifest.json")

    @given(name=st.sampled_from(names), sealed=st.booleans(), data=st.data())
    @fuzz()
    def check(name: str, sealed: bool, data: st.DataObject) -> None:
        own = folder / "model"
        shutil.copytree(model_folder, own, dirs_exist_ok=True)
        (own / name).write_bytes(data.draw(mutated(((own / name).read_bytes(),))))
        if sealed:
            seal(own)
        use_model(own)

    check()


def test_model_with_edited_configuration_is_loaded_or_refused(folder: Path, model_folder: Path) -> None:
    config = json.loads((model_folder / "config.json").read_text())

    @given(config=edits(config))
    @fuzz(2)
    def check(config: Any) -> None:
        own = folder / "model"
        shutil.copytree(model_folder, own, dirs_exist_ok=True)
        (own / "config.json").write_text(json.dumps(config))
        seal(own)
        use_model(own)

    check()
