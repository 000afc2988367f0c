"""`--config`: a run file gives the options of a command, and every run folder holds its own."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from series import daily, wave

from lstm_tune.pipeline.options import TuneOptions

pytestmark = pytest.mark.usefixtures("short_epochs")

SPACE = "lookback = [4, 8]\nhidden_units = 4\ndropout = 0.0\nbatch_size = 32\nepochs = 1\npatience = 1\n"
FILE = """
data = "data.csv"
target = "y"
past = ["x,1"]
horizon = 2
trials = 1
space = "space.toml"
retrain-seeds = 1
seed = 3
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command_line: Any) -> Any:
    """Run the command line in this process, in a folder with data, a space and a run file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE)
    (tmp_path / "job.toml").write_text(FILE)
    daily(wave()).assign(**{"x,1": wave(seed=1)}).to_csv(tmp_path / "data.csv", index=False)
    return command_line


def test_a_run_file_gives_the_options_and_the_command_line_wins(run: Any) -> None:
    status, _, err = run("tune", "--config", "job.toml", "--trials", "2", "--out", "one", "--quiet")
    assert (status, err) == (0, "")
    record = json.loads(Path("one/result.json").read_text())
    assert (record["data"]["horizon"], record["study"]["n_trials"], record["settings"]["seed"]) == (2, 2, 3)
    assert record["options"]["past"] == ["x,1"]


def test_the_run_file_of_a_folder_repeats_the_run(run: Any) -> None:
    assert run("tune", "--config", "job.toml", "--out", "one", "--quiet")[0] == 0
    assert run("tune", "--config", "one/run.toml", "--out", "two", "--quiet")[0] == 0
    for name in ("forecast.csv", "run.toml"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("horison = 2", "there is no option 'horison'; did you mean horizon?"),
        ("config = 'a.toml'", "there is no option 'config'"),
        ("horizon = [1, 2]", "horizon must be text, a number, true or false, but is [1, 2]"),
        ("horizon = 3.5", "lstm-tune: job.toml: horizon must be a whole number, but is 3.5"),
        ("horizon = true", "lstm-tune: job.toml: horizon must be a whole number, but is True"),
        ("season = [7, 3.5]", "lstm-tune: job.toml: season must be a whole number, but is [7, 3.5]"),
        ("calendar = 'yes'", "lstm-tune: job.toml: calendar must be true or false, but is 'yes'"),
        ("space = 3", "lstm-tune: job.toml: space must be text, but is 3"),
        (
            "[tune]\nhorizon = 3",
            "job.toml: [tune] is a table, which is not used; put the options at the top",
        ),
        ("horizon = 'two'", "lstm-tune: job.toml: invalid value for '--horizon': 'two' is not a"),
        ("try-advice = 'much'", "lstm-tune: job.toml: invalid value for '--try-advice': 'much' is not a"),
        ("horizon = 0", "lstm-tune: job.toml: horizon must be"),
        ("timeout = 'soon'", "lstm-tune: job.toml: timeout must be"),
        ("retrain-seeds = 0", "lstm-tune: job.toml: retrain-seeds must be"),
        ("split = '7'", "lstm-tune: job.toml: split must be"),
        ("target = [{ a = 1 }]", "target must be text, a number or a list of these"),
        ("horizon = ", "is not TOML"),
    ],
)
def test_a_wrong_run_file_is_refused_in_one_line(run: Any, text: str, said: str) -> None:
    Path("job.toml").write_text(f"data = 'data.csv'\n{text}\n")
    status, out, err = run("tune", "--config", "job.toml")
    assert status == 2
    assert said in out + err
    assert "Traceback" not in out + err


def test_a_number_is_no_name_of_data(run: Any) -> None:
    Path("job.toml").write_text("data = 3\n")
    status, _, err = run("tune", "--config", "job.toml")
    assert (status, err.strip()) == (2, "lstm-tune: job.toml: data must be text, but is 3")


def test_an_error_of_the_command_line_names_no_run_file(run: Any) -> None:
    for words in (["--horizon", "0"], ["--horizon", "two"]):
        status, _, err = run("tune", "--config", "job.toml", *words)
        assert (status, "job.toml" in err) == (2, False)


def test_a_run_file_that_is_not_there_is_named(run: Any) -> None:
    status, _, err = run("tune", "--config", "none.toml")
    assert status == 2
    assert "--config none.toml cannot be read: No such file" in err


@pytest.mark.parametrize(
    "options",
    [
        {"target": ("a", "b,c"), "id": "shop", "past": ('say "x"', "é\t"), "calendar": False, "holidays": "DE-BY"},
        {"split": "last:4,8", "timeout": "90s", "n_trials": 7, "pruner": "none", "resume": True, "out": "here"},
        {"split": (0.6, 0.2, 0.2), "workers": 2, "seed": 5, "precision": "bf16", "decimal": ",", "space": "quick"},
    ],
)
def test_a_run_file_says_what_the_command_says(options: dict[str, Any]) -> None:
    asked = TuneOptions(**options)
    text = asked.run_file("d.csv", workers=2, precision="fp32")
    assert text is not None
    content = tomllib.loads(text)
    command = asked.command("d.csv", workers=2, precision="fp32")
    assert command is not None
    assert content.pop("data") == "d.csv"
    assert {f"--{'' if value is not False else 'no-'}{name}" for name, value in content.items()} == {
        word for word in command.split() if word.startswith("--")
    }
    for name in ("target", "id", "past"):
        assert tuple(content.get(name, ())) == (getattr(asked, name) or ())


def test_objects_and_passwords_are_in_no_run_file() -> None:
    assert TuneOptions(space={"lookback": 4}).run_file("d.csv", workers=1, precision="fp32") is None
    assert TuneOptions().run_file(None, workers=1, precision="fp32") is None
    text = TuneOptions(storage="postgresql://me:secret@host/db").run_file("d.csv", workers=1, precision="fp32")
    assert text is not None
    assert "postgresql" not in text


def test_schema_takes_what_runs_write_and_refuses_what_the_command_refuses(run: Any) -> None:
    status, out, err = run("spaces", "schema", "--run")
    assert (status, err) == (0, "")
    schema = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(schema)
    takes = jsonschema.Draft202012Validator(schema).is_valid
    assert run("tune", "--config", "job.toml", "--level", "80", "--calendar", "--out", "one", "--quiet")[0] == 0
    for file in ("job.toml", "one/run.toml"):
        assert takes(tomllib.loads(Path(file).read_text()))
    for text in ("horison = 2", "horizon = [1, 2]", "calendar = 'yes'", "data = 3", "config = 'a.toml'"):
        assert not takes(tomllib.loads(text))


def test_schema_of_spaces_is_printed(run: Any) -> None:
    status, out, _ = run("spaces", "schema")
    assert (status, json.loads(out)["title"]) == (0, "lstm_tune search space")
