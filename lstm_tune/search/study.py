"""The study: created or resumed."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from lstm_tune.errors import StudyError
from lstm_tune.search.coordinator import Coordinator, coordinate, release_on_failure
from lstm_tune.search.identity import StudyIdentity, first_command, kept_settings
from lstm_tune.search.trial_attributes import Attr
from lstm_tune.search.trial_queue import begin_trial, recover_stale_trials
from lstm_tune.storage.buffered import adopt
from lstm_tune.storage.log import without_log
from lstm_tune.storage.optuna_private import StudyWithBegin, id_of_trial, storage_of
from lstm_tune.utils.process import this_run

OptunaCallback = Callable[[optuna.Study, FrozenTrial], None]


class OwnStudy(StudyWithBegin):
    """A study that records with each trial the process that has begun it."""

    def begin(self) -> int:
        """Begin a trial of this process."""
        return adopt(storage_of(self), id_of_trial(begin_trial(self, this_run())))


class SharedStudy(StudyWithBegin):
    """A study whose trials are begun elsewhere.

    `stop` only sets a flag, because the supervisor, not one `optimize` loop, runs the study.
    """

    stopped = False
    given: int | None = None  # the id of the trial that is next

    def stop(self) -> None:
        """Let no further trial begin; those that run go on."""
        self.stopped = True

    def begin(self) -> int:
        """Take the trial that was given."""
        trial, self.given = self.given, None
        assert trial is not None
        return adopt(storage_of(self), trial)


def kept_precision(storage: BaseStorage, name: str) -> str | None:
    """Return the precision of a study that exists; None: there is none, or it is not ours."""
    if name not in optuna.get_all_study_names(storage):
        return None
    kept = kept_settings(optuna.load_study(study_name=name, storage=storage))
    return None if kept is None else str(kept["precision"])


def create_study(
    storage: BaseStorage,
    name: str,
    identity: StudyIdentity,
    *,
    sampler: BaseSampler,
    pruner: BasePruner,
    resume: bool,
    alone: bool,
    take_over: bool = False,
    info: Callable[[str], None] = lambda text: None,
    stop: Callable[[], bool] = lambda: False,
) -> Coordinator:
    """Create the study, or resume it; no other process can do so until the coordinator is released.

    Args:
        storage: that holds it.
        name: of the study.
        identity: what makes two studies the same (data, split, space, seed); kept with the study and compared.
        sampler: of parameters.
        pruner: of trials.
        resume: whether the study may exist already.
        alone: whether the storage may hold no other study: it is a run folder's journal.
        take_over: whether the user says that the other machine which had the study is gone.
        info: told what is left as it is.
        stop: whether the user wants to stop.

    Raises:
        StudyError: the study exists and `resume` was not asked for, its settings differ, or a process is at work on it.
    """
    names = optuna.get_all_study_names(storage)
    others = [other for other in names if other != name]
    if name in names and not resume:
        raise _exists(name)
    if alone and others:
        raise StudyError(
            f"the run folder holds study {others[0]!r}, made with other settings than {name!r}; "
            f"{first_command(optuna.load_study(study_name=others[0], storage=storage))}; or use another out="
        )
    with without_log():  # that it was created: `progress` tells what there is to tell
        optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)
    study = OwnStudy(name, storage, sampler, pruner)
    if kept_settings(study) is not None:
        identity.check(study)
    coordinator = coordinate(study, study.user_attrs.get(Attr.RUN), take_over=take_over, info=info, stop=stop)
    with release_on_failure(coordinator):
        if name in names:
            identity.check(study)
        elif kept_settings(study) is not None:
            raise _exists(name)  # another process has made it meanwhile
        study.set_user_attr(Attr.RUN, this_run())  # for old versions, which know no coordinator
        if name in names:
            recover_stale_trials(study, coordinator.dead, take_over, info)
        else:
            identity.keep(study)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(["validation score (scaled MSE)"])
    return coordinator


def _exists(name: str) -> StudyError:
    return StudyError(f"study {name!r} exists already; pass resume=True to continue it, or another study_name= or out=")
