"""What can be refused before the data are read, which may take long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lstm_tune.data.holidays import check_country
from lstm_tune.data.readers import check_there
from lstm_tune.pipeline.first import best_configurations
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.report.run_folder import check_free
from lstm_tune.search.objective import resolve_space
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.trial_queue import STALE_TRIALS
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.open import check_storage, is_on_server, open_storage


def check_before_data(data: Any, options: TuneOptions) -> None:
    """Refuse what is wrong whatever the data hold.

    Raises:
        DataError: there is no such file, or none of forecasts.
        UsageError: space, sampler, pruner, example, storage or country of holidays are unknown.
        StudyError: the run folder holds a study, or the storage cannot be where it is named.
        RunError: the run of `first` is damaged.
    """
    check_there(data)
    check_there(options.against, example="")
    check_country(options.holidays)
    check_storage(options.storage)
    space = resolve_space(options.space)
    if options.first is not None:
        space = space.with_first(best_configurations(Path(options.first)))
    make_pruner(options.pruner, space.most_epochs())
    if options.sampler != "grid":  # whether a grid can be made depends on what the data leave of the space
        make_sampler(options.sampler, options.seed, space)
    if options.folder is not None:
        check_free(options.folder, options.resume)


def open_server(context: RunContext) -> Any:
    """Return the storage on a server, opened: it may not answer. None: it is a file, which is not made yet.

    Raises:
        StudyError: it cannot be opened.
    """
    storage, stop, progress = context.options.storage, context.stop, context.progress
    if not isinstance(storage, str) or not is_on_server(storage):
        return None
    return open_storage(storage, Opening(stale=STALE_TRIALS, info=progress.info, stop=lambda: stop.requested))
