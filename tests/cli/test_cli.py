"""The command line: what it prints, where, and with which exit status."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from series import daily, wave

import lstm_tune
from lstm_tune.cli import app as cli
from lstm_tune.errors import UsageError
from lstm_tune.report.study_text import score_digits
from lstm_tune.utils.duration import parse_duration
from lstm_tune.utils.escaping import quote_column, split_columns
from lstm_tune.utils.text import number

pytestmark = pytest.mark.usefixtures("short_epochs")

SPACE = """
lookback = [4, 8]
hidden_units = 4
dropout = 0.0
batch_size = 32
epochs = 1
patience = 1
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command_line: Any) -> Any:
    """Run the command line in this process, in an empty folder; return (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE)
    daily(wave()).to_csv(tmp_path / "data.csv", index=False)

    return command_line


TUNE = ("--space", "space.toml", "--trials", "2", "--retrain-seeds", "1", "--horizon", "2", "--target", "y")


def tune(run: Any, *args: str, data: str = "data.csv") -> tuple[int, str, str]:
    result: tuple[int, str, str] = run("tune", data, *TUNE, *args)
    return result


def subprocess_of(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "lstm_tune", *args]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


# ---- what works


def test_help_names_every_command(run: Any) -> None:
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    for command in ("tune", "predict", "evaluate", "spaces"):
        assert command in out


def test_help_of_the_root_is_cut_nowhere_at_80_columns(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run("--help")
    assert "..." not in out.partition("Commands:")[2]
    assert max(map(len, out.splitlines())) <= 80


def test_version_is_that_of_the_package(run: Any) -> None:
    assert run("--version") == (0, f"lstm-tune {lstm_tune.__version__}\n", "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", lstm_tune.__version__)


def test_help_of_tune_names_every_option_of_the_contract(run: Any) -> None:
    _, out, _ = run("tune", "--help")
    words = "target time id horizon past future calendar no-calendar split folds space trials timeout seed precision"
    words += " workers device sampler pruner study storage retrain-seeds out resume quiet json"
    assert not [word for word in words.split() if f"--{word}" not in out]


@pytest.mark.slow
@pytest.mark.processes
def test_json_is_all_that_is_printed_on_stdout(tmp_path: Path) -> None:
    daily(wave(60)).to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "space.toml").write_text(SPACE)
    done = subprocess_of("tune", "data.csv", *TUNE, "--json", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record == json.loads((tmp_path / "run" / "result.json").read_text())
    assert done.stderr == ""


def test_tune_shows_the_score_beside_the_baselines_and_where_it_is(run: Any, tmp_path: Path) -> None:
    status, out, err = tune(run)
    assert status == 0
    record = json.loads((tmp_path / "runs" / "data-y-h2" / "result.json").read_text())
    assert "saved model" in out
    assert number(record["test"]["mse"], score_digits(record["test"])) in out
    assert "ridge" in out
    assert "runs/data-y-h2" in out
    assert "trial 1 (2/2)" in err
    assert "Traceback" not in out + err


def test_quiet_prints_nothing(run: Any) -> None:
    assert tune(run, "--quiet") == (0, "", "")


def test_second_run_takes_another_folder_and_resume_the_last(run: Any, tmp_path: Path) -> None:
    for _ in range(2):
        assert tune(run, "--quiet")[0] == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["data-y-h2", "data-y-h2-2"]
    assert run("tune", "data.csv", *TUNE, "--quiet", "--resume", "--trials", "3")[0] == 0
    assert len(pd.read_csv(tmp_path / "runs" / "data-y-h2-2" / "trials.csv")) == 3


def test_evaluate_says_as_tune_does_that_a_model_is_mostly_untrained(run: Any, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(SPACE + 'skip = "last"\nlearning_rate = 10\n')
    assert " saved model (0% LSTM) " in tune(run, "--out", "run")[1]
    assert " saved model (0% LSTM) " in run("evaluate", "run", "data.csv")[1]


def test_run_is_predicted_and_evaluated(run: Any, tmp_path: Path) -> None:
    tune(run, "--quiet", "--out", "run")
    status, out, err = run("predict", "run", "data.csv")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "time,step,y"
    assert [line.split(",")[0] for line in lines[1:]] == ["2024-06-09", "2024-06-10"]
    status, out, err = run("predict", "run", "data.csv", "--out", "ahead.csv")
    assert (status, out) == (0, "")
    assert (tmp_path / "ahead.csv").read_text().splitlines() == lines
    status, out, err = run("evaluate", "run", "data.csv", "--json")
    assert status == 0
    assert err.startswith("note: 119 of 151 windows lie in rows that the model was trained on")
    scores = json.loads(out)
    assert list(scores) == ["model", "persistence", "seasonal_naive", "ridge", "ets", "combination"]
    assert set(scores["model"]) >= {"mse", "rmse", "mae", "r2", "mse_scaled", "windows"}
    status, out, err = run("evaluate", "run", "data.csv")
    assert status == 0
    assert "saved model  " in out
    assert "mean of simple forecasts" in out
    pd.read_csv("data.csv").tail(30).to_csv("new.csv", index=False)
    status, out, err = run("evaluate", "run", "new.csv")
    assert status == 0
    says = " ".join(out.split())
    assert "Not scored: ridge regression, exponential smoothing, and mean of simple forecasts; the data do not" in says


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("f.csv", pd.read_csv),
        ("f.tsv", lambda path: pd.read_csv(path, sep="\t")),
        ("f.parquet", pd.read_parquet),
        ("F.PARQUET", pd.read_parquet),
        ("f.feather", pd.read_feather),
    ],
)
def test_forecast_is_written_in_the_format_of_the_file_name(run: Any, tmp_path: Path, name: str, read: Any) -> None:
    if not (tmp_path / "run").exists():
        tune(run, "--quiet", "--out", "run")
    assert run("predict", "run", "data.csv", "--out", name)[0] == 0
    frame = read(tmp_path / name)
    assert list(frame.columns) == ["time", "step", "y"]
    assert frame["step"].tolist() == [1, 2]
    assert [str(t)[:10] for t in frame["time"]] == ["2024-06-09", "2024-06-10"]
    text = pd.read_csv(io.StringIO(run("predict", "run", "data.csv")[1]))
    np.testing.assert_allclose(frame["y"], text["y"], rtol=1e-7)


@pytest.mark.parametrize("name", ["f.xlsx", "f", "f.csv.gz", "f.parq"])
def test_forecast_in_an_unknown_format_is_refused_before_anything_is_read(run: Any, tmp_path: Path, name: str) -> None:
    status, out, err = run("predict", "nothing", "data.csv", "--out", name)
    assert (status, out) == (2, "")
    assert f"must end with .csv, .tsv, .parquet, .feather, but is '{name}'" in err
    assert not (tmp_path / name).exists()


def test_interruption_ends_with_130_and_says_how_to_go_on(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lstm_tune.pipeline import tune as api

    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "run", interrupted)
    status, out, err = tune(run)
    assert (status, out) == (130, "")
    assert err.count("\n") == 1
    assert err.rstrip().endswith("--out runs/data-y-h2 --resume")


def test_spaces_are_listed_shown_and_checked(run: Any) -> None:
    status, out, _ = run("spaces", "list")
    assert status == 0
    for name in ("classic", "quick", "default", "thorough"):
        assert name in out
    status, out, _ = run("spaces", "show", "quick")
    assert status == 0
    assert "lookback" in out
    status, out, _ = run("spaces", "check", "space.toml")
    assert (status, out.startswith("space.toml: fine; searches 1 parameter (lookback)")) == (0, True)


# ---- what is refused

rng = np.random.default_rng(0)
BAD_FILES: dict[str, Any] = {
    "empty.csv": "",
    "header.csv": "date,y\n",
    "one_row.csv": "date,y\n2024-01-01,1.0\n",
    "few_rows.csv": daily(wave(5)).to_csv(index=False),
    "text.csv": daily([f"w{i}" for i in range(60)]).to_csv(index=False),
    "equal.csv": daily(np.full(60, 3.0)).to_csv(index=False),
    "missing.csv": daily(np.full(60, np.nan)).to_csv(index=False),
    "constant_train.csv": daily(np.r_[np.full(115, 3.0), wave(45)]).to_csv(index=False),
    "binary.parquet": b"\x00\x01no parquet",
    "data.xyz": "date,y\n",
}
BAD_DATA = [
    ("nothing.csv", ()),
    *((name, ()) for name in BAD_FILES),
    (".", ()),
    ("example:nothing", ()),
    ("data.csv", ("--target", "nothing")),
    ("data.csv", ("--time", "nothing")),
    ("data.csv", ("--id", "nothing")),
    ("data.csv", ("--past", "nothing")),
    ("data.csv", ("--past", "y")),
    ("few_rows.csv", ("--horizon", "12")),
    ("data.csv", ("--horizon", "0")),
    ("data.csv", ("--horizon", "many")),
    ("data.csv", ("--horizon", "80")),
    ("data.csv", ("--horizon", "40", "--split", "0.7,0.1,0.2")),
    ("data.csv", ("--split", "0.5,0.5,0.5")),
    ("data.csv", ("--split", "0.7,0.3")),
    ("data.csv", ("--split", "a,b,c")),
    ("data.csv", ("--split", "0.7,-0.1,0.4")),
    ("data.csv", ("--split", "0.98,0.01,0.01")),
    ("data.csv", ("--split", "500,100,100")),
    ("data.csv", ("--split", "158,1,1")),
    ("data.csv", ("--folds", "0")),
    ("data.csv", ("--space", "nothing")),
    ("data.csv", ("--space", "nothing.toml")),
    ("data.csv", ("--trials", "-1")),
    ("data.csv", ("--trials", "0")),
    ("data.csv", ("--timeout", "soon")),
    ("data.csv", ("--timeout", "0")),
    ("data.csv", ("--seed", "-3")),
    ("data.csv", ("--retrain-seeds", "0")),
    ("data.csv", ("--device", "tpu")),
    ("data.csv", ("--precision", "fp8")),
    ("data.csv", ("--sampler", "magic")),
    ("data.csv", ("--pruner", "magic")),
    ("data.csv", ("--out", "space.toml")),
    ("data.csv", ("--out", "space.toml/run")),
    ("data.csv", ("--storage", "nosuch://x")),
    ("data.csv", ("--storage", "nothing/here.journal")),
]
BAD_SPACES = [
    "lookback = [4, 8",
    "lookbak = 4",
    "lookback = 0",
    "lookback = 4.5",
    "lookback = []",
    'optimizer = "adamm"',
    "learning_rate = { low = 1e-2, high = 1e-4 }",
    "learning_rate = { low = 0.0, high = 1e-2, log = true }",
    'momentum = { low = 0.0, high = 0.9, when = { optimizer = "sgd" } }',
    "patch = 99\nlookback = 4",
    "",
    "lookback = 10000",
]


def assert_refused(done: tuple[int, str, str]) -> None:
    status, out, err = done
    assert status in (1, 2), (status, err)
    assert out == ""
    assert "Traceback" not in err
    assert err.strip()


@pytest.mark.parametrize(("data", "options"), BAD_DATA, ids=lambda x: str(x))
def test_bad_input_is_refused_with_one_line(run: Any, tmp_path: Path, data: str, options: tuple[str, ...]) -> None:
    if data in BAD_FILES:
        content = BAD_FILES[data]
        (tmp_path / data).write_bytes(content if isinstance(content, bytes) else content.encode())
    done = tune(run, *options, data=data)
    assert_refused(done)
    if options != ("--horizon", "many"):  # the parser's own message, with its usage
        assert done[2].count("\n") == 1
        assert done[2].startswith("lstm-tune: ")
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("content", BAD_SPACES)
def test_bad_space_is_refused_with_one_line_that_names_the_file(run: Any, tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.toml").write_text(content)
    done = tune(run, "--space", "bad.toml")
    assert_refused(done)
    assert done[2].startswith("lstm-tune: bad.toml: ")
    assert done[2].count("\n") == 1
    assert done[0] == 2


def test_folder_with_another_study_is_refused(run: Any) -> None:
    assert tune(run, "--quiet", "--out", "run")[0] == 0
    for options in ((), ("--resume", "--seed", "5")):
        done = tune(run, "--out", "run", *options)
        assert_refused(done)
        assert done[0] == 1
        assert done[2].count("\n") == 1


def test_resuming_with_another_horizon_is_refused(run: Any) -> None:
    assert tune(run, "--quiet", "--out", "run")[0] == 0
    assert_refused(tune(run, "--out", "run", "--resume", "--horizon", "3"))


def test_run_that_is_none_is_refused(run: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for command in ("predict", "evaluate"):
        for folder in ("nothing", "empty", "data.csv"):
            done = run(command, folder, "data.csv")
            assert_refused(done)
            assert (done[0], done[2].count("\n")) == (1, 1)


def test_data_that_do_not_fit_the_model_are_refused(run: Any, tmp_path: Path) -> None:
    tune(run, "--quiet", "--out", "run")
    daily(wave(3)).to_csv(tmp_path / "short.csv", index=False)
    daily(wave(60)).rename(columns={"y": "z"}).to_csv(tmp_path / "other.csv", index=False)
    hourly = pd.DataFrame({"date": pd.date_range("2024", periods=60, freq="h"), "y": wave(60)})
    hourly.to_csv(tmp_path / "hourly.csv", index=False)
    for command in ("predict", "evaluate"):
        for name in ("short.csv", "other.csv", "hourly.csv", "nothing.csv"):
            if (command, name) == ("predict", "short.csv"):  # continued into the past
                continue
            done = run(command, "run", name)
            assert_refused(done)
            assert (done[0], done[2].count("\n")) == (2, 1)
    assert_refused(run("predict", "run", "data.csv", "--out", "nowhere/ahead.csv"))


@pytest.mark.slow
@pytest.mark.processes
def test_error_is_one_line_from_a_real_process(tmp_path: Path) -> None:
    done = subprocess_of("tune", "nothing.csv", cwd=tmp_path)
    assert_refused((done.returncode, done.stdout, done.stderr))
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
@pytest.mark.parametrize("command", ["spaces list", "--version"])
def test_full_disk_behind_stdout_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["lstm-tune", *command.split()])
    monkeypatch.setattr(sys, "stdout", open("/dev/full", "w"))  # noqa: SIM115
    with pytest.raises(SystemExit) as ended:
        cli.main()
    sys.stdout.close()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == "lstm-tune: the output: No space left on device; what was finished is kept\n"


def test_lack_of_memory_is_one_line(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*args: Any, **options: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("lstm_tune.diagnosis.data_findings.load_series", hungry)
    status, out, err = run("diagnose", "data.csv")
    assert (status, out) == (1, "")
    assert err.startswith("lstm-tune: memory ran out; give it fewer rows")
    assert err.count("\n") == 1


# ---- pure functions


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (" 2H ", 7200),
        ("1m30", 90),
        ("0.5", 0.5),
    ],
)
def test_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-5m", "10 minutes", "5m1h", "1e3", "nan"])
def test_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="90s, 10m or 1h30m"):
        parse_duration(text)


def test_worker_names_its_option_for_the_time(command_line: Any) -> None:
    status, _, err = command_line("worker", "s", "none.csv", "--for", "-1s")
    assert (status, "--for must be a time such as 90s" in err) == (2, True)


def test_columns_are_split_at_commas() -> None:
    assert split_columns(["a, b", "c"]) == ["a", "b", "c"]
    assert split_columns(None) == []
    assert split_columns(['"a, b",c', 'd "e"']) == ["a, b", "c", 'd "e"']


@pytest.mark.parametrize("name", ["y", "a b", "a,b", 'the "real" one', '"', '",', "a\nb", "=1+1", ",", "ä;|"])
def test_quoted_column_is_read_back(name: str) -> None:
    assert split_columns([quote_column(name)]) == [name]


def test_app_is_what_typer_runs() -> None:
    assert isinstance(cli.app, typer.Typer)
