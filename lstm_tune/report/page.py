"""`report.html`: one page that shows a run folder to a person, made from the folder's files alone."""

from __future__ import annotations

import csv
import importlib.resources
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_tune.config import PARAMETERS
from lstm_tune.diagnosis.finding import SEVERITIES
from lstm_tune.errors import RunError
from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.report import figures
from lstm_tune.report.encoding import evenly
from lstm_tune.report.forecast_csv import SeriesForecast, read_forecast
from lstm_tune.report.study_text import UNTRAINED, trial_states
from lstm_tune.utils.atomic_files import read_json, write_text
from lstm_tune.utils.text import number

SCHEMA = 1  # of report.json
PAGE = "report.html"
DETAILS = "report.json"
_RESULT = "result.json"
_EXPLAINED = "explain.json"
LARGEST = 5_900_000  # bytes of the page
_FORECAST_VALUES = (70_000, 40_000, 20_000, 5_000)  # that are tried, of forecasts; at most as many actual ones
_SERIES = 100  # whose forecasts can be looked at
_COUNTS = ("number", "best_epoch", "epochs", "weights")


def write_report(folder: Path, result: Mapping[str, Any] | None = None) -> Path:
    """Write report.html into a run folder, from the files that lie there.

    Args:
        folder: the run folder.
        result: what result.json will hold, where it is not yet written.

    Returns:
        The path of the page.

    Raises:
        RunError: a file is missing or damaged.
    """
    page = folder / PAGE
    text = render(folder, read_json(folder / _RESULT, 1) if result is None else result)
    try:
        write_text(page, text)
    except OSError as error:
        raise RunError(f"cannot write {page}: {error.strerror}") from None
    return page


def render(folder: Path, result: Mapping[str, Any]) -> str:
    """Return the page of a run folder.

    Raises:
        RunError: a file is missing or damaged.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": number, "told": told}
    template = environment.get_template("report.html.j2")
    details = read_json(folder / DETAILS, SCHEMA) if (folder / DETAILS).exists() else {}
    explained = read_json(folder / _EXPLAINED, 1) if (folder / _EXPLAINED).exists() else None
    try:
        trials = read_trials(folder / "trials.csv")
        windows, horizon = result["test"]["windows"], result["data"]["horizon"]
        one = result["data"]["series"] * len(result["data"]["target"]) == 1
        for most in _FORECAST_VALUES[0 if one else 1 :]:
            forecasts = read_forecast(folder / "forecast.csv", horizon, windows, most)
            page = template.render(_context(folder, result, details, explained, trials, forecasts))
            if len(page.encode()) <= LARGEST:
                break
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, jinja2.UndefinedError) as error:
        raise RunError(
            f"the records in {folder} do not fit together ({type(error).__name__}: {error}); run tune again"
        ) from error
    return page


def plotly_source() -> str:
    """Return plotly.js as the plotly package ships it."""
    return (importlib.resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def read_trials(path: Path) -> list[dict[str, Any]]:
    """Read trials.csv: each trial with its state, its value, and `params`, numbers where they are numbers.

    Raises:
        RunError: missing or damaged.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        trials = []
        for row in rows:
            params = {k.removeprefix("params_"): _value(v) for k, v in row.items() if k.startswith("params_")}
            trial = {k: _value(v) for k, v in row.items() if not k.startswith("params_")}
            trials.append(
                trial
                | {name: int(float(row[name])) for name in _COUNTS if row.get(name)}
                | {"params": {name: value for name, value in params.items() if value is not None}}
            )
    except FileNotFoundError:
        raise RunError(f"{path} is missing; run tune again") from None
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise RunError(f"{path} is damaged or cannot be read ({error}); run tune again") from None
    if not trials or not {"number", "state", "value"} <= set(trials[0]):
        raise RunError(f"{path} is damaged: it holds no trials; run tune again")
    return trials


def _value(text: str) -> float | str | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else None


def told(value: Any) -> str:
    """Return a value of the records as people read it."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return number(value)
        case list() | tuple():
            return ", ".join(told(v) for v in value)
        case dict():
            return ", ".join(f"{k}: {told(v)}" for k, v in value.items())
    return str(value)


def _period(result: Mapping[str, Any]) -> float | None:
    """Return the rows in a season, None where there is none; NaN: an earlier version did not say."""
    return result["data"].get("period", math.nan)  # type: ignore[no-any-return]


def scores(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of scores: the tuned LSTM first, each with a bar's length in percent."""
    test, single = result["test"], len(result["data"]["target"]) == 1
    rows = [
        {
            "key": "forecast",
            "name": "tuned LSTM",
            "mse": test["mse"] if single else None,
            "scaled": test["mse_scaled"],
            "validation": result["best"]["val_mse_scaled"],
            "skill": None,
        }
    ]
    period = _period(result)
    for name, scored in result["baselines"].items():
        rows.append(
            {
                "key": name,
                "name": table_label(name, period),
                "mse": scored["test_mse"] if single else None,
                "scaled": scored["test_mse_scaled"],
                "validation": scored["val_mse_scaled"],
                "skill": result["skill"][name],
            }
        )
    most = max(row["scaled"] for row in rows) or 1.0
    return [row | {"bar": round(100 * row["scaled"] / most, 1)} for row in rows]


def target_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return, for several targets, the scores of each; nothing for one."""
    test = result["test"]
    if len(result["data"]["target"]) == 1:
        return []
    return [
        {"name": figures.cut(t), "mse": test["mse"][t], "rmse": test["rmse"][t], "r2": test["r2"][t]}
        | {"baselines": [scored["test_mse"][t] for scored in result["baselines"].values()]}
        for t in result["data"]["target"]
    ]


def _context(
    folder: Path,
    result: Mapping[str, Any],
    details: Mapping[str, Any],
    explained: Mapping[str, Any] | None,
    trials: Sequence[Mapping[str, Any]],
    forecasts: Sequence[SeriesForecast],
) -> dict[str, Any]:
    data, test, best = result["data"], result["test"], result["best"]["trial"]
    single, horizon = len(data["target"]) == 1, data["horizon"]
    unit = f"{figures.cut(data['target'][0], 24)}²" if single else "scaled"
    shown = [forecasts[i] for i in evenly(len(forecasts), _SERIES)]
    parameters = _by_importance(details)
    drawn: dict[str, figures.Figure] = {}
    if horizon > 1:
        steps = {
            name: scored["per_step_mse"] for name, scored in result["baselines"].items() if scored.get("per_step_mse")
        }
        drawn["steps"] = figures.error_per_step(test["per_step_mse"], steps, figures.label(unit), _period(result))
    if len(forecasts) > 1:
        drawn["series"] = figures.error_by_series(forecasts)
    if explained and explained["steps"]:
        drawn["waterfall"] = figures.waterfall(explained)
    if details.get("curves", {}).get("kept"):
        drawn["curves"] = figures.learning_curves(details["curves"])
    if sum(t["state"] == "COMPLETE" for t in trials) > 1:
        drawn["history"] = figures.history(trials)
    if details.get("importances"):
        drawn["importances"] = figures.importances(details["importances"])
    slices = []
    if parameters and "history" in drawn:
        drawn["parallel"] = figures.parallel(trials, parameters, best)
        for name, figure in figures.slices(trials, parameters, best):
            drawn[f"slice-{name}"] = figure
            slices.append(f"slice-{name}")
    findings = sorted(result.get("findings", []), key=lambda f: SEVERITIES.index(f["severity"]))
    period = details.get("period")
    return {
        "title": _title(data),
        "verdict": str(result["verdict"]),
        "result": result,
        "unit": unit,
        "single": single,
        "scores": scores(result),
        "targets": target_rows(result),
        "findings": findings,
        "explained": explained,
        "details": details,
        "period": period,
        "trials": len(trials),
        "fates": trial_states(result["study"]),
        "words": {name: info.help for name, info in PARAMETERS.items()},
        "untrained": UNTRAINED,
        "slices": slices,
        "slices_open": 6,
        "folder": str(folder),
        "explain_command": f"lstm-tune explain {shlex.quote(str(folder))}",
        "predict_command": f"lstm-tune predict {shlex.quote(str(folder))} {shlex.quote(data['path'])}",
        "windows_kept": sum(len(f.index) for f in shown),
        "windows_all": sum(f.windows for f in forecasts),
        "series_shown": len(shown),
        "series_all": len(forecasts),
        "figures": drawn,
        "payload": {
            "figures": drawn,
            "forecast": figures.forecast_view(shown, horizon, period),
            "data": figures.data_view(details["drawn"]) if details.get("drawn") else None,
        },
        "plotly": plotly_source(),
    }


def _title(data: Mapping[str, Any]) -> str:
    targets = data["target"]
    what = figures.cut(targets[0]) if len(targets) == 1 else f"{len(targets)} columns"
    ahead = "1 row" if data["horizon"] == 1 else f"{data['horizon']} rows"
    return f"{what}, {ahead} ahead"


def _by_importance(details: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the searched parameters, those first that matter most."""
    found = details.get("importances")
    shares = found["shares"] if found else {}
    return dict(sorted(details.get("parameters", {}).items(), key=lambda item: -shares.get(item[0], 0.0)))
