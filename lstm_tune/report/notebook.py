"""How a result shows itself in a notebook and at a Python prompt: the verdict, the table of scores, the findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstm_tune.diagnosis.finding import SHOWN, most_shown, severe_first
from lstm_tune.report.page import scores, title
from lstm_tune.report.study_text import ends, trial_states
from lstm_tune.utils.notebook import card, lines, listing, paragraph, table
from lstm_tune.utils.text import counted, error_against, number

_DIGITS = 4


def result_text(record: Mapping[str, Any]) -> str:
    """Return a result in a few lines.

    Args:
        record: as `result.json` holds it.
    """
    own, *others = scores(record)
    best = min(others, key=lambda row: row["score"] if row["key"] in record["baselines"] else float("inf"))
    single = own["mse"] is not None
    mse = f"{number(own['mse'] if single else own['scaled'], _DIGITS)}{'' if single else ' scaled'}"
    study = record["study"]
    return lines(
        f"Result: {title(record['data'])}",
        {
            "test MSE": f"{mse}, {own['name']}, 95% interval {ends(record['test']['ci95'], _DIGITS)}",
            "best without": f"{number(best['mse'] if single else best['scaled'], _DIGITS)}, {best['name']}",
            "study": f"{counted(study['n_trials'], 'trial')} ({trial_states(study)})",
            "findings": ", ".join(f["code"] for f in severe_first(record["findings"])[:SHOWN]) or "none",
            "see": ".test, .best_params, .model.predict(frame), .plot(kind), .save(folder)",
        },
    )


def result_html(record: Mapping[str, Any]) -> str:
    """Return a result as a block of HTML.

    Args:
        record: as `result.json` holds it.
    """
    rows = [
        [
            row["name"],
            *(number(row[key], _DIGITS) for key in ("mse", "scaled", "validation")),
            "" if row["key"] == "forecast" else error_against(row["skill"]),
        ]
        for row in scores(record)
    ]
    header = ["forecast", "test MSE", "scaled", "validation MSE, scaled", "model's error vs. it"]
    shown = most_shown(severe_first(record["findings"]), (record.get("next") or {}).get("code"))
    findings = [(f"{f['severity']} · {f['code']}", f"{f['says']} {f['advice']}") for f in shown]
    return card(title(record["data"]), paragraph(record["verdict"]), table(header, rows), listing(findings))
