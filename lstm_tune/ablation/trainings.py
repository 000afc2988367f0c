"""The trainings of `explain`: each is that of a trial, and its result is saved at once."""

from __future__ import annotations

import contextlib
import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lstm_tune.ablation.finished_run import FinishedRun, digest
from lstm_tune.config import Config
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.score import per_target, score
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.training.fitting import TrainResult, fit
from lstm_tune.training.parallel import side_by_side
from lstm_tune.training.retrain import Member, retrain
from lstm_tune.training.task import Task, make_trainer
from lstm_tune.training.trainer import training_failed
from lstm_tune.utils.process import available_cores
from lstm_tune.utils.text import counted

_MEAN = "ensemble"

Say = Callable[[str], None]
Values = tuple[float | None, ...]


class OutOfTime(Exception):
    """The time limit cut a training short; what was done before it is kept."""


class Trainings:
    """Trains configurations with seeds as trials are trained, each pair once; the cores share the pairs.

    Args:
        run: that is explained.
        kept: results of earlier trainings by their keys; new ones are added.
        save: called after every training.
        deadline: on the clock of `time.monotonic`; inf: none.
        most: trainings that there can be.
        say: told what is being trained.
    """

    def __init__(
        self,
        run: FinishedRun,
        kept: dict[str, dict[str, Any]],
        save: Callable[[], None],
        *,
        deadline: float,
        most: int,
        say: Say,
    ) -> None:
        self._run = run
        self._kept = kept
        self._save = save
        self._deadline = deadline
        self._most = most
        self._say = say
        self._threads = available_cores() if run.task.windows.device.type == "cpu" else 1
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    @property
    def seconds_left(self) -> float:
        """Time that is left, inf without a limit."""
        return self._deadline - time.monotonic()

    def seconds_for(self, trainings: int) -> float:
        """Return the time that so many trainings will take, if they take as long as the slower half of those done."""
        known = sorted(entry["seconds"] for key, entry in self._kept.items() if key.startswith("trial:"))
        return trainings * statistics.fmean(known[len(known) // 2 :]) / self._threads if known else 0.0

    def lacks(self, config: Config, seed: int) -> bool:
        """Return whether the pair is still to be trained."""
        return _key(config, seed) not in self._kept

    def values(self, configs: Mapping[str, Config], seeds: Sequence[int]) -> dict[str, Values]:
        """Return the validation value of each configuration with each seed, None if training diverged.

        Args:
            configs: by the name of what was changed.
            seeds: of the trainings.

        Raises:
            OutOfTime: there was no time for all of them.
        """
        kept = self._kept
        pairs = {_key(config, seed): (name, config, seed) for name, config in configs.items() for seed in seeds}
        self._asked |= pairs.keys() & kept.keys()
        jobs = {key: pair for key, pair in pairs.items() if key not in kept}
        inner = self._threads if len(jobs) == 1 else 1  # one training alone: its folds share the cores
        todo = list(jobs.values())
        side_by_side(lambda i: self._train(*todo[i], threads=inner), len(todo), self._threads)
        if jobs.keys() - kept.keys():
            raise OutOfTime
        return {name: tuple(kept[_key(config, seed)]["value"] for seed in seeds) for name, config in configs.items()}

    def _train(self, what: str, config: Config, seed: int, *, threads: int) -> None:
        began = time.monotonic()
        if self.seconds_left > 0:
            self._begin(_key(config, seed), what, seed)
        try:
            done = self._fit(config, seed, threads)
        except Exception as error:
            if not training_failed(error):
                raise
            entry: dict[str, Any] = {"value": None}
        else:
            if done is None:
                return
            result, _ = done
            entry = {"value": result.best_val, "best_epoch": result.best_epoch, "factors": list(result.factors)}
        self._keep(_key(config, seed), entry, began)

    def _fit(
        self, config: Config, seed: int, threads: int = 1, *, untrained: bool = False
    ) -> tuple[TrainResult, list[LSTMForecaster]] | None:
        """Train one configuration as a trial does, or take it as it starts; None if time ran out."""
        return train_as_trial(
            self._run.task,
            config,
            seed,
            precision=self._run.precision,
            deadline=self._deadline,
            threads=threads,
            lock=self._lock,
            untrained=untrained,
        )

    def _keep(self, key: str, entry: dict[str, Any], began: float) -> None:
        with self._lock:
            self._kept[key] = entry | {"seconds": round(time.monotonic() - began, 3)}
            self._save()

    def _begin(self, key: str, what: str, seed: int) -> None:
        left = "" if math.isinf(self._deadline) else f", {max(0.0, self.seconds_left):.0f} s left"
        with self._lock:
            self._asked.add(key)
            self._say(f"training {len(self._asked)} of {self._most} at most: {what}, seed {seed}{left}")

    def _mean_key(self, seed: int) -> str:
        return _key([[m.config.params(), m.epochs > 0, m.weight] for m in self._run.members], seed, _MEAN)

    def means_left(self) -> int:
        """Return for how many seeds the mean is still to be trained."""
        return sum(self._mean_key(seed) not in self._kept for seed in self._run.seeds)

    def mean_value(self, seed: int) -> float | None:
        """Return the value of the members' weighted mean forecast with a seed; each is trained as a trial is.

        Raises:
            OutOfTime: there was no time for all members.
        """
        key = self._mean_key(seed)
        if key in self._kept:
            self._asked |= {_key(i, seed, _MEAN) for i in range(len(self._run.members))}
        else:
            began = time.monotonic()
            self._keep(key, {"value": self._train_mean(seed)}, began)
        value: float | None = self._kept[key]["value"]
        return value

    def _train_mean(self, seed: int) -> float | None:
        members = self._run.members

        def train(i: int) -> list[LSTMForecaster] | None:
            self._begin(_key(i, seed, _MEAN), f"member {i + 1} of {len(members)} of the mean", seed)
            try:
                done = self._fit(members[i].config, seed, untrained=not members[i].epochs)
            except Exception as error:
                if not training_failed(error):
                    raise
                return []
            return None if done is None else done[1]

        trained = side_by_side(train, len(members), self._threads)
        if any(models is None for models in trained):
            raise OutOfTime
        kept = [(models, m.weight) for models, m in zip(trained, members, strict=True) if models]
        if not kept:
            return None
        weights = [weight for _, weight in kept]
        validate, folds = self._run.task.validate, range(len(self._run.task.folds))
        return statistics.fmean(validate(f, MeanForecaster([m[f] for m, _ in kept], weights)) for f in folds)

    def tested(self, config: Config) -> dict[str, Any] | None:
        """Score a configuration on the test rows, retrained as the winners were: each seed alone, then their mean.

        Raises:
            OutOfTime: there was no time for all seeds.
        """
        run, kept = self._run, self._kept
        trained = [seed for seed in run.seeds if kept[_key(config, seed)]["value"] is not None]
        for seed in trained:
            self._test(config, seed)
        found = [kept[_key(config, seed, "test")] for seed in trained]
        scores = [entry for entry in found if entry["value"] is not None]
        if not scores:
            return None
        columns = zip(*(entry["mse"] for entry in scores), strict=True)
        return {
            "mse": per_target(tuple(map(statistics.fmean, columns)), run.series.targets),
            "mse_scaled": statistics.fmean(entry["value"] for entry in scores),
            "windows": scores[0]["windows"],
            "says": f"one model, retrained on train and validation rows; the mean over {counted(len(scores), 'seed')}",
        }

    def _test(self, config: Config, seed: int) -> None:
        run, key = self._run, _key(config, seed, "test")
        if key in self._kept:
            return
        began = time.monotonic()
        self._begin(key, "the first step again on train and validation rows, to test it", seed)
        known = self._kept[_key(config, seed)]
        epochs, factors = known["best_epoch"], tuple(known["factors"])
        member = Member(trial=-1, config=config, epochs=epochs, factors=factors, weight=1.0)
        done = retrain(run.task, [member], [seed], precision=run.precision, deadline=self._deadline)
        if not done.seeds:
            if self.seconds_left <= 0:
                raise OutOfTime
            self._keep(key, {"value": None}, began)
            return
        everything = Windows(run.series, run.task.shape.horizon, run.task.windows.device, run.task.period)
        positions = everything.positions(run.parts.test, 0, reach_back=True)
        result = score(done.network(), everything, positions, run.task.scale, each=False)
        self._keep(key, {"value": result.mse_scaled, "mse": list(result.mse), "windows": result.windows}, began)


def train_as_trial(
    task: Task,
    config: Config,
    seed: int,
    *,
    precision: str,
    deadline: float = math.inf,
    threads: int = 1,
    lock: contextlib.AbstractContextManager[Any] | None = None,
    stop: Callable[[], bool] = lambda: False,
    untrained: bool = False,
) -> tuple[TrainResult, list[LSTMForecaster]] | None:
    """Train a configuration on every fold as a trial of the study does.

    Args:
        task: what the trials share.
        config: to train.
        seed: of weights, shuffling and dropout.
        precision: "fp32" or "bf16".
        deadline: on the clock of `time.monotonic`.
        threads: that share the folds.
        lock: held while weights are drawn, if several threads train at once: torch has one generator.
        stop: called at every training step; True interrupts the training.
        untrained: whether the configuration is taken as it starts.

    Returns:
        The result and the model of each fold, with the weights of the best epoch; None: time ran out.

    Raises:
        Exception: the training failed, see `training_failed`.
        KeyboardInterrupt: `stop` said so.
    """
    if time.monotonic() >= deadline:
        return None
    with lock or contextlib.nullcontext():
        trainers = [make_trainer(task, fold, config, seed, precision) for fold in range(len(task.folds))]
    models = [t.result for t in trainers]
    result = fit(
        trainers,
        lambda fold: task.validate(fold, models[fold]),
        epochs=0 if untrained else config.epochs,
        patience=config.patience,
        deadline=deadline,
        threads=threads,
        stop=stop,
    )
    return None if result.stopped == "time" else (result, models)


def _key(what: Any, seed: int, kind: str = "trial") -> str:
    return f"{kind}:{seed}:{digest(what.params() if isinstance(what, Config) else what)}"
