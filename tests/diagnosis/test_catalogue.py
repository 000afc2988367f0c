"""The tables of finding codes: beside the checks, and in the README of the wing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lstm_tune
from lstm_tune.diagnosis.catalogue import CODES, DATA_CODES
from lstm_tune.diagnosis.data_checks import DATA_CHECKS
from lstm_tune.diagnosis.study_findings import STUDY_CHECKS

README = Path(lstm_tune.__file__).parent / "diagnosis" / "README.md"
CONTRACT = {
    *("non_stationary_level", "trend_beyond_training_range", "train_test_shift", "scale_unfit", "outliers"),
    *("missing_values", "irregular_time", "constant_series", "too_little_data", "seasonality", "low_signal"),
    *("underfit", "overfit", "learning_rate_too_high", "learning_rate_too_low", "too_few_epochs", "too_many_epochs"),
    *("batch_size", "diverged_trials", "copies_last_value", "predicts_the_mean", "missed_seasonality"),
    *("outliers_dominate", "biased", "worse_than_baseline", "winner_within_seed_noise", "validation_overfit"),
    *("space_edge", "stop_now", "more_trials"),
}


def described(section: str) -> list[list[str]]:
    """The cells of each row of the table of codes in a section of the README."""
    text = README.read_text("utf-8").split(f"### {section}\n")[1].split("\n#")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "| `" in line[:3]]


def test_codes_that_users_rely_on_are_all_there() -> None:
    assert set(CODES) >= CONTRACT


@pytest.mark.skipif(not README.exists(), reason="installed without its README files")
@pytest.mark.parametrize(
    ("sections", "codes"),
    [
        (["Findings on the data"], DATA_CODES),
        (
            ["Findings on the training", "Findings on the forecasts", "Findings on the search"],
            [code for code in CODES if code not in DATA_CODES],
        ),
    ],
)
def test_readme_describes_each_code_once(sections: list[str], codes: list[str]) -> None:
    rows = [row for section in sections for row in described(section)]
    assert sorted(row[0].strip("`") for row in rows) == sorted(codes)
    for row in rows:
        assert len(row) == 4, row
        assert all(row), row


def test_a_cause_is_the_end_of_a_sentence() -> None:
    for check in (*DATA_CHECKS, *STUDY_CHECKS):
        cause = check.cause({}) if callable(check.cause) else check.cause
        assert cause is None or re.fullmatch(r"[a-z].*[a-z]", cause), check.code


def test_a_finding_that_explains_another_one_names_a_code_that_is_there() -> None:
    assert {code for check in (*DATA_CHECKS, *STUDY_CHECKS) for code in check.explains} <= set(CODES)
