"""Configurations drawn at random from a space, outside any study."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection

from lstm_tune.config import Config
from lstm_tune.search.space import Space
from lstm_tune.storage.log import without_log


def draw(space: Space, n: int, seed: int = 0) -> Iterator[Config]:
    """Draw n configurations at random, each parameter by itself; the same seed draws the same ones."""
    storage = InMemoryStorage()
    with without_log():  # this study is none of the user's
        storage.create_new_study([StudyDirection.MINIMIZE], "draws")
    study = optuna.load_study(study_name="draws", storage=storage, sampler=RandomSampler(seed=seed))
    return (space.suggest(study.ask()) for _ in range(n))
