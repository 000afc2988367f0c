"""What the page draws by itself because readers choose it: the test forecasts, and the series with its parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.report.encoding import pack
from lstm_tune.report.plot import cut
from lstm_tune.utils.text import number


def forecast_view(record: Mapping[str, Any], period: float | None) -> dict[str, Any]:
    """Return the kept test forecasts with names that fit and numbers as text.

    Args:
        record: `forecasts` of `report.json`.
        period: rows in a season, as `table_label` takes it.
    """
    series = [
        dict(one)
        | {"name": cut(str(one["name"])), "short": cut(str(one["name"]), 22)}
        | {key: number(one[key]) for key in ("mse", "bias")}
        for one in record["series"]
    ]
    simple = None if record["simple"] is None else table_label(record["simple"], period)
    shared = {key: record[key] for key in ("horizon", "period", "axes")}
    return shared | {"simple": simple, "series": series}


def data_view(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return the drawn series with the borders of their parts.

    Args:
        drawn: as in `report.json`.
    """
    axes: list[dict[str, Any]] = []
    lines = []
    for line in drawn["lines"]:
        if line["times"] not in axes:
            axes.append(line["times"])
        one = {
            "name": cut(str(line["name"])),
            "short": cut(str(line["name"]), 22),
            "axis": axes.index(line["times"]),
            "values": pack([math.nan if v is None else v for v in line["values"]]),
            "origin": line.get("origin", 0.0),
            "parts": line["parts"],
        }
        lines.append(one)
    return {"axes": axes, "series": lines}
