"""Explain a run: train what lies between the article's LSTM and the tuned one, one change at a time.

Every training is that of a trial: the same task, folds, windows and precision, so the values compare with the study's.
Test rows are read when all steps are chosen, for the first one alone; the score of the last is the run's own.
Each training is written to `explain.json` as soon as it is done, and none is done twice.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lstm_tune import processes, record, waterfall
from lstm_tune.config import ARTICLE, Config
from lstm_tune.errors import LstmTuneError, RunError, StudyError, UsageError
from lstm_tune.evaluate import per_target, quick_mse_scaled, score
from lstm_tune.files import read_json, write_json
from lstm_tune.forecaster import ForecastModel
from lstm_tune.model import LSTMForecaster, MeanForecaster
from lstm_tune.objective import make_trainer
from lstm_tune.options import RESULT, pick_device
from lstm_tune.retrain import Member, retrain, retrain_samples
from lstm_tune.series import SeriesSet
from lstm_tune.space import Limits
from lstm_tune.split import Split, make_split
from lstm_tune.task import Task, build_task
from lstm_tune.train import Diverged, TrainResult, fit, side_by_side
from lstm_tune.waterfall import Group, Step
from lstm_tune.windows import Windows

SCHEMA = 1
FILE = "explain.json"
LEAST_SEEDS = 3
_MEAN = "ensemble"

Say = Callable[[str], None]
Values = tuple[float | None, ...]


class _OutOfTime(Exception):
    """The time limit cut a training short; what was done before it is kept."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Subject:
    """The run that is explained: its data, its task and what it ended with."""

    series: SeriesSet
    parts: Split
    task: Task
    start: Config
    end: Config
    members: tuple[tuple[Config, float], ...]  # of the saved model, each with its weight
    seeds: tuple[int, ...]
    precision: str
    test: Mapping[str, Any]  # of the saved model, from result.json
    basis: str  # what trainings can be compared with each other


def explain_run(
    folder: Path,
    *,
    data: Any = None,
    seeds: int = LEAST_SEEDS,
    timeout: float | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Train the steps from the article's LSTM to the tuned one, and write `explain.json` into the run folder.

    Args:
        folder: that `tune` wrote.
        data: the data of the run, where they are no longer at the path that it was given.
        seeds: trainings of each step, from the run's seed on.
        timeout: seconds; None: no limit. What is done by then is kept, and taken up again the next time.
        say: told what is being trained.

    Returns:
        What `explain.json` holds, but for the trainings themselves.

    Raises:
        UsageError: too few seeds, a wrong time limit, or other data than those of the run.
        RunError: the folder holds no run, or a file in it is damaged.
        StudyError: not even the first step could be trained.
    """
    began = time.monotonic()
    if seeds < LEAST_SEEDS:
        raise UsageError(f"seeds must be at least {LEAST_SEEDS}, for a step to have a spread, but is {seeds}")
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise UsageError(f"timeout must be above 0 seconds, but is {timeout:g}")
    subject = _read_run(folder, data, seeds)
    book = _Book(folder / FILE, subject, began)
    trainings = _Trainings(subject, book, math.inf if timeout is None else began + timeout, say)
    walk = _Walk(subject, trainings, book)
    try:
        walk.ends()
        walk.path()
        walk.mean()
        book.test = {"start": trainings.tested(subject.start), "end": _saved_model(subject)}
        book.finished = True
    except _OutOfTime:
        if not book.steps:
            raise StudyError(
                f"time was up before the first step was trained with {seeds} seeds; what was trained is kept: "
                f"the same command with a longer --timeout goes on from there"
            ) from None
    book.write()
    return book.shown()


# ---- the run


def _read_run(folder: Path, data: Any, seeds: int) -> _Subject:
    path = folder / RESULT
    result = read_json(path, record.SCHEMA)
    if "settings" not in result:
        raise RunError(f"{path} does not say how the study was set up, since an earlier version wrote it; tune again")
    try:
        settings, source = result["settings"], str(result["data"]["path"])
        fingerprint, split = str(settings["data"]), [float(p) for p in settings["split"]]
        horizon, folds, seed = int(settings["horizon"]), int(settings["folds"]), int(settings["seed"])
        most, precision = settings["space"].get("epoch_samples"), str(settings["precision"])
        end = Config.from_params(result["best"]["params"])
        members = tuple((Config.from_params(m["params"]), float(m["weight"])) for m in result["ensemble"])
        test = {key: result["test"][key] for key in ("mse", "mse_scaled", "windows")}
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise RunError(f"{path} is damaged ({type(error).__name__}: {error}); restore it or run tune again") from None
    model = ForecastModel.load(folder / "model")
    if data is None and not source.startswith("example:") and not Path(source).is_file():
        raise UsageError(f"the data of the run, {source!r}, are not there; say with --data where they are now")
    series = model.read(source if data is None else data)
    if series.fingerprint() != fingerprint:
        raise UsageError(
            f"{series.path!r} does not hold the data that {folder} was tuned on; "
            f"name those with --data, or run tune again"
        )
    parts = make_split(series, split, horizon)
    device = pick_device("auto")
    task = build_task(series, parts, horizon, folds=folds, device=device, epoch_samples=most)
    about = [fingerprint, horizon, split, folds, most, precision, device, record.versions()]
    return _Subject(
        series=series,
        parts=parts,
        task=task,
        start=article_within(task.limits),
        end=end,
        members=members,
        seeds=tuple(range(seed, seed + seeds)),
        precision=precision,
        test=test,
        basis=_digest(about),
    )


def article_within(limits: Limits) -> Config:
    """Return the article's LSTM, its lookback and batch no larger than the data allow."""
    return replace(
        ARTICLE,
        lookback=min(ARTICLE.lookback, limits.max_lookback),
        batch_size=min(ARTICLE.batch_size, limits.max_batch_size),
    )


def _saved_model(subject: _Subject) -> dict[str, Any]:
    return {**subject.test, "says": "the saved model, as it was tested at the end of tune"}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


# ---- explain.json


class _Book:
    """What stands in `explain.json`: the steps so far, and each training by its key."""

    def __init__(self, path: Path, subject: _Subject, began: float) -> None:
        self.path = path
        self.subject = subject
        self.steps: list[Step] = []
        self.test: dict[str, Any] | None = None
        self.finished = False
        self.listed_from: str | None = None
        self._began = began
        self._before = 0.0  # seconds of earlier runs
        self.trainings: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._take_up()

    def _take_up(self) -> None:
        try:
            kept = read_json(self.path, SCHEMA)
            trainings = kept["trainings"]
            known = all(_is_training(key, entry) for key, entry in trainings.items())
            if not known or not isinstance(kept["basis"], str):
                raise RunError("it holds something else than trainings")
            before = float(kept["seconds"])
        except (LstmTuneError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).split(";")[0]
            reason = reason.removeprefix(f"{self.path} ")
            raise RunError(f"{self.path} cannot be taken up ({reason}); delete it to begin anew") from None
        if kept["basis"] == self.subject.basis:
            self.trainings, self._before = trainings, before

    def write(self) -> None:
        """Write the file, whole."""
        try:
            write_json(self.path, self.shown() | {"basis": self.subject.basis, "trainings": self.trainings})
        except OSError as error:
            raise UsageError(f"cannot write {str(self.path)!r}: {error.strerror}; make the folder writable") from None

    def shown(self) -> dict[str, Any]:
        """Return what a reader is shown."""
        subject = self.subject
        return {
            "schema": SCHEMA,
            "rule": waterfall.rule(subject.seeds, len(subject.task.folds), self.listed_from),
            "seeds": list(subject.seeds),
            "unit": waterfall.UNIT,
            "finished": self.finished,
            "seconds": round(self._before + time.monotonic() - self._began, 3),
            "steps": [step.to_dict() for step in self.steps],
            "test": self.test,
        }


def _is_training(key: str, entry: Mapping[str, Any]) -> bool:
    """Return whether an entry of the file is what its key says."""
    numbers = [entry["seconds"], *([] if entry["value"] is None else [entry["value"]])]
    if entry["value"] is not None and key.startswith("trial:"):
        numbers += [entry["best_epoch"], *entry["factors"]]
    if entry["value"] is not None and key.startswith("test:"):
        numbers += [entry["windows"], *entry["mse"]]
    return all(isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)


# ---- training


class _Trainings:
    """Trains configurations with seeds as a trial would, each pair once; the cores share the pairs."""

    def __init__(self, subject: _Subject, book: _Book, deadline: float, say: Say) -> None:
        self.subject = subject
        self.book = book
        self.deadline = deadline
        self.say = say
        self.threads = processes.available_cores() if subject.task.windows.device.type == "cpu" else 1
        self.asked: set[str] = set()
        self.most = 0  # trainings that the whole waterfall may take
        self._lock = threading.Lock()

    @property
    def seconds_left(self) -> float:
        """Time that is left, inf without a limit."""
        return self.deadline - time.monotonic()

    def seconds_for(self, trainings: int) -> float:
        """Return the time that so many trainings will take, going by those done."""
        known = [entry["seconds"] for key, entry in self.book.trainings.items() if key.startswith("trial:")]
        return trainings * statistics.fmean(known) / self.threads if known else 0.0

    def lacks(self, config: Config, seed: int) -> bool:
        """Return whether the pair is still to be trained."""
        return _key(config, seed) not in self.book.trainings

    def values(self, configs: Mapping[str, Config], seeds: Sequence[int]) -> dict[str, Values]:
        """Return the validation value of each configuration with each seed, None where training diverged.

        Args:
            configs: by the name of what was changed.
            seeds: of the trainings.

        Raises:
            _OutOfTime: there was no time for all of them.
        """
        kept = self.book.trainings
        pairs = {_key(config, seed): (name, config, seed) for name, config in configs.items() for seed in seeds}
        self.asked |= pairs.keys() & kept.keys()
        jobs = {key: pair for key, pair in pairs.items() if key not in kept}
        inner = self.threads if len(jobs) == 1 else 1  # one training alone: its folds share the cores
        todo = list(jobs.values())
        side_by_side(lambda i: self._train(*todo[i], threads=inner), len(todo), self.threads)
        if jobs.keys() - kept.keys():
            raise _OutOfTime
        return {name: tuple(kept[_key(config, seed)]["value"] for seed in seeds) for name, config in configs.items()}

    def _train(self, what: str, config: Config, seed: int, *, threads: int) -> None:
        began = time.monotonic()
        if self.seconds_left > 0:
            self._begin(_key(config, seed), what, seed)
        try:
            done = self._fit(config, seed, threads)
        except (Diverged, torch.OutOfMemoryError, MemoryError):
            entry: dict[str, Any] = {"value": None}
        else:
            if done is None:
                return
            result, _ = done
            entry = {"value": result.best_val, "best_epoch": result.best_epoch, "factors": list(result.factors)}
        self._keep(_key(config, seed), entry, began)

    def _fit(self, config: Config, seed: int, threads: int = 1) -> tuple[TrainResult, list[LSTMForecaster]] | None:
        """Train one configuration as a trial does; None where time ran out."""
        task = self.subject.task
        if self.seconds_left <= 0:
            return None
        with self._lock:  # weights are drawn from torch's one generator
            trainers = [
                make_trainer(task, fold, config, seed, self.subject.precision) for fold in range(len(task.folds))
            ]
        models = [t.result for t in trainers]
        result = fit(
            trainers,
            lambda fold: self._judge(fold, models[fold]),
            epochs=config.epochs,
            patience=config.patience,
            deadline=self.deadline,
            threads=threads,
        )
        return None if result.stopped == "time" else (result, models)

    def _judge(self, fold: int, model: LSTMForecaster | MeanForecaster) -> float:
        task = self.subject.task
        return task.value(fold, quick_mse_scaled(model, task.windows, task.folds[fold].judged, task.scale))

    def _keep(self, key: str, entry: dict[str, Any], began: float) -> None:
        with self._lock:
            self.book.trainings[key] = entry | {"seconds": round(time.monotonic() - began, 3)}
            self.book.write()

    def _begin(self, key: str, what: str, seed: int) -> None:
        left = "" if math.isinf(self.deadline) else f", {max(0.0, self.seconds_left):.0f} s left"
        with self._lock:
            self.asked.add(key)
            self.say(f"training {len(self.asked)} of {self.most} at most: {what}, seed {seed}{left}")

    def _mean_key(self, seed: int) -> str:
        return _key([[config.params(), weight] for config, weight in self.subject.members], seed, _MEAN)

    def means_left(self) -> int:
        """Return for how many seeds the mean is still to be trained."""
        return sum(self._mean_key(seed) not in self.book.trainings for seed in self.subject.seeds)

    def mean_values(self) -> Values:
        """Return the value of the members' weighted mean forecast with each seed; each is trained as a trial is.

        Raises:
            _OutOfTime: there was no time for all of them.
        """
        subject = self.subject
        values: list[float | None] = []
        for seed in subject.seeds:
            key = self._mean_key(seed)
            if key not in self.book.trainings:
                began = time.monotonic()
                self._keep(key, {"value": self._mean_value(seed)}, began)
            else:
                self.asked |= {_key(i, seed, _MEAN) for i in range(len(subject.members))}
            values.append(self.book.trainings[key]["value"])
        return tuple(values)

    def _mean_value(self, seed: int) -> float | None:
        members = self.subject.members

        def train(i: int) -> list[LSTMForecaster] | None:
            self._begin(_key(i, seed, _MEAN), f"member {i + 1} of {len(members)} of the mean", seed)
            try:
                done = self._fit(members[i][0], seed)
            except (Diverged, torch.OutOfMemoryError, MemoryError):
                return []
            return None if done is None else done[1]

        trained = side_by_side(train, len(members), self.threads)
        if any(models is None for models in trained):
            raise _OutOfTime
        kept = [(models, weight) for models, (_, weight) in zip(trained, members, strict=True) if models]
        if not kept:
            return None
        weights = [weight for _, weight in kept]
        folds = range(len(self.subject.task.folds))
        return statistics.fmean(self._judge(f, MeanForecaster([m[f] for m, _ in kept], weights)) for f in folds)

    def tested(self, config: Config) -> dict[str, Any] | None:
        """Score a configuration on the test rows, retrained as the winners were: each seed alone, then their mean.

        Raises:
            _OutOfTime: there was no time for all seeds.
        """
        subject, kept = self.subject, self.book.trainings
        trained = [seed for seed in subject.seeds if kept[_key(config, seed)]["value"] is not None]
        for seed in trained:
            self._test(config, seed)
        found = [kept[_key(config, seed, "test")] for seed in trained]
        scores = [entry for entry in found if entry["value"] is not None]
        if not scores:
            return None
        columns = zip(*(entry["mse"] for entry in scores), strict=True)
        return {
            "mse": per_target(tuple(map(statistics.fmean, columns)), subject.series.targets),
            "mse_scaled": statistics.fmean(entry["value"] for entry in scores),
            "windows": scores[0]["windows"],
            "says": f"one model, retrained on train and validation rows; the mean over {len(scores)} seeds",
        }

    def _test(self, config: Config, seed: int) -> None:
        subject, key = self.subject, _key(config, seed, "test")
        if key in self.book.trainings:
            return
        began = time.monotonic()
        self._begin(key, "the first step again on train and validation rows, to test it", seed)
        known = self.book.trainings[_key(config, seed)]
        epochs, factors = known["best_epoch"], tuple(known["factors"])
        everything = Windows(subject.series, subject.task.shape.horizon, subject.task.windows.device)
        done = retrain(
            everything,
            subject.parts.final.fit,
            subject.task.shape,
            [Member(trial=-1, config=config, epochs=epochs, factors=factors, weight=1.0)],
            samples=retrain_samples(everything, subject.parts, subject.task.folds[0].samples),
            seeds=[seed],
            precision=subject.precision,
            deadline=self.deadline,
        )
        if not done.seeds:
            if self.seconds_left <= 0:
                raise _OutOfTime
            self._keep(key, {"value": None}, began)
            return
        positions = everything.positions(subject.parts.test, 0, reach_back=True)
        result = score(done.network(), everything, positions, subject.task.scale, each=False)
        self._keep(key, {"value": result.mse_scaled, "mse": list(result.mse), "windows": result.windows}, began)


def _key(what: Any, seed: int, kind: str = "trial") -> str:
    return f"{kind}:{seed}:{_digest(what.params() if isinstance(what, Config) else what)}"


# ---- the way from the one to the other


class _Walk:
    """Goes from the first configuration to the last one, and writes down each step."""

    def __init__(self, subject: _Subject, trainings: _Trainings, book: _Book) -> None:
        self.subject = subject
        self.trainings = trainings
        self.book = book
        self.at = subject.start
        self.stages = waterfall.differing(subject.start, subject.end)
        self.members = len(subject.members) if len(subject.members) > 1 else 0
        seeds = len(subject.seeds)
        tries = sum(len(stage) * (len(stage) + 1) // 2 + len(stage) * (seeds - 1) for stage in self.stages)
        trainings.most = 3 * seeds + tries + self.members * seeds

    def ends(self) -> None:
        """Train the first and the last configuration: whatever time allows between them, both are known."""
        subject = self.subject
        values = self.trainings.values({waterfall.START: subject.start}, subject.seeds)[waterfall.START]
        if not any(v is not None for v in values):
            raise StudyError("the article's LSTM diverged with every seed, so there is nothing to explain from")
        self.book.steps.append(Step(name=waterfall.START, changes={}, values=values, before=None))
        if subject.end != subject.start:
            self.trainings.values({"the tuned LSTM": subject.end}, subject.seeds)

    def path(self) -> None:
        """Change one group after another, until the configuration is the tuned one."""
        stages = [list(stage) for stage in self.stages]
        try:
            for stage in stages:
                self._stage(stage, sum(map(len, stages)))
        except _OutOfTime:
            left = [group for stage in stages for group in stage]
            if left and not any(self.trainings.lacks(self.subject.end, seed) for seed in self.subject.seeds):
                name = waterfall.joined(left)
                self._step(left, f"not taken apart: {name}" if len(left) > 1 else name)
            raise

    def _stage(self, stage: list[Group], left: int) -> None:
        """Take the steps of one stage; what diverges by itself goes together with the change after it.

        Args:
            stage: its groups; those that are done are taken out.
            left: groups of this stage and the later ones.
        """
        later = left - len(stage)
        end, seeds = self.subject.end, self.subject.seeds
        tried: dict[str, float | None] = {}
        together: list[Group] = []
        while stage:
            free = [group for group in stage if group not in together]
            if len(free) > 1:
                tries = {group.name: waterfall.applied(self.at, end, *together, group) for group in free}
                if self._time_to_try(list(tries.values()), len(stage) + later):
                    tried = {name: value for name, (value,) in self.trainings.values(tries, seeds[:1]).items()}
                elif self.book.listed_from is None:
                    self.book.listed_from = waterfall.next_group(free, tried).name
            together.append(waterfall.next_group(free, tried))
            name, config = waterfall.joined(together), waterfall.applied(self.at, end, *together)
            values = self.trainings.values({name: config}, seeds)[name]
            if any(v is not None for v in values) or len(together) == len(stage):
                self._step(together, name)
                stage[:] = [group for group in stage if group not in together]
                together = []

    def _time_to_try(self, configs: Sequence[Config], groups: int) -> bool:
        """Return whether there is time to try every change before the rest of the way is gone, and the mean trained."""
        seeds = self.subject.seeds
        tries = sum(self.trainings.lacks(config, seeds[0]) for config in configs)
        rest = groups * len(seeds) + self.members * self.trainings.means_left() + len(seeds)
        return not tries or self.trainings.seconds_for(tries + rest) <= self.trainings.seconds_left

    def _step(self, groups: Sequence[Group], name: str) -> None:
        """Go on by the change of some groups, and write it down; its trainings are done."""
        seeds, before = self.subject.seeds, self.at
        self.at = waterfall.applied(before, self.subject.end, *groups)
        self.book.steps.append(
            Step(
                name=name,
                changes=waterfall.changes(before, self.at, *groups),
                values=self.trainings.values({name: self.at}, seeds)[name],
                before=self.book.steps[-1].values,
            )
        )

    def mean(self) -> None:
        """Go from the best trial alone to the weighted mean of the members, the saved model."""
        if not self.members:
            return
        values = self.trainings.mean_values()
        name = f"mean of {self.members} trials"
        changes = {"ensemble": (1, self.members)}
        self.book.steps.append(Step(name=name, changes=changes, values=values, before=self.book.steps[-1].values))
