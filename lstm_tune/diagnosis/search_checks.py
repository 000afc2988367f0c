"""Checks of the search: does its choice mean something, and is it worth going on? Pure functions of records."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lstm_tune.config import RULES
from lstm_tune.diagnosis.action import Action, options
from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.evidence import Search
from lstm_tune.diagnosis.finding import Finding, Thresholds
from lstm_tune.diagnosis.search_outlook import outlook_of
from lstm_tune.search.trials import Trial, distinct
from lstm_tune.training.limits import Limits
from lstm_tune.utils.text import counted, rounded

_GAIN = Thresholds(warn=0.05, high=math.inf)  # expected on new rows: well worth more trials
_WORTH_IT = 0.01  # … and worth them
_EXCESS = 1.3  # of the test/validation ratio over the baselines' own, beside a part that shrinks with the windows
_EDGE_TRIALS = 3  # the known configurations that are tried first are on bounds by nature
_OUTER = 0.2  # share of the trials: those nearest to a bound
_PULL = 0.02  # by which these must be better
_NAMED = 4  # trials
_ELSEWHERE = "Stop here; covariates (--past, --future) or another --space may bring more."
_AS_GOOD = 0.25  # excess over the best value, at most, whatever the noise of a few seeds
_MORE_FOLDS = 5
_REPEATED = 8  # trials that repeat others, and at least as many as those that do not: the space holds no more
_UNKNOWN_GAIN = 0.02  # of the error on new rows, that more than a handful of trials bring at least


def validation_overfit(search: Search) -> Finding | None:
    """Find a test error far above the validation error, though the test period is not harder.

    How much harder the period is, the baselines show: the largest of their own ratios. The parts of the test error that
    a changed level or spread makes do not count. Raised if the model's ratio is above that by a factor of 1.3 + 3/√n,
    with n validation windows that do not overlap; high at one and a half times that.
    """
    scores = search.scores
    harder = [
        scores.test_baselines[name] / val
        for name, val in scores.val_baselines.items()
        if val > 0 and name in scores.test_baselines
    ]
    if not harder or not scores.val > 0:
        return None
    ratio = scores.noisy_test / scores.val
    limit = _EXCESS + 3 / math.sqrt(max(scores.independent, 1.0))
    excess = ratio / max(1.0, *harder)
    if not excess >= limit:
        return None
    return Finding(
        code="validation_overfit",
        severity="high" if excess >= 1.5 * limit else "warn",
        evidence={
            "test_over_validation": rounded(ratio, 3),
            "baselines_test_over_validation": rounded(max(harder), 3),
            "independent_validation_windows": rounded(scores.independent, 3),
        },
        says=f"The test MSE is {ratio:.1f} times that of the best trial on the validation rows, and of the forecasts "
        f"without an LSTM at most {max(harder):.1f} times: the best trial fits the validation rows too well.",
        actions=(options(folds=_MORE_FOLDS),),
        by_hand="More validation rows (--split) help, too.",
    )


def winner_within_seed_noise(search: Search) -> Finding | None:
    """Find trials that are as good as the winner, as far as the seed's noise and the validation blocks can tell.

    As good: the value is within 25%, and within 2·√2 standard deviations of the noise; if only one seed was
    retrained, the mean logarithm of the ratio to the winner over the folds is within two standard errors (three folds
    at least).
    """
    ranked = [t for t in distinct(search.trials) if not t.cut_untrained]
    noise = search.retrain.noise
    rivals = [t.number for t in ranked[1:] if _as_good(t, ranked[0], noise)]
    if not rivals:
        return None
    alone = len(search.retrain.seeds) < 2
    best = ranked[0].number
    how = (
        f"a seed changes a trial's MSE by about {noise:.1%}"
        if math.isfinite(noise)
        else "the validation blocks disagree"
    )
    return Finding(
        code="winner_within_seed_noise",
        severity="warn" if alone else "info",
        evidence={"winner": best, "as_good": rivals[:10], "count": len(rivals), "seed_sd": rounded(noise, 3)},
        says=f"Trial {best} is best partly by chance: {_numbered(rivals)} {'is' if len(rivals) == 1 else 'are'} as "
        f"good ({how}).",
        actions=(options(retrain_seeds=3), options(folds=_MORE_FOLDS)) if alone else (),
        by_hand="Leave time for the retrain (--timeout)."
        if alone
        else "Do not read much into the best trial's exact parameters; the saved model averages the best trials.",
    )


def _as_good(trial: Trial, best: Trial, noise: float) -> bool:
    value, least = trial.completed().value, best.completed().value
    if value > least * (1 + _AS_GOOD):
        return False
    if math.isfinite(noise):
        return value <= least * (1 + 2 * math.sqrt(2) * noise)
    pairs = [
        math.log(a / b)
        for a, b in zip(trial.completed().fold_mse_scaled, best.completed().fold_mse_scaled, strict=True)
        if a > 0 and b > 0
    ]
    if len(pairs) < 3:
        return False
    return float(np.mean(pairs)) <= 2 * float(np.std(pairs, ddof=1)) / math.sqrt(len(pairs))


def _numbered(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"trial {numbers[0]}"
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"trials {', '.join(str(n) for n in numbers[:_NAMED])}{more}"


def space_edge(search: Search) -> Finding | None:
    """Find a winner, of three trials or more, on a bound of the space: the best value may be beyond.

    A warning if, in addition, the fifth of the trained trials nearest to the bound is 2% better than the rest in the
    median.
    """
    edges, trained = search.edges, [t for t in search.trials if t.trained and not t.cut_untrained]
    if not edges or len(trained) < _EDGE_TRIALS:
        return None
    pulls = {name: _pull(trained, name, side) for name, side, _ in edges}
    listed = ", ".join(f"{name} = {bound:g} ({side}est)" for name, side, bound in edges)
    return Finding(
        code="space_edge",
        severity="warn" if any(pull >= _PULL for pull in pulls.values()) else "info",
        evidence={
            "edges": {name: {"side": side, "bound": bound} for name, side, bound in edges},
            "better_near_bound": {name: rounded(pull, 3) for name, pull in pulls.items() if math.isfinite(pull)},
        },
        says=f"The best value of {counted(len(edges), 'parameter')} is on a bound of the search space: {listed}.",
        actions=tuple(_beyond(name, side, bound, pulls[name]) for name, side, bound in edges),
    )


def _beyond(name: str, side: str, bound: float, pull: float) -> Action:
    """Return the action that searches beyond a bound: half of it or twice as much, within what a parameter may be."""
    rule = RULES[name]
    value = bound / 2 if side == "low" else bound * 2
    if not rule.admits(rule.kind(value)):
        value = rule.low if side == "low" else (bound + rule.high) / 2
    return Action(space={name: rule.kind(value)}, gain=rounded(pull, 2) if pull > 0 else 0.0)


def widenable(edges: Sequence[tuple[str, str, float]], limits: Limits) -> list[tuple[str, str, float]]:
    """Leave out the bounds that the data set, not the space (`Space.cut`)."""
    tops = {
        "lookback": limits.max_lookback,
        "patch": max(1, limits.max_lookback // 2),
        "batch_size": limits.max_batch_size,
    }
    return [edge for edge in edges if edge[1] == "low" or edge[2] < tops.get(edge[0], math.inf)]


def _pull(trained: Sequence[Trial], name: str, side: str) -> float:
    """Return by how much the trials nearest to a bound are better than the others in the median; NaN of too few."""
    pairs = [(float(t.settings[name]), t.completed().value) for t in trained if _is_number(t.settings.get(name))]
    pairs.sort(reverse=side == "high")
    few = max(3, round(_OUTER * len(pairs)))
    if len(pairs) < 3 * few:
        return math.nan
    while few < len(pairs) and pairs[few][0] == pairs[few - 1][0]:  # no value on both sides
        few += 1
    if few == len(pairs):
        return math.nan
    near, far = (float(np.median([v for _, v in part])) for part in (pairs[:few], pairs[few:]))
    return 1 - near / far if far > 0 else math.nan


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def more_trials(search: Search) -> Finding | None:
    """Find that as many trials again should take 1% or more (5%: warn) off the error on new rows, or cannot tell.

    Never of a study that ended by itself since its last trials gained nothing, or whose trials repeat each other.
    """
    outlook = outlook_of(search.trials)
    if outlook is None or not search.searched or search.levelled_off or _repeated(search, outlook.trials):
        return None
    n, cut = outlook.trials, sum(t.cut_untrained for t in search.trials)
    if math.isnan(outlook.gain):
        return Finding(
            code="more_trials",
            severity="info",
            evidence={"trials": n, "completed": outlook.completed},
            says=f"{counted(n, 'trial')} {'is' if n == 1 else 'are'} too few to estimate how much more trials would "
            f"bring.",
            actions=(options(n_trials=max(30, 2 * n) + cut, resume=True, gain=_UNKNOWN_GAIN),),
        )
    if outlook.gain < _WORTH_IT:
        return None
    return Finding(
        code="more_trials",
        severity=_GAIN.severity(outlook.gain) or "info",
        evidence=outlook.evidence,
        says=f"The search is not complete: {n} more trials should take about {outlook.gain:.1%} off the error on new "
        f"rows, and {outlook.value_gain:.1%} off the best validation score.",
        actions=(options(n_trials=2 * n + cut, resume=True, gain=rounded(outlook.gain, 2)),),
    )


def _repeated(search: Search, different: int) -> int:
    """Return how many trials repeat others, if that shows that the space holds hardly any further one; else 0."""
    repeats = sum(t.same_as is not None for t in search.trials)
    return repeats if repeats >= max(_REPEATED, different) else 0


def stop_now(search: Search) -> Finding | None:
    """Find that more trials would bring next to nothing, or only repeat the one configuration of the space."""
    outlook = outlook_of(search.trials)
    if outlook is None:
        return None
    if not search.searched:
        return Finding(
            code="stop_now",
            severity="info",
            evidence={"trials": outlook.trials, "searched": 0},
            says="The search space fixes every parameter, so more trials would repeat this one.",
            actions=(options(space="default"),),
            by_hand="Or write ranges instead of values into the space.",
        )
    if repeats := _repeated(search, outlook.trials):
        return Finding(
            code="stop_now",
            severity="info",
            evidence={"trials": outlook.trials, "repeated": repeats},
            says=f"The search space holds few configurations: {counted(repeats, 'trial')} repeated the "
            f"{counted(outlook.trials, 'different one')}, so more trials would repeat these, too.",
            actions=(options(space="default"),),
            by_hand="Or write ranges instead of values into the space.",
        )
    if search.levelled_off:
        return Finding(
            code="stop_now",
            severity="info",
            evidence=outlook.evidence,
            says="The search has levelled off: its last trials took less than 1% off the best validation score, so "
            "more of them are hardly worth the time.",
            by_hand=_ELSEWHERE,
        )
    if math.isnan(outlook.gain) or outlook.gain >= _WORTH_IT:
        return None
    gain = f"about {outlook.gain:.1%}" if outlook.gain >= 0.0005 else "nothing"
    return Finding(
        code="stop_now",
        severity="info",
        evidence=outlook.evidence,
        says=f"More trials of this space are hardly worth the time: {outlook.trials} more should take {gain} off the "
        f"error on new rows.",
        by_hand=_ELSEWHERE,
    )


CHECKS: tuple[Check[Search], ...] = (
    Check(code="validation_overfit", look=validation_overfit, cause="the best trial fits the validation rows too well"),
    Check(code="winner_within_seed_noise", look=winner_within_seed_noise, cause=None),
    Check(code="space_edge", look=space_edge, cause=None),
    Check(code="more_trials", look=more_trials, cause=None),
    Check(code="stop_now", look=stop_now, cause=None),
)
