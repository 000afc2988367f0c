"""The help of each command: options in panels, and examples below them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

# Panels of options, in the order of the help.
DATA = "Data"
SPLIT = "Split"
SEARCH = "Search"
MACHINES = "Time and machines"
OUTPUT = "Output"
# All other options are in the panel "Options".
_OPTIONS = {
    DATA: "target time id horizon past future static calendar holidays decimal thousands season",
    SPLIT: "split folds",
    SEARCH: "metric space first sampler pruner trials seed retrain_seeds precision apply try_advice",
    MACHINES: "timeout workers ray device study storage resume take_over",
    OUTPUT: "out level against quiet as_json",
}
PANEL_OF = {name: panel for panel, names in _OPTIONS.items() for name in names.split()}

EXAMPLES = {
    "tune": (
        "lstm-tune tune sales.csv --target sales --horizon 7 --timeout 2m",
        "lstm-tune tune load.csv --target load --future temperature --calendar",
        "lstm-tune tune shops.parquet --id shop --split last:28,28 --level 80,95",
        "lstm-tune tune example:sunspots --trials 20 --seed 0",
    ),
    "worker": ("lstm-tune worker sales sales.csv --storage postgresql://db/optuna --for 55m",),
    "refit": ("lstm-tune refit runs/sales newer_sales.csv --out runs/sales-june",),
    "backtest": (
        "lstm-tune backtest runs/sales sales.csv --windows 10 --refit 5",
        "lstm-tune backtest runs/sales sales.csv --refit never --out forecasts.csv",
    ),
    "export": ("lstm-tune export runs/sales --onnx sales.onnx",),
    "log": (
        "lstm-tune log runs/sales --mlflow sqlite:///mlflow.db",
        "lstm-tune log runs/sales --tensorboard curves",
    ),
    "diagnose": (
        "lstm-tune diagnose sales.csv --target sales --horizon 7",
        "lstm-tune diagnose sales.csv --target sales --mse 0.04 --scaled minmax",
    ),
    "predict": (
        "lstm-tune predict runs/sales sales.csv --out next_week.csv",
        "lstm-tune predict runs/sales sales.csv --level 80",
    ),
    "evaluate": ("lstm-tune evaluate runs/sales newer_sales.csv --against other_models.csv",),
    "dashboard": ("lstm-tune dashboard runs/sales --port 8081",),
    "report": ("lstm-tune report runs/sales",),
    "explain": ("lstm-tune explain runs/sales --timeout 5m", "lstm-tune explain runs/sales --advice"),
}


_GIVEN = """\
time,series,step,prophet,nhits
2024-01-01,shop1,1,20.1,19.7
2024-01-02,shop1,2,21.4,20.9
One column for each model. The series is needed if there are several. step is
the rows ahead, from 1; a column cutoff with the last known time does as well.
"""


class PanelCommand(TyperCommand):
    """A command whose help shows its options in panels, in plain text of at most 80 columns."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, the panels, and the options of no panel."""
        panels: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", *_OPTIONS, "Options")}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                is_argument = param.param_type_name == "argument"
                panels["Arguments" if is_argument else PANEL_OF.get(str(param.name), "Options")].append(record)
        for name, records in panels.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the format of the file of `--against`, and the examples."""
        if any(param.name == "against" for param in self.params):
            with formatter.section("FILE of --against"):
                for line in _GIVEN.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        if examples := EXAMPLES.get(str(self.name), ()):
            with formatter.section("Examples"):
                for line in examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
