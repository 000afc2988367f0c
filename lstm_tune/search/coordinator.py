"""Who coordinates a study: one process at a time begins its trials, retrains, and reads the test rows.

A process claims a study by the next number that nobody has claimed, which a storage gives to exactly one. The claim
ends when its process releases it, or dies. Whether a process of this machine lives, the system knows. One of another
machine shows it by a beat: a counter that it raises in the storage every few seconds.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage

from lstm_tune.errors import StudyError
from lstm_tune.storage.claims import claim, holder
from lstm_tune.storage.optuna_private import id_of_study, storage_of
from lstm_tune.utils.process import is_alive, is_local, process_in_words, this_run

_CLAIM = "lstm_tune:coordinator"
_RELEASED = "lstm_tune:released"
_BEAT = "lstm_tune:beat"
_TEST_ROWS = "lstm_tune:test_rows"
_SECONDS = 20.0  # between two beats
_WATCH = 60.0  # seconds without a beat after which a process of another machine counts as dead
_LOOK = 0.5  # seconds between looks at the beat, and at whether the user wants to stop

_ours: set[str] = set()  # tokens of this process that are not released


class Coordinator:
    """The right to coordinate a study, from `coordinate`; released at the end of a `with`, or by `release`.

    Attributes:
        study: that is coordinated.
        dead: the process on another machine that had the study before, and that was watched and gave no sign; None:
            there was none.
    """

    def __init__(self, study: optuna.Study, number: int, token: str, dead: str | None) -> None:
        self.study = study
        self.dead = dead
        self._storage, self._study_id = storage_of(study), id_of_study(study)
        self._number, self._token = number, token
        self._ended = threading.Event()
        if not isinstance(self._storage, InMemoryStorage):
            self._storage.set_study_system_attr(self._study_id, _BEAT, [token, 0])
            threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        count = 0
        with contextlib.suppress(BaseException):  # the user wants to stop during an outage: nobody needs the beat then
            while not self._ended.wait(_SECONDS):
                count += 1
                with contextlib.suppress(Exception):  # an outage, or a full disk: the next beat may come through
                    self._storage.set_study_system_attr(self._study_id, _BEAT, [self._token, count])
        with contextlib.suppress(Exception):
            self._storage.remove_session()

    def verify(self) -> None:
        """Make sure that no other process has taken the study over, because this machine seemed to be gone.

        If the study has been deleted, or its storage no longer answers, nobody can have taken it over.

        Raises:
            StudyError: one has.
        """
        try:
            attributes = self._storage.get_study_system_attrs(self._study_id)
        except Exception:
            return
        if (latest := _latest(attributes)) > self._number:
            owner = _run_of(holder(attributes, _key(latest)) or "")
            raise StudyError(
                f"{process_in_words(owner)} has taken over study {self.study.study_name!r}, because this process "
                f"seemed to be gone; the trials are kept, and the result is made there"
            )

    def record_test_reading(self) -> None:
        """Record in the study that this process reads the test rows now, so that anybody can count how often that was.

        If the storage no longer answers, nothing is recorded.
        """
        key = f"{_TEST_ROWS}:{uuid.uuid4().hex[:12]}"
        with contextlib.suppress(Exception):
            self._storage.set_study_system_attr(self._study_id, key, [_run_of(self._token), time.time()])

    def release(self) -> None:
        """Let other processes coordinate the study."""
        if self._token in _ours:
            self._ended.set()
            _ours.discard(self._token)
            with contextlib.suppress(Exception):  # a storage that is gone: the process will be gone, too
                self._storage.set_study_system_attr(self._study_id, _RELEASED, self._number)

    def __enter__(self) -> Coordinator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextlib.contextmanager
def release_on_failure(coordinator: Coordinator) -> Iterator[None]:
    """Release the study if the body of the `with` fails."""
    try:
        yield
    except BaseException:
        coordinator.release()
        raise


def coordinate(
    study: optuna.Study,
    before: str | None,
    *,
    take_over: bool = False,
    info: Callable[[str], None] = lambda text: None,
    stop: Callable[[], bool] = lambda: False,
) -> Coordinator:
    """Claim a study for this process.

    Args:
        study: new, or to be resumed.
        before: the process that the study itself names, as studies of old versions do; None: it names none.
        take_over: whether the user says that a process of another machine is gone; then it is not watched.
        info: told when another machine's process is watched.
        stop: whether the user wants to stop.

    Raises:
        StudyError: another process is at work on it.
        KeyboardInterrupt: the user wants to stop.
    """
    storage, study_id = storage_of(study), id_of_study(study)
    token = f"{this_run()}#{uuid.uuid4().hex[:12]}"
    dead = None
    _ours.add(token)
    try:
        while True:
            attributes = storage.get_study_system_attrs(study_id)
            latest = _latest(attributes)
            owner = holder(attributes, _key(latest)) or before
            if owner is not None and not _released(attributes, latest):
                dead = _refuse_if_at_work(study, owner, take_over, info, stop)
            if claim(storage, study_id, _key(latest + 1), token):
                return Coordinator(study, latest + 1, token, dead)
    except BaseException:
        _ours.discard(token)
        raise


def _refuse_if_at_work(
    study: optuna.Study, owner: str, take_over: bool, info: Callable[[str], None], stop: Callable[[], bool]
) -> str | None:
    """Refuse to claim a study whose owner lives; return the owner, if it is of another machine and gone."""
    run = _run_of(owner)
    if owner in _ours or is_alive(run):
        raise _at_work(study, run)
    if is_local(run):
        return None
    if take_over:
        info(f"study {study.study_name!r} is taken over from {process_in_words(run)}")
        return run
    storage, study_id = storage_of(study), id_of_study(study)
    beat = _beat_of(storage, study_id, owner)
    if beat is None:  # of an old version, which sends no beats
        return None
    before = f"study {study.study_name!r} was not released by {process_in_words(run)}"
    info(f"{before}; watching for {_WATCH:.0f} s if it lives")
    end = time.monotonic() + _WATCH
    while time.monotonic() < end:
        if stop():
            raise KeyboardInterrupt
        time.sleep(_LOOK)
        if _beat_of(storage, study_id, owner) != beat:
            raise _at_work(study, run)
    return run


def test_readings(study: optuna.Study) -> list[str]:
    """Return the processes that have read the test rows of a study, one entry for each time."""
    attributes = storage_of(study).get_study_system_attrs(id_of_study(study))
    return [str(value[0]) for name, value in attributes.items() if name.startswith(f"{_TEST_ROWS}:")]


class CoordinatorWatch:
    """Tells whether a study still has a coordinator, from the side of a worker; ask it every few seconds."""

    def __init__(self) -> None:
        self._seen: tuple[object, float] = None, time.monotonic()

    def is_gone(self, attributes: Mapping[str, Any]) -> bool:
        """Return whether the coordinator has released the study, has died on this machine, or sends no beats.

        Args:
            attributes: system attributes of the study, as they are now.
        """
        latest = _latest(attributes)
        owner = holder(attributes, _key(latest))
        if owner is None or _released(attributes, latest):
            return True
        if is_local(_run_of(owner)):
            return owner not in _ours and not is_alive(_run_of(owner))
        beat = latest, str(attributes.get(_BEAT))
        if beat != self._seen[0]:
            self._seen = beat, time.monotonic()
        return time.monotonic() - self._seen[1] > _WATCH


def is_coordinated_here(study: optuna.Study) -> bool:
    """Return whether the latest coordinator of a study is, or was, a process of this machine."""
    attributes = storage_of(study).get_study_system_attrs(id_of_study(study))
    return is_local(_run_of(holder(attributes, _key(_latest(attributes))) or ""))


def _at_work(study: optuna.Study, run: str) -> StudyError:
    gone = "" if is_local(run) else "; if that machine is gone, pass take_over=True"
    return StudyError(
        f"study {study.study_name!r} is at work in {process_in_words(run)}; wait until it has ended, or stop it{gone}"
    )


def _key(number: int) -> str:
    return f"{_CLAIM}:{number}"


def _latest(attributes: Mapping[str, Any]) -> int:
    """Return the number of the latest claim; 0: there was none."""
    claims = (name.removeprefix(f"{_CLAIM}:").partition(":")[0] for name in attributes if name.startswith(f"{_CLAIM}:"))
    return max((int(number) for number in claims if number.isdigit()), default=0)


def _released(attributes: Mapping[str, Any], number: int) -> bool:
    released = attributes.get(_RELEASED)
    return isinstance(released, int) and released >= number > 0


def _beat_of(storage: BaseStorage, study_id: int, owner: str) -> int | None:
    """Return the owner's beat; None: it has sent none."""
    match storage.get_study_system_attrs(study_id).get(_BEAT):
        case [str(token), int(count)] if token == owner:
            return count
    return None


def _run_of(owner: str) -> str:
    return owner.partition("#")[0]
