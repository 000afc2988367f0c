"""A storage for looking on: nothing is written, whatever is called."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.errors import StudyError
from lstm_tune.storage.optuna_private import FrozenStudy, id_of_study


def refuse(*args: Any, **options: Any) -> NoReturn:
    """Refuse to write.

    Raises:
        StudyError: always.
    """
    raise StudyError("the study was opened to be looked at alone; nothing can be written to it")


def _passed(name: str) -> Callable[..., Any]:
    """Return a method that calls the method of this name of the storage inside."""

    def call(self: ReadOnlyStorage, *args: Any, **options: Any) -> Any:
        return getattr(self._storage, name)(*args, **options)

    return call


class ReadOnlyStorage(BaseStorage):
    """Another storage, of which only what reads is passed on.

    Raises:
        StudyError: by every method that would write.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    create_new_study: Callable[..., int] = refuse
    delete_study: Callable[..., None] = refuse
    set_study_user_attr: Callable[..., None] = refuse
    set_study_system_attr: Callable[..., None] = refuse
    create_new_trial: Callable[..., int] = refuse
    set_trial_param: Callable[..., None] = refuse
    set_trial_state_values: Callable[..., bool] = refuse
    set_trial_intermediate_value: Callable[..., None] = refuse
    set_trial_user_attr: Callable[..., None] = refuse
    set_trial_system_attr: Callable[..., None] = refuse

    get_study_id_from_name: Callable[..., int] = _passed("get_study_id_from_name")
    get_study_name_from_id: Callable[..., str] = _passed("get_study_name_from_id")
    get_study_directions: Callable[..., list[StudyDirection]] = _passed("get_study_directions")
    get_study_user_attrs: Callable[..., dict[str, Any]] = _passed("get_study_user_attrs")
    get_study_system_attrs: Callable[..., dict[str, Any]] = _passed("get_study_system_attrs")
    get_trial: Callable[..., FrozenTrial] = _passed("get_trial")
    get_best_trial: Callable[..., FrozenTrial] = _passed("get_best_trial")
    remove_session: Callable[..., None] = _passed("remove_session")

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies in the order of their numbers."""
        return sorted(self._storage.get_all_studies(), key=id_of_study)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study in the order of their numbers."""
        return self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)
