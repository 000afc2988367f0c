"""`report.html`: one page that shows a run folder to a person, made from its JSON files alone."""

from __future__ import annotations

import contextlib
import importlib.resources
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_tune.config import PARAMETERS
from lstm_tune.diagnosis.finding import SEVERITY_WORDS, severe_first
from lstm_tune.diagnosis.interval_checks import judges
from lstm_tune.errors import RunError
from lstm_tune.evaluation.baseline_labels import given_label, table_label
from lstm_tune.evaluation.metrics import IN_UNITS, TITLES
from lstm_tune.evaluation.model_labels import adds_little, alone_label, model_label, weight_of_best
from lstm_tune.report import error_figures, search_figures
from lstm_tune.report.palette import SHADES
from lstm_tune.report.plain import from_plain
from lstm_tune.report.plot import Figure, cut, label
from lstm_tune.report.result_json import ResultRecord
from lstm_tune.report.search_figures import DrawnTrial
from lstm_tune.report.study_text import levels_option, on_untrained, score_digits, trial_states
from lstm_tune.report.views import data_view, forecast_view
from lstm_tune.utils.atomic_files import read_json, refuse_damage, write_text
from lstm_tune.utils.spelling import as_typed
from lstm_tune.utils.text import error_against, number

Row = dict[str, Any]  # of a table
SCHEMA = 1  # of report.json
PAGE = "report.html"
DETAILS = "report.json"
_RESULT = "result.json"
EXPLAINED = "explain.json"
INPUTS = "inputs.json"
_NONE: Mapping[str, Any] = {DETAILS: {}, EXPLAINED: None, INPUTS: None}  # what the page is made of if there is none
_REMEDIES = {
    DETAILS: "restore it from a copy, or let lstm-tune tune with --resume write it again",
    EXPLAINED: "restore it from a copy, or delete it and run lstm-tune explain again",
    INPUTS: "restore it from a copy, or delete it and run lstm-tune explain --inputs again",
}
_REPAIRS = {  # of `data.repaired`, in words
    "missing_values": "missing values in the source, covariates included",
    "infinite_values": "infinite values, read as missing",
    "gap_rows": "rows missing from the time grid, added and never scored",
    "duplicates": "rows with a repeated time stamp, left out",
    "out_of_order": "rows out of order, sorted",
    "off_grid": "rows off the time grid",
    "series_left_out": "series left out",
}
_SLICES_OPEN = 6  # figures of single parameters that are shown at once; the rest can be opened


def write_report(folder: Path, result: Mapping[str, Any] | None = None) -> Path:
    """Write report.html into a run folder, from the files that lie there.

    Args:
        folder: the run folder.
        result: what result.json will hold, if it is not written yet.

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
        raise RunError(f"cannot write {page}: {error.strerror}; make the folder writable") from None
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
    environment.filters |= {"number": number, "readable": readable, "error_against": error_against}
    environment.filters["as_typed"] = as_typed
    template = environment.get_template("report.html.j2")
    schemas = {DETAILS: SCHEMA, EXPLAINED: 1, INPUTS: 1}
    records = {
        name: read_json(folder / name, schema, _REMEDIES[name]) if (folder / name).exists() else _NONE[name]
        for name, schema in schemas.items()
    }

    def fill(records: Mapping[str, Any]) -> str:
        return template.render(_context(folder, result, *records.values()))

    damage = (KeyError, TypeError, IndexError, AttributeError, ValueError, jinja2.UndefinedError)
    try:
        return fill(records)
    except damage as error:
        with refuse_damage(folder / _RESULT):
            from_plain(ResultRecord, result)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        for name, remedy in _REMEDIES.items():
            with contextlib.suppress(*damage):
                fill(records | {name: _NONE[name]})
                raise RunError(f"{folder / name} is damaged ({reason}); {remedy}") from None
        raise RunError(f"the records in {folder} do not fit together ({reason}); run tune again") from error


def plotly_source() -> str:
    """Return plotly.js as the plotly package ships it."""
    return (importlib.resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def readable(value: Any) -> str:
    """Return a value of the records as people read it."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return number(value)
        case list() | tuple():
            return ", ".join(readable(v) for v in value)
        case dict():
            return ", ".join(f"{k}: {readable(v)}" for k, v in value.items())
    return str(value)


def _period(result: Mapping[str, Any]) -> float | None:
    """Return the rows in a season, None if there is none; NaN: an earlier version did not say."""
    return result["data"].get("period", math.nan)  # type: ignore[no-any-return]


def scores(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of scores: the saved model first, each with a bar's length in percent."""
    test, period = result["test"], _period(result)
    single = len(result["data"]["target"]) == 1

    def row(key: str, name: str, scored: Mapping[str, Any], *, skill: float | None, prefix: str = "test_") -> Row:
        return {
            "key": key,
            "name": name,
            "mse": scored[f"{prefix}mse"] if single else None,
            "scaled": scored[f"{prefix}mse_scaled"],
            "score": scored.get(f"{prefix}score"),
            "validation": scored.get("val_mse_scaled"),
            "skill": skill,
        }

    own = {
        **test,
        "score": result.get("metric", {}).get("test_score"),
        "val_mse_scaled": result["best"]["val_mse_scaled"],
    }
    rows = [row("forecast", model_label(result.get("ensemble", [])), own, skill=None, prefix="")]
    if (alone := result.get("network_alone")) is not None:
        other = alone["test_mse_scaled"]
        skill = 1 - test["mse_scaled"] / other if other else None
        rows.append(row("network_alone", alone_label(result["ensemble"]), alone, skill=skill))
    for name, scored in result["baselines"].items():
        scored = {"test_score": scored["test_mse_scaled"], **scored}
        rows.append(row(name, table_label(name, period), scored, skill=result["skill"][name]))
    if (mean := result.get("train_mean")) is not None:
        rows.append(row("train_mean", table_label("train_mean", period), mean, skill=mean["skill"]))
    for name, scored in result.get("against", {}).items():
        rows.append(row("given", cut(given_label(name, scored), 48), scored, skill=scored["skill"]))
    most = max((row["scaled"] for row in rows if row["scaled"] is not None), default=0.0) or 1.0
    return [row | {"bar": round(100 * (row["scaled"] or 0.0) / most, 1)} for row in rows]


def target_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return, for several targets, the scores of each and of the baselines on it; nothing for one target."""
    test = result["test"]
    if len(result["data"]["target"]) == 1:
        return []
    return [
        {"name": cut(t), "mse": test["mse"][t], "rmse": test["rmse"][t], "r2": test["r2"][t]}
        | {"baselines": [scored["test_mse"][t] for scored in result["baselines"].values()]}
        for t in result["data"]["target"]
    ]


def title(data: Mapping[str, Any]) -> str:
    """Return what was forecast and how far ahead, as `data` of `result.json` says it."""
    targets = data["target"]
    what = cut(targets[0]) if len(targets) == 1 else f"{len(targets)} columns"
    ahead = "1 row" if data["horizon"] == 1 else f"{data['horizon']} rows"
    return f"{what}, {ahead} ahead"


def _context(
    folder: Path,
    result: Mapping[str, Any],
    details: Mapping[str, Any],
    explained: Mapping[str, Any] | None,
    inputs: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what the template is filled with."""
    data = result["data"]
    single = len(data["target"]) == 1
    unit = f"{cut(data['target'][0], 24)}²" if single else "scaled"
    trials = [DrawnTrial(**trial) for trial in details.get("trials", [])]
    drawn = _error_figures(result, details, explained, unit) | _search_figures(result, details, trials)
    if inputs is not None:
        drawn["inputs"] = error_figures.inputs(inputs["inputs"])
    forecasts, period = details.get("forecasts"), _period(result)
    ensemble = result.get("ensemble", [])
    return {
        "title": title(data),
        "verdict": str(result["verdict"]),
        "result": result,
        "unit": unit,
        "single": single,
        "metric": _metric(result),
        "scores": scores(result),
        "little": adds_little(ensemble),
        "judges": judges,
        "interval_names": {"model": model_label(ensemble)}
        | {name: table_label(name, _period(result)) for name in result["baselines"]},
        "beside": weight_of_best(result["best"], ensemble),
        "targets": target_rows(result),
        "findings": severe_first([*result.get("findings", []), *(inputs["findings"] if inputs else [])]),
        "severities": SEVERITY_WORDS,
        "digits": score_digits(result["test"]),
        "explained": explained,
        "inputs": inputs,
        "details": details,
        "forecasts": forecasts,
        "period": details.get("period"),
        "trials": sum(result["study"]["states"].values()),
        "trials_known": bool(trials),
        "repairs": _REPAIRS,
        "fates": trial_states(result["study"]),
        "words": {name: info.help for name, info in PARAMETERS.items()},
        "untrained": on_untrained(ensemble),
        "slices": [name for name in drawn if name.startswith("slice-")],
        "slices_open": _SLICES_OPEN,
        "folder": str(folder),
        "explain_command": f"lstm-tune explain {shlex.quote(str(folder))}",
        "predict_command": f"lstm-tune predict {shlex.quote(str(folder))} {shlex.quote(data['path'])}"
        + levels_option(result),
        "figures": drawn,
        "payload": {
            "figures": drawn,
            "forecast": forecast_view(forecasts, period) if forecasts else None,
            "data": data_view(details["drawn"]) if details.get("drawn") else None,
        },
        "shades": SHADES,
        "plotly": plotly_source(),
    }


def _metric(result: Mapping[str, Any]) -> str:
    """Return the title of the metric that judged the trials; "": the scaled MSE did."""
    name = result.get("metric", {}).get("name", "mse")
    return "" if name == "mse" else ("scaled " if name in IN_UNITS else "") + TITLES[name]


def _error_figures(
    result: Mapping[str, Any], details: Mapping[str, Any], explained: Mapping[str, Any] | None, unit: str
) -> dict[str, Figure]:
    drawn = {}
    own = result["test"]["per_step_mse"]
    if len(own) > 1 and None not in own:  # None: a wild test value left no finite score
        steps = {
            name: steps
            for name, scored in result["baselines"].items()
            if (steps := scored.get("per_step_mse")) and None not in steps
        }
        drawn["steps"] = error_figures.error_per_step(own, steps, label(unit), _period(result))
    forecasts = details.get("forecasts")
    if forecasts and forecasts["of"] > 1 and forecasts["hardest"]:
        drawn["series"] = error_figures.error_by_series(forecasts["hardest"])
    if explained and explained["steps"]:
        drawn["waterfall"] = error_figures.waterfall(explained)
    return drawn


def _search_figures(
    result: Mapping[str, Any], details: Mapping[str, Any], trials: Sequence[DrawnTrial]
) -> dict[str, Figure]:
    drawn = {}
    if details.get("curves", {}).get("kept"):
        drawn["curves"] = search_figures.learning_curves(details["curves"])
    if details.get("importances"):
        drawn["importances"] = search_figures.importances(details["importances"])
    if sum(trial.completed for trial in trials) < 2:
        return drawn
    drawn["history"] = search_figures.history(trials)
    parameters, best = _by_importance(details), result["best"]["trial"]
    if parameters:
        drawn["parallel"] = search_figures.parallel(trials, parameters, best)
        slices = search_figures.slices(trials, parameters, best)
        drawn |= {f"slice-{name}": figure for name, figure in slices.items()}
    return drawn


def _by_importance(details: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the searched parameters, those first that matter most."""
    found = details.get("importances")
    shares = found["shares"] if found else {}
    return dict(sorted(details.get("parameters", {}).items(), key=lambda item: -shares.get(item[0], 0.0)))
