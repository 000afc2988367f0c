"""One training run in one library, in the interpreter of its own environment: the worker of `peers.py`.

    PYTHON benchmarks/peers/fit.py '{"library": "darts", "batch": 64, …}'

It prints the versions as JSON. Then, for each number that it reads from stdin, it trains a new network for that many
passes over the training windows and prints what it measured. It needs numpy and the library itself.

Each library is used as its documentation shows, with progress bars, loggers and checkpoints off, on the same series,
rows, network, optimizer and loss. The others validate on all validation windows after each pass over the training
windows; ours validates as a trial of a study does.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

ROWS, TRAIN_ROWS, VAL_ROWS = 20_000, 14_000, 2_000  # the rows after these are the test rows, which are not read
HORIZON = 24
LEARNING_RATE = 1e-3

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One network, trained by one library."""

    library: str
    batch: int
    lookback: int
    units: int
    layers: int
    threads: int  # of the library; of ours: models that are trained side by side in one process

    @property
    def windows(self) -> int:
        """Training windows: every one whose rows all lie within the train rows."""
        return TRAIN_ROWS - self.lookback - HORIZON + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """The measurements of one run."""

    samples: int  # training windows that were used, repetitions included
    steps: int
    seconds: float  # of the fit: data handling, training and validation


Fit = Callable[[int], Run]  # from the number of passes over the training windows to the measurements


def hourly_series(seed: int = 0) -> Floats:
    """Return (ROWS,) hours with a daily and a weekly season and noise, scaled by the train rows."""
    hours = np.arange(ROWS)
    values = np.sin(2 * np.pi * hours / 24) + 0.5 * np.sin(2 * np.pi * hours / 168)
    values += np.random.default_rng(seed).normal(scale=0.3, size=ROWS)
    train = values[:TRAIN_ROWS]
    return ((values - train.mean()) / train.std()).astype(np.float32)


def times() -> NDArray[np.datetime64]:
    return np.datetime64("2020-01-01T00", "h") + np.arange(ROWS)


def ours(job: Job) -> Fit:
    """`Trainer` and `fit` as a trial of a study runs them, on one core for each model.

    "ours" trains in the precision of `--precision auto`: bfloat16 if the machine has it and the steps are large enough.
    An epoch is 4,096 windows, and 682 evenly spaced validation windows are forecast after each. What a study does
    once for all trials (loading, naive forecasts) is not timed.
    """
    import pandas as pd
    import torch

    from lstm_tune.config import Config
    from lstm_tune.data.load import load_series
    from lstm_tune.data.split import make_split
    from lstm_tune.evaluation.score import quick_mse_scaled
    from lstm_tune.training.fitting import fit
    from lstm_tune.training.precision import has_bf16
    from lstm_tune.training.task import build_task, make_trainer
    from lstm_tune.utils.process import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    data = load_series(pd.DataFrame({"time": times(), "y": hourly_series()}))
    split = make_split(data, (TRAIN_ROWS, VAL_ROWS, ROWS - TRAIN_ROWS - VAL_ROWS), HORIZON)
    task = build_task(data, split, HORIZON)
    fold = task.folds[0]
    precision = "bf16" if job.library == "ours" and has_bf16("cpu") else "fp32"

    def run(passes: int) -> Run:
        epochs = math.ceil(passes * job.windows / fold.samples)
        config = Config(
            lookback=job.lookback,
            hidden_units=job.units,
            layers=job.layers,
            batch_size=job.batch,
            learning_rate=LEARNING_RATE,
            dropout=0.0,
            activation="none",
            gradient_clip=0.0,
            epochs=epochs,
            patience=epochs,
        )
        began = time.perf_counter()
        trainers = [make_trainer(task, 0, config, seed, precision) for seed in range(job.threads)]

        def validate(i: int) -> float:
            return quick_mse_scaled(trainers[i].result, task.windows, fold.epoch_windows, task.scale)

        result = fit(trainers, validate, epochs=epochs, patience=epochs, threads=job.threads)
        seconds = time.perf_counter() - began
        if result.epochs != epochs:
            raise RuntimeError(f"{result.epochs} epochs were trained and not {epochs}")
        steps = epochs * math.ceil(fold.samples / job.batch) * len(trainers)
        return Run(samples=epochs * fold.samples * len(trainers), steps=steps, seconds=seconds)

    return run


def neuralforecast(job: Job) -> Fit:
    """`NeuralForecast(models=[LSTM(…)]).fit(frame, val_size=…)`.

    The direct forecast (`recurrent=False`, its default) with a decoder of one linear layer, which maps the hidden
    states of the last 24 steps to one target each. A step takes `windows_batch_size` windows of the one series, at
    random. `scaler_type="identity"`, because the series is already scaled. Windows that lack a target are left out.
    """
    import pandas as pd
    import torch
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.models import LSTM

    torch.set_num_threads(job.threads)
    frame = pd.DataFrame({"unique_id": "y", "ds": times(), "y": hourly_series()}).iloc[: TRAIN_ROWS + VAL_ROWS]

    def run(passes: int) -> Run:
        steps_a_pass = math.ceil(job.windows / job.batch)
        steps = passes * steps_a_pass
        model = LSTM(
            h=HORIZON,
            input_size=job.lookback,
            encoder_hidden_size=job.units,
            encoder_n_layers=job.layers,
            encoder_dropout=0.0,
            decoder_layers=1,
            loss=MSE(),
            learning_rate=LEARNING_RATE,
            scaler_type="identity",
            batch_size=1,
            windows_batch_size=job.batch,
            training_data_availability_threshold=1.0,
            max_steps=steps,
            val_check_steps=steps_a_pass,
            accelerator="cpu",
            **QUIET,
        )
        began = time.perf_counter()
        fitted = NeuralForecast(models=[model], freq="h")
        fitted.fit(frame, val_size=VAL_ROWS)
        seconds = time.perf_counter() - began
        taken = len(fitted.models[0].train_trajectories)
        if taken != steps:
            raise RuntimeError(f"{taken} steps were trained and not {steps}")
        return Run(samples=steps * job.batch, steps=steps, seconds=seconds)

    return run


def darts(job: Job) -> Fit:
    """`BlockRNNModel("LSTM").fit(series, val_series=…)`, in single precision.

    One linear layer maps the hidden states of the last 24 steps to one target each.
    """
    import pandas as pd
    import torch
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    torch.set_num_threads(job.threads)
    index = pd.DatetimeIndex(times().astype("datetime64[ns]"))
    series = TimeSeries.from_times_and_values(index, hourly_series(), freq="h")
    train, val = series[:TRAIN_ROWS], series[TRAIN_ROWS - job.lookback : TRAIN_ROWS + VAL_ROWS]

    def run(passes: int) -> Run:
        model = BlockRNNModel(
            input_chunk_length=job.lookback,
            output_chunk_length=HORIZON,
            model="LSTM",
            hidden_dim=job.units,
            n_rnn_layers=job.layers,
            dropout=0.0,
            loss_fn=torch.nn.MSELoss(),
            optimizer_kwargs={"lr": LEARNING_RATE},
            batch_size=job.batch,
            n_epochs=passes,
            pl_trainer_kwargs={"accelerator": "cpu", **QUIET},
        )
        began = time.perf_counter()
        model.fit(train, val_series=val, verbose=False)
        seconds = time.perf_counter() - began
        steps = passes * math.ceil(job.windows / job.batch)
        if model.trainer.global_step != steps:
            raise RuntimeError(f"{model.trainer.global_step} steps were trained and not {steps}")
        return Run(samples=passes * job.windows, steps=steps, seconds=seconds)

    return run


def keras(job: Job) -> Fit:
    """`Sequential` of LSTM layers and one dense layer on the last hidden state; `fit` on arrays of windows."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    from keras import Input, Sequential, layers, optimizers

    series = hourly_series()

    def windows(start: int, end: int) -> tuple[Floats, Floats]:
        both = np.lib.stride_tricks.sliding_window_view(series[start:end], job.lookback + HORIZON)
        return np.ascontiguousarray(both[:, : job.lookback, None]), np.ascontiguousarray(both[:, job.lookback :])

    def run(passes: int) -> Run:
        model = Sequential([Input((job.lookback, 1))])
        for layer in range(job.layers):
            model.add(layers.LSTM(job.units, return_sequences=layer + 1 < job.layers))
        model.add(layers.Dense(HORIZON))
        model.compile(optimizer=optimizers.Adam(LEARNING_RATE), loss="mse")
        began = time.perf_counter()
        x, y = windows(0, TRAIN_ROWS)
        held_out = windows(TRAIN_ROWS - job.lookback, TRAIN_ROWS + VAL_ROWS)
        model.fit(x, y, batch_size=job.batch, epochs=passes, validation_data=held_out, verbose=0)
        seconds = time.perf_counter() - began
        steps = passes * math.ceil(job.windows / job.batch)
        if len(x) != job.windows or int(model.optimizer.iterations.numpy()) != steps:
            raise RuntimeError(f"{int(model.optimizer.iterations.numpy())} steps were trained and not {steps}")
        return Run(samples=passes * job.windows, steps=steps, seconds=seconds)

    return run


QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}  # for the two libraries that train with Lightning
LIBRARIES: dict[str, Callable[[Job], Fit]] = {
    "ours": ours,
    "ours in fp32": ours,
    "neuralforecast": neuralforecast,
    "darts": darts,
    "keras": keras,
}
PACKAGES = {
    "ours": ("torch",),
    "ours in fp32": ("torch",),
    "neuralforecast": ("neuralforecast", "torch", "pytorch-lightning"),
    "darts": ("darts", "torch", "pytorch-lightning"),
    "keras": ("keras", "tensorflow-cpu"),
}


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # everything else prints to stderr
    run = LIBRARIES[job.library](job)
    print(json.dumps({name: version(name) for name in PACKAGES[job.library]}), file=answers, flush=True)
    for line in sys.stdin:
        began = time.process_time()
        taken = run(int(line))
        cpu_seconds = time.process_time() - began
        print(json.dumps(asdict(taken) | {"cpu_seconds": cpu_seconds}), file=answers, flush=True)


if __name__ == "__main__":
    main()
