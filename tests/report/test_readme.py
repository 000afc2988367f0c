"""README.md of the wing names every key of result.json."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from lstm_tune import report
from lstm_tune.report.result_json import ResultRecord


def test_every_key_of_the_result_is_described() -> None:
    text = Path(*report.__path__, "README.md").read_text(encoding="utf-8")
    table = text.split("## `result.json`")[1].split("## The report")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    by_refit = {"refit"}  # written by another command
    assert sorted(set(named) - by_refit) == sorted(field.name for field in fields(ResultRecord))
