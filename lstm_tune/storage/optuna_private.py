"""What Optuna keeps to itself and this package needs: the one place to look at when Optuna is upgraded.

Optuna has no public way to a study's storage, to the ids by which the storage knows studies and trials, to choosing
which trial a study begins, to heartbeats of a storage of one's own, or to the parameters that wait in its queue.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, _CachedStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import BaseJournalBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

__all__ = [
    "FrozenStudy",
    "JournalOperation",
    "StudyWithBegin",
    "WithHeartbeats",
    "backend_of",
    "id_of_study",
    "id_of_trial",
    "queued_params",
    "storage_of",
    "without_cache",
]


def storage_of(study: optuna.Study) -> BaseStorage:
    """Return the storage that a study was opened with."""
    return study._storage


def backend_of(storage: JournalStorage) -> BaseJournalBackend:
    """Return the file, or what else it is, that a journal is kept in."""
    return storage._backend


def without_cache(storage: BaseStorage) -> BaseStorage:
    """Return the storage behind Optuna's cache, which `create_study` puts before a database."""
    return storage._backend if isinstance(storage, _CachedStorage) else storage


def id_of_study(study: optuna.Study | FrozenStudy) -> int:
    """Return by which number the storage knows a study."""
    return study._study_id


def id_of_trial(trial: FrozenTrial | optuna.Trial) -> int:
    """Return by which number the storage knows a trial; its `number` counts within its study."""
    return trial._trial_id


def queued_params(system_attrs: Mapping[str, Any]) -> Any:
    """Return the parameters that were queued for a trial, among its system attributes; None: none were."""
    return system_attrs.get("fixed_params")


class WithHeartbeats(BaseHeartbeat):
    """A storage with heartbeats, by which `study.optimize` knows it."""

    @abstractmethod
    def stale_trial_ids(self, study_id: int) -> list[int]:
        """Return the ids of the running trials whose heartbeats have stopped."""

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        return self.stale_trial_ids(study_id)


class StudyWithBegin(optuna.Study, ABC):
    """An ordinary study that begins its trials by a method: of each kind of study its own."""

    @abstractmethod
    def begin(self) -> int:
        """Begin a trial, and return its id."""

    def _pop_waiting_trial_id(self) -> int:
        return self.begin()
