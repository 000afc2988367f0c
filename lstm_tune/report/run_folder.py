"""The run folder: its name, its files, who may write to it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lstm_tune.errors import RunError, StudyError
from lstm_tune.storage.urls import mask_password, or_of_environment
from lstm_tune.utils.atomic_files import make_folder, read_json

JOURNAL = "study.journal"
RESULT = "result.json"
SCHEMA = 1  # of result.json


def claim_folder(folder: Path, resume: bool) -> None:
    """Create the run folder, or reuse the one that is there.

    Raises:
        UsageError: it cannot be written to.
        StudyError: it holds a study, and `resume` is false.
    """
    make_folder(folder)
    check_free(folder, resume)


def check_free(folder: Path, resume: bool) -> None:
    """Refuse a run folder that holds a study, unless it is to be resumed.

    Raises:
        StudyError: it holds one.
    """
    taken = [name for name in (JOURNAL, RESULT) if (folder / name).exists()]
    if taken and not resume:
        raise StudyError(
            f"the output folder {str(folder)!r} holds a study already ({taken[0]}); "
            f"pass resume=True to continue it, or another out="
        )


def storage_of_run(folder: Path, remedy: str = "name its storage URL") -> str | Path:
    """Return where the study of a run is stored.

    Args:
        folder: of the run.
        remedy: how to name the storage, for the error.

    Raises:
        RunError: the folder holds no study, and does not tell where it is.
    """
    if (folder / JOURNAL).is_file():
        return folder / JOURNAL
    if not (folder / RESULT).is_file():
        raise RunError(f"{str(folder)!r} holds no study; name the run folder that tune wrote, or a storage URL")
    study = read_json(folder / RESULT, SCHEMA).get("study")
    storage = study.get("storage") if isinstance(study, dict) else None
    named: str | None = or_of_environment(None)
    if named is not None and storage == mask_password(named):
        return named  # with the password that the result does not hold
    if not isinstance(storage, str) or "***" in storage or not ("://" in storage or Path(storage).is_file()):
        raise RunError(f"the study of {str(folder)!r} is not in the folder ({storage or 'it was in memory'}); {remedy}")
    return storage if "://" in storage else Path(storage)


@contextlib.contextmanager
def remove_on_failure(folder: Path | None) -> Iterator[None]:
    """If the body fails, remove the run folder and any parents that it created.

    A folder that holds files stays, unless its only file is a journal in which nothing was written.
    """
    made = [] if folder is None else [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if made and not (made[0] / JOURNAL).stat().st_size:
                (made[0] / JOURNAL).unlink()
        with contextlib.suppress(OSError):  # something else is there
            for path in made:
                path.rmdir()
        raise


def run_name(path: str, targets: Sequence[str], horizon: int) -> str:
    """Return a short name made from the data's: 'ETTh1-OT-h96'.

    Args:
        path: of the data, or example:NAME.
        targets: the columns to forecast; a single one is named, unless the path names it already.
        horizon: rows to forecast; it is named if it is above 1.
    """
    example = path.startswith("example:")
    stem = path.removeprefix("example:") if example else Path(path).name.split(".")[0] or "series"
    named = [] if example or len(targets) != 1 or targets[0].lower() in stem.lower() else [targets[0]]
    return clean_name("-".join([stem, *named, *([f"h{horizon}"] if horizon > 1 else [])]))


def clean_name(name: str) -> str:
    """Return a name that a folder or a study may have: at most 80 letters, digits, '.', '_' and '-'."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80] or "study"


def default_folder(name: str, *, resume: bool) -> Path:
    """Return the run folder of a study whose folder nobody named.

    It is runs/NAME, or the first of runs/NAME-2, runs/NAME-3, … that holds no study; to resume, the last that does.
    """
    folders = [Path("runs") / clean_name(name)]
    while any((folders[-1] / file).exists() for file in (JOURNAL, RESULT)):
        folders.append(Path("runs") / f"{clean_name(name)}-{len(folders) + 1}")
    return folders[-2] if resume and len(folders) > 1 else folders[-1]
