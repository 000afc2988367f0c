"""report.html: what it shows, that it shows the run's own numbers, and that nothing can get out of its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from report_page import Page, edit, open_page
from series import TINY, wave

from lstm_tune.cli.app import main
from lstm_tune.errors import RunError
from lstm_tune.pipeline import tune as api
from lstm_tune.report import page as report
from lstm_tune.report.study_text import UNTRAINED

HOSTILE = '</script><script>alert("x")</script> <img src=http://evil.example/x onerror=alert(1)> & \'"'
SECTIONS = ["verdict", "findings", "forecast", "residuals", "waterfall", "learning", "search", "data", "configuration"]


def test_page_has_every_section_and_stays_small(run: Path) -> None:
    page = open_page(run)
    assert set(SECTIONS) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert (run / "report.html").stat().st_size < 6_000_000
    drawn = {"steps", "curves", "history", "parallel", "slice-lookback", "slice-learning_rate"}
    assert drawn <= set(page.payload["figures"])
    for name in page.payload["figures"]:
        assert f"plot-{name}" in page.ids


def test_page_needs_no_network(run: Path, shops: Path) -> None:
    for folder in (run, shops):
        page = open_page(folder)
        assert {a.split(":")[0] for a in page.addresses if not a.startswith("#")} <= {"data"}
        assert not set(page.tags) & {"iframe", "object", "embed", "form", "img"}
        assert "default-src 'none'" in (folder / "report.html").read_text()


def test_names_of_the_data_cannot_leave_their_place(run: Path, shops: Path) -> None:
    usual, hostile = open_page(run), open_page(shops)
    assert len(hostile.scripts) == len(usual.scripts) == 3
    assert hostile.handlers == []
    assert "alert" not in hostile.scripts[2]
    names = [s["name"] for s in hostile.payload["forecast"]["series"]]
    assert names[0].startswith("</script><script>")
    bars = hostile.payload["figures"]["series"]["data"][0]["y"]
    assert not any("<" in name for name in bars)  # plotly would read tags


def test_findings_are_shown_as_text_the_most_severe_first(copy: Path) -> None:
    finding = {"code": "outliers", "severity": "info", "says": HOSTILE, "advice": "Clip."}
    finding |= {"evidence": {"share": 0.25, "near_bound": {}, "seed_sd": None}}
    grave = finding | {"code": "overfit", "severity": "high", "says": "It learned noise."}
    edit(copy / "result.json", findings=[finding, grave], verdict="Good. Better. Best.")
    report.write_report(copy)
    page = open_page(copy)
    assert HOSTILE in page.text
    assert page.handlers == []
    assert page.text.index("It learned noise.") < page.text.index(HOSTILE)
    assert "share: 0.25" in page.text
    assert not {"near bound", "seed sd"} & set(re.findall(r"near bound|seed sd", page.text))  # nothing to tell
    assert page.text.index("Good. Better. Best.") < page.text.index("persistence")


def test_report_again_gives_the_same_page(run: Path, copy: Path) -> None:
    report.write_report(copy)
    pages = [(f / "report.html").read_text().replace(str(f), "RUN") for f in (run, copy)]
    assert pages[0] == pages[1]


def test_command_prints_the_path_and_needs_no_storage(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["lstm-tune", "report", str(copy)])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code in (0, None)
    assert capsys.readouterr().out.strip() == str(copy / "report.html")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("result.json", None, "is missing"),
        ("result.json", "{", "is damaged"),
        ("result.json", '{"schema": 1}', r"result\.json is damaged, or of an earlier version \(KeyError: 'data'\)"),
        ("report.json", '{"schema": 9}', "schema 9.*tune with --resume"),
        ("explain.json", "[]", "is damaged: .*run lstm-tune explain again"),
        ("inputs.json", "{", r"is damaged \(.* --inputs again"),
        ("report.json", '{"schema": 1, "forecasts": {"of": 1}}', r"report\.json is damaged \(.*tune with --resume"),
        ("report.json", '{"schema": 1, "trials": [{"number": 1}]}', r"report\.json is damaged \(.*tune with --resume"),
        ("explain.json", '{"schema": 1, "steps": [{}]}', r"explain\.json is damaged \(.*run lstm-tune explain again"),
        ("inputs.json", '{"schema": 1}', r"inputs\.json is damaged \(KeyError: 'inputs'\); .* --inputs again"),
    ],
)
def test_damaged_folder_is_refused_in_one_line(copy: Path, name: str, text: str | None, says: str) -> None:
    if text is None:
        (copy / name).unlink()
    else:
        (copy / name).write_text(text)
    with pytest.raises(RunError, match=says) as error:
        report.write_report(copy)
    assert "\n" not in str(error.value)


def test_untrained_parts_and_a_missing_season_are_explained(copy: Path) -> None:
    path = copy / "result.json"
    result = json.loads(path.read_text())
    member = result["ensemble"][0]
    result["ensemble"] = [
        member | {"epochs": 0, "weight": 0.7, "params": {"skip": "last"}},
        member | {"epochs": 3, "weight": 0.3},
    ]
    result["data"]["period"] = None
    result["data"]["notes"] = ["pass time= for dates"]
    path.write_text(json.dumps(result))
    report.write_report(copy)
    page = open_page(copy).text
    assert UNTRAINED in page
    assert "saved model (30% LSTM)" in page
    assert "LSTM alone" in page
    assert "pass --time for dates" in page
    assert "The LSTM adds little here: 70% of the saved model are untrained forecasts." in page
    assert "seasonal naive (no season)" in page
    result["ensemble"][0]["epochs"] = 1
    del result["data"]["period"]  # as earlier versions wrote it
    path.write_text(json.dumps(result))
    report.write_report(copy)
    page = open_page(copy).text
    assert UNTRAINED not in page
    assert "adds little" not in page
    assert "seasonal naive (last season)" in page


def test_run_of_an_earlier_version_still_has_a_page(copy: Path) -> None:
    details = json.loads((copy / "report.json").read_text())
    kept = {key: value for key, value in details.items() if key not in ("trials", "forecasts")}
    (copy / "report.json").write_text(json.dumps(kept))
    report.write_report(copy)
    page = open_page(copy)
    for what in ("forecasts", "residuals", "trials"):
        assert f"An earlier version wrote this run and kept no {what} for the report" in page.text
    assert {"steps", "curves"} <= set(page.payload["figures"])
    assert page.payload["forecast"] is None


def test_run_without_report_json_still_has_a_page(copy: Path) -> None:
    (copy / "report.json").unlink()
    report.write_report(copy)
    assert "No learning curves are recorded" in open_page(copy).text


def test_missing_targets_and_missing_values_of_all_columns_are_distinguished(copy: Path) -> None:
    result = json.loads((copy / "result.json").read_text())
    result["data"] |= {"missing": {"y": 0}, "repaired": {"missing_values": 2, "gap_rows": 5}}
    page = Page(report.render(copy, result)).text
    assert re.search(r"missing target values in the source\s*0", page)
    assert re.search(r"missing values in the source, covariates included\s*2", page)
    assert re.search(r"rows missing from the time grid, added and never scored\s*5", page)


def test_failing_report_loses_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_epochs: None, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise ValueError("no such figure")

    result = api.tune(wave(), space=TINY, n_trials=1, retrain_seeds=1)
    monkeypatch.setattr("lstm_tune.report.result.write_report", fail)
    result.save(tmp_path / "run")
    assert (tmp_path / "run" / "result.json").exists()
    assert "no report was written (ValueError: no such figure)" in caplog.text


def test_study_of_one_trial_has_a_page(shops: Path) -> None:
    text = open_page(shops).text
    assert "nothing to compare" in text
    assert "1 trial:" in text
