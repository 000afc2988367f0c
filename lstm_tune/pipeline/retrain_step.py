"""The retrain step of `tune`: trains the chosen trials again on train and validation rows."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_tune.errors import StudyError
from lstm_tune.pipeline.members import choose_members
from lstm_tune.pipeline.prepare import OpenStudy
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.pipeline.search_step import SearchOutcome
from lstm_tune.search.progress import Progress
from lstm_tune.search.task_objective import Trained
from lstm_tune.search.trials import Trial, completed
from lstm_tune.training.ensemble import BEFOREHAND, Part
from lstm_tune.training.retrain import Member, Retrained, retrain
from lstm_tune.training.task import Task
from lstm_tune.utils.text import counted, listed


def retrain_best(
    outcome: SearchOutcome,
    task: Task,
    opened: OpenStudy,
    context: RunContext,
) -> Retrained | None:
    """Train the chosen trials on train and validation rows; if time allows none, keep the best trial's own weights.

    Args:
        outcome: of the search.
        task: that the trials shared; it holds train and validation rows, and no test row.
        opened: the study: its precision and threads.
        context: seed and number of seeds; the deadline. A first request to stop in the search lets the best be
            retrained; a further one, or a first one meanwhile, skips what is left of the retrain.

    Returns:
        None: there is no best trial, or the retrain was skipped and the best trial's weights were in another process.

    Raises:
        StudyError: every model diverged or ran out of memory.
    """
    options, stop, progress = context.options, context.stop, context.progress
    best, own = outcome.best, outcome.own
    if best is None:
        return None
    retrained = Retrained(seeds=(), models=(), interrupted=stop.urgent)
    if not stop.urgent:
        chosen = choose_members(outcome.trials, task, options.retrain_seeds, opened.space.n_known)
        members = [_member(trial, part) for trial, part in chosen]
        can_retrain = all(task.can_retrain(member.config) for member in members)
        _tell_left_out(outcome.trials, task, can_retrain, progress)
        retrained = retrain(
            task,
            members,
            range(options.seed, options.seed + options.retrain_seeds),
            rows="train+val" if can_retrain else "train",
            precision=opened.precision,
            deadline=context.clock.retrain_end,
            at_least_one=own is None,
            threads=opened.resources.threads,
            stop=lambda: stop.urgent if outcome.interrupted else stop.requested,
            on_model=progress.retrain,
        )
    if retrained.seeds:
        return retrained
    if own is not None:
        reason = (
            "the retrain was skipped"
            if retrained.interrupted
            else "no time was left for the retrain (pass a longer timeout=)"
        )
        progress.info(f"{reason}: the model is the best trial's own, trained on the train rows alone")
        return _own_weights(best, own, options.seed, interrupted=retrained.interrupted)
    if retrained.interrupted:
        return None
    raise StudyError(
        f"retraining trial {best.number} diverged, or ran out of memory, with every seed; pass another seed= or space="
    )


def _tell_left_out(trials: Sequence[Trial], task: Task, can_retrain: bool, progress: Progress) -> None:
    """Say which trials cannot be retrained because a validation value has no logarithm, and what is done instead."""
    left_out = [trial.number for trial in completed(trials) if not task.can_retrain(trial.completed().config)]
    if left_out:
        instead = "left out of the model" if can_retrain else "retrained on the train rows alone"
        progress.info(
            f"{counted(len(left_out), 'trial')} with transform = log ({listed(left_out, 5)}): {instead}, "
            f"since a value of the validation rows is not above 0"
        )


def _own_weights(best: Trial, own: Trained, seed: int, *, interrupted: bool) -> Retrained:
    """Return the best trial's own model, as it was trained on the train rows."""
    whole = Part(number=best.number, epochs=best.completed().best_epoch, weight=1.0)
    models = (((_member(best, whole), own.models[0]),),)
    return Retrained(seeds=(seed,), models=models, rows="train", interrupted=interrupted)


def _member(trial: Trial, part: Part) -> Member:
    outcome = trial.completed()
    return Member(
        trial=trial.number,
        config=BEFOREHAND if part.beforehand else outcome.config,
        epochs=part.epochs,
        factors=outcome.factors,
        weight=part.weight,
        half_batches=trial.half_batches,
    )
