"""A search by neuralforecast's AutoLSTM, in the interpreter of its own environment: the worker of `time_to_quality.py`.

    PYTHON benchmarks/peers/auto.py '{"csv": "ETTh1.csv", "horizon": 96, …}'

The default space with the Optuna backend, trained on MSE, until it is stopped. After each trial it prints a line of
JSON: the trial's validation loss and, if that is the lowest so far, the file of its forecasts of all test windows.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What to forecast, and how."""

    csv: str
    time: str
    target: str
    horizon: int
    split: tuple[int, int, int]  # rows
    seed: int  # of the sampler
    threads: int
    folder: str  # for the forecasts


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # everything else prints to stderr
    import optuna
    import pandas as pd
    import torch
    from neuralforecast import NeuralForecast
    from neuralforecast.auto import AutoLSTM
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.tsdataset import TimeSeriesDataset

    torch.set_num_threads(job.threads)
    train, val, test = job.split
    frame = pd.read_csv(job.csv, parse_dates=[job.time]).iloc[: train + val + test]
    frame = pd.DataFrame({"unique_id": job.target, "ds": frame[job.time], "y": frame[job.target]})
    everything = TimeSeriesDataset.from_df(frame)[0]
    trained: list[Any] = []
    scoring = 0.0

    class Remembering(AutoLSTM):
        """Keeps the network of each trial, which AutoLSTM drops. It is scored as the trial left it."""

        def _fit_model(self, *args: Any, **kwargs: Any) -> Any:
            trained[:] = [super()._fit_model(*args, **kwargs)]
            return trained[0]

    default = AutoLSTM.get_default_config(h=job.horizon, backend="optuna")

    def space(trial: optuna.Trial) -> dict[str, Any]:
        return {**default(trial), "accelerator": "cpu", **_QUIET}

    def after_trial(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        nonlocal scoring
        began = time.monotonic()
        forecasts = None
        if study.best_trial.number == trial.number:
            trained[0].set_test_size(test)
            windows = trained[0].predict(dataset=everything, step_size=1)
            forecasts = str(Path(job.folder) / f"{trial.number}.npy")
            np.save(forecasts, np.asarray(windows, dtype=np.float32).reshape(-1, job.horizon))
        scoring += time.monotonic() - began
        line = {"trial": trial.number, "val_mse": trial.value, "params": trial.params, "forecasts": forecasts}
        print(json.dumps(line | {"scoring_seconds": scoring}), file=answers, flush=True)

    model = Remembering(
        h=job.horizon,
        loss=MSE(),
        config=space,
        backend="optuna",
        search_alg=optuna.samplers.TPESampler(seed=job.seed),
        num_samples=1_000_000,
        callbacks=[after_trial],
    )
    NeuralForecast(models=[model], freq="h").fit(frame.iloc[: train + val], val_size=val)


if __name__ == "__main__":
    main()
