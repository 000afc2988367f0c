"""What a kind of storage is: the record that each module such as `journal` or `postgresql` fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial


@dataclass(frozen=True, kw_only=True, slots=True)
class StaleTrials:
    """What is done with a running trial whose process no longer gives signs of life; databases alone notice.

    Attributes:
        attributes: user attributes that the trial gets before it is failed.
        requeue: called after it was failed.
    """

    attributes: Mapping[str, str]
    requeue: Callable[[optuna.Study, FrozenTrial], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """How a storage is opened.

    Attributes:
        stale: what is done with trials whose process is gone, by the process that coordinates them; None: nothing.
        info: told what was repaired, and of outages.
        stop: whether the user wants to stop; then an outage is not waited for.
        seconds: that a database may be away before it is open; None: a few.
        create: whether a file that is not there is begun; False: it is refused.
    """

    stale: StaleTrials | None = None
    info: Callable[[str], None] = field(default=lambda text: None)
    stop: Callable[[], bool] = field(default=lambda: False)
    seconds: float | None = None
    create: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageKind:
    """A kind of storage.

    Attributes:
        matches: returns whether a URL, or the path of a file, names a storage of this kind.
        open: opens it for reading and writing.
        open_read_only: opens it in a way that nothing can be written.
        check: refuses a name that cannot be opened, as far as that shows without opening it.
        not_shareable: why several processes cannot share it; None: they can.
        not_resumable: why nothing could be resumed from it; None: it can.
    """

    matches: Callable[[str], bool]
    open: Callable[[str, Opening], BaseStorage]
    open_read_only: Callable[[str], BaseStorage]
    check: Callable[[str], object] = lambda name: None
    not_shareable: str | None = None
    not_resumable: str | None = None
