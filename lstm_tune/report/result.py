"""What `tune` returns, and the run folder that it becomes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd

from lstm_tune.data.split import Split
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.errors import LstmTuneError, RunError, UsageError
from lstm_tune.evaluation.conformal import scales_of
from lstm_tune.evaluation.interval_score import Bands
from lstm_tune.evaluation.recent_change import RecentChange
from lstm_tune.evaluation.score import Forecaster, forecast_all
from lstm_tune.evaluation.series_scores import SeriesScores
from lstm_tune.evaluation.test_score import TestScore
from lstm_tune.report.advice import ADVICE, advice_file
from lstm_tune.report.drawn_forecasts import Forecasters
from lstm_tune.report.forecast_csv import SeriesErrors, write_forecast
from lstm_tune.report.notebook import result_html, result_text
from lstm_tune.report.page import DETAILS, write_report
from lstm_tune.report.report_json import ReportSource, collect
from lstm_tune.report.result_figures import result_figure
from lstm_tune.report.result_json import ResultRecord
from lstm_tune.report.result_parts import Parts, SavedParts
from lstm_tune.report.run_folder import JOURNAL, RESULT
from lstm_tune.report.series_csv import SERIES, write_series
from lstm_tune.search.trials import Trial
from lstm_tune.training.backtest import COLUMNS, LSTM, long_frame
from lstm_tune.training.saved_model import ForecastModel
from lstm_tune.utils.atomic_files import atomic_write, make_folder, write_json, write_text
from lstm_tune.utils.escaping import cell

if TYPE_CHECKING:
    import plotly.graph_objects

logger = logging.getLogger(__name__)

TRIALS = "trials.csv"
RUN_FILE = "run.toml"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Result:
    """A finished study: the model, its honest score, and all that `result.json` holds.

    Attributes:
        model: forecasts frames; the weighted mean of the retrained models.
        summary: what `result.json` holds, as typed records.
        parts: what it was made from.
        series: scores of each of several series; None: there is one, or the result is opened from a run folder.
        run_file: TOML that repeats the run with `lstm-tune tune --config`; None: text cannot say it.
        folders: run folders that it was written to, the newest last.
    """

    model: ForecastModel
    summary: ResultRecord
    parts: Parts
    series: SeriesScores | None = None
    run_file: str | None = None
    folders: list[Path] = field(default_factory=list)

    @property
    def study(self) -> optuna.Study:
        """The ordinary `optuna.Study`."""
        return self.parts.study

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials of the study, as they were when the result was made or opened."""
        return self.parts.trials

    @property
    def windows(self) -> Windows:
        """The windows of all rows."""
        return self.parts.windows

    @property
    def split(self) -> Split:
        """The split of the rows."""
        return self.parts.split

    @property
    def baselines(self) -> Mapping[str, Forecaster]:
        """Forecasts that need no LSTM, fitted as the model is."""
        return self.parts.baselines

    @property
    def test(self) -> TestScore:
        """The score on the test rows."""
        return self.summary.test

    @property
    def best_params(self) -> dict[str, Any]:
        """{name: value} of the best trial, all parameters resolved."""
        return dict(self.summary.best.params)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Possible causes of error, the most severe first, as `Diagnosis.findings` has them."""
        return self.summary.findings

    @property
    def record(self) -> dict[str, Any]:
        """What `result.json` holds."""
        return self.summary.to_dict()

    @property
    def test_positions(self) -> Positions:
        """The test windows, as `windows` counts them."""
        return self.windows.positions(self.split.test, 0, reach_back=True)

    def to_dict(self) -> dict[str, Any]:
        """Return what `result.json` holds."""
        return self.record

    def __repr__(self) -> str:
        """Return what was forecast, the test MSE, the best forecast without an LSTM, and the findings' codes."""
        return result_text(self.record)

    def _repr_html_(self) -> str:
        return result_html(self.record)

    def to_frame(self) -> pd.DataFrame:
        """Return the forecasts of all test windows in the long form of the Nixtla libraries.

        Returns:
            `unique_id`, `ds`, `cutoff`, `y` (NaN: not observed), `LSTM` and a column for each forecast without an LSTM,
            in original units: one row for each window and step.
        """
        windows, positions = self.windows.cpu(), self.test_positions[:].cpu()
        forecasters = {LSTM: self.model.network} | {COLUMNS.get(n, n): f for n, f in self.baselines.items()}
        made = {name: forecast_all(f, self.windows, self.test_positions).cpu() for name, f in forecasters.items()}
        return long_frame(windows.data, made, positions.numpy(), windows.horizon)

    def plot(self, kind: str = "forecast") -> plotly.graph_objects.Figure:
        """Return a plotly figure.

        Args:
            kind: "forecast": the last test rows with the forecasts over them; "intervals": the same within the
                prediction intervals of `level`; "residuals": what the forecasts miss; "learning_curves": of the best
                trials; "history": the score of each trial; "importances": how much of the score's variation is due to
                each parameter; "waterfall": which change took how much off, once `lstm_tune.explain` has been called
                on the run folder.

        Raises:
            UsageError: there is no such figure, or what it shows is not there.
            RunError: the record of `explain` is damaged, or the run folder lacks what is drawn.
        """
        return result_figure(
            kind,
            parts=self.parts,
            positions=lambda: self.test_positions,
            network=self.model.network,
            bands=lambda: self._bands,
            folder=self.folders[-1] if self.folders else None,
        )

    @property
    def _bands(self) -> Bands | None:
        """The prediction intervals that were asked for, around test windows."""
        period, levels = self.model.shape.period, self.test.levels
        if self.model.intervals is None or not levels:
            return None
        return Bands(
            intervals=self.model.intervals,
            levels=levels,
            scales=scales_of(self.windows.data, self.split.final.fit, period),
            change=RecentChange(self.windows.data, period),
        )

    def save(self, folder: str | Path) -> None:
        """Write the run folder: model/, trials.csv, forecast.csv, report.json, report.html and, last, result.json.

        Raises:
            UsageError: the folder cannot be written to, or holds another study; or the result was opened from one.
        """
        if isinstance(self.parts, SavedParts):
            raise UsageError(f"the result was opened from {str(self.folders[-1])!r}; copy that folder")
        folder = Path(folder)
        if (folder / RESULT).exists() or (folder / JOURNAL).exists():
            raise UsageError(f"the folder {str(folder)!r} holds a study already; save to another one")
        self.write(folder)

    def write(self, folder: Path, note: Callable[[str], None] = logger.warning) -> None:
        """Write the files of `save` into a folder, over those that are there.

        Args:
            folder: the run folder.
            note: told in one sentence why there is no report; a result is worth more than its picture.

        Raises:
            UsageError: the folder cannot be written to.
            RunError: the disk is full or failed; no file is half written.
        """
        make_folder(folder)
        try:
            self.model.save(folder / "model")
            write_trials(self.trials, folder / TRIALS)
            errors = write_forecast(self.model.network, self.windows, self.test_positions, folder / "forecast.csv")
            write_series(self.series, folder / SERIES)
            self._report(folder, errors, note)
            self._advise(folder)
            _write_or_remove(folder / RUN_FILE, self.run_file)
            write_json(folder / RESULT, self.record)
            self.folders.append(folder)
        except OSError as error:
            raise RunError(
                f"the run folder {str(folder)!r} could not be written ({error.strerror or error}); "
                f"make room and repeat tune with resume=True: no trial is lost"
            ) from None

    def _advise(self, folder: Path) -> None:
        """Write the space that the findings advise, or remove that of an earlier result."""
        findings = [finding.to_dict() for finding in self.summary.findings]
        _write_or_remove(folder / ADVICE, advice_file(findings, self.summary.settings, self.best_params))

    def _report(self, folder: Path, errors: Sequence[SeriesErrors], note: Callable[[str], None]) -> None:
        scores = self.summary.baselines
        simple = min(scores, key=lambda name: scores[name].test_score)
        forecasters = Forecasters(
            model=self.model, simple=self.baselines[simple], simple_name=simple, bands=self._bands
        )
        source = ReportSource(
            study=self.study,
            trials=self.trials,
            split=self.split,
            period=self.summary.data.period,
            windows=self.windows,
            positions=self.test_positions,
            forecasters=forecasters,
            errors=errors,
        )
        try:
            write_json(folder / DETAILS, collect(source))
            write_report(folder, self.record)
        except Exception as error:
            reason = str(error) if isinstance(error, LstmTuneError) else f"{type(error).__name__}: {error}"
            note(f"no report was written ({reason}); all else is there")


def _write_or_remove(file: Path, text: str | None) -> None:
    """Write a file; None: remove that of an earlier result."""
    if text is None:
        file.unlink(missing_ok=True)
    else:
        write_text(file, text)


def trial_row(trial: Trial) -> dict[str, Any]:
    """Return one trial as a row of trials.csv: its fate first, then its parameters."""
    done = trial.outcome
    row: dict[str, Any] = {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "val_mse_scaled": done and done.val_mse_scaled,
        "best_epoch": done and done.best_epoch,
        "epochs": done and done.epochs,
        "stopped": done and done.stopped,
        "seconds": done and done.seconds,
        "weights": trial.weights,
        "pruned_because": trial.pruned_because,
        "same_as_trial": trial.same_as,
    }
    return row | {f"params_{name}": value for name, value in trial.settings.items()}


def write_trials(trials: Sequence[Trial], path: Path) -> None:
    """Write every trial that has ended as one row of a CSV, in which no text is a formula."""
    rows = [
        {name: cell(value) if isinstance(value, str) else value for name, value in trial_row(t).items()}
        for t in trials
        if t.finished
    ]
    with atomic_write(path) as beside:
        pd.DataFrame(rows).to_csv(beside, index=False)
