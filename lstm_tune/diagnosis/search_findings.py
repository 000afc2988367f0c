"""Findings on the search: whether its choice means something, and whether more of it would help. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.evidence import Scores, median, plain
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.search.trials import Trial, distinct
from lstm_tune.training.limits import Limits

_LEAST = 8  # trials, below which nothing is said of what more would bring
_GAIN = 0.01, 0.05  # of the best value: worth more trials, and worth them much
_EXCESS = 1.3  # of the test/validation ratio over the baselines' own, beside a part that shrinks with the windows
_LEAST_TRIALS = 3  # known configurations that are tried first lie on bounds by nature
_OUTER = 0.2  # of the trials: those nearest to a bound


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrain:
    """What the retrain tells of the seed: the scaled test MSE of each seed alone, and its trained members' weights."""

    seeds: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def noise(self) -> float:
        """The seed's relative standard deviation of one trial's MSE; NaN of a single seed.

        A seed alone is the mean of its members, of weight w each, whose errors by the seed are taken as independent: a
        single one scatters 1 / sqrt(sum w²) times as much. With two or three seeds the number is itself rough.
        """
        if len(self.seeds) < 2 or not np.mean(self.seeds) > 0:
            return math.nan
        relative = float(np.std(self.seeds, ddof=1) / np.mean(self.seeds))
        return relative / math.sqrt(sum(w * w for w in self.weights) or 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A study that has ended, and what came of it."""

    trials: Sequence[Trial]  # all that have ended, in the order of their numbers
    scores: Scores  # of the model and the baselines
    retrain: Retrain
    edges: Sequence[tuple[str, str, float]]  # (parameter, "low" or "high", bound) of the winner's values on a bound
    searched: Sequence[str]  # parameters that the space leaves open


def winner_within_seed_noise(trials: Sequence[Trial], retrain: Retrain) -> Finding | None:
    """Other trials are as good as the winner, as far as the seed's noise and the validation blocks can tell.

    As good: the value is within 2·√2 standard deviations of the noise; where only one seed was retrained, the mean
    logarithm of the ratio to the winner over the folds is within two standard errors (three folds at least).
    """
    ranked = distinct(trials)
    if len(ranked) < 2:
        return None
    best = ranked[0]
    noise = retrain.noise
    rivals = [t for t in ranked[1:] if _as_good(t, best, noise)]
    if not rivals:
        return None
    alone = len(retrain.seeds) < 2
    numbers = [t.number for t in rivals]
    named = _listed(numbers)
    how = (
        f"a seed moves a trial's MSE by about {noise:.1%}" if math.isfinite(noise) else "the validation blocks disagree"
    )
    return Finding(
        code="winner_within_seed_noise",
        severity="warn" if alone else "info",
        evidence={"winner": best.number, "as_good": numbers[:10], "count": len(rivals), "seed_sd": plain(noise, 3)},
        says=f"Trial {best.number} won by chance as much as by merit: {named} {'is' if len(rivals) == 1 else 'are'} as "
        f"good ({how}).",
        advice="Average several trials (--retrain-seeds 3, and a --timeout that leaves time for it); a higher --folds "
        "tells them better apart."
        if alone
        else "Read little into the winner's exact parameters; the saved model averages the best trials.",
    )


def _as_good(trial: Trial, best: Trial, noise: float) -> bool:
    assert trial.value is not None
    assert best.value is not None
    if math.isfinite(noise):
        return trial.value <= best.value * (1 + 2 * math.sqrt(2) * noise)
    pairs = [
        math.log(a / b)
        for a, b in zip(trial.completed().fold_mse_scaled, best.completed().fold_mse_scaled, strict=True)
        if a > 0 and b > 0
    ]
    if len(pairs) < 3:
        return False
    return float(np.mean(pairs)) <= 2 * float(np.std(pairs, ddof=1)) / math.sqrt(len(pairs))


def validation_overfit(scores: Scores) -> Finding | None:
    """The test error is far above the validation error, and not because the test period is harder.

    How much harder it is, the baselines tell: the largest of their own ratios. The parts of the test error that a
    changed level or swing makes do not count. Raised where the model's ratio is above
    that by a factor of 1.3 + 3/√n, n validation windows that do not overlap; high at one and a half times that.
    """
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
            "test_over_validation": plain(ratio, 3),
            "baselines_test_over_validation": plain(max(harder), 3),
            "independent_validation_windows": plain(scores.independent, 3),
        },
        says=f"The test MSE is {ratio:.1f} times the winner's validation MSE, that of the baselines at most "
        f"{max(harder):.1f} times theirs: the winner fits the validation rows too well.",
        advice="Judge trials on more blocks (--folds) or more validation rows (--split).",
    )


def space_edge(trials: Sequence[Trial], edges: Sequence[tuple[str, str, float]]) -> Finding | None:
    """The winner of three trials or more lies on a bound of the space: what is best may lie beyond.

    A warning where, in addition, the fifth of the trained trials nearest to the bound is better than the rest in the
    median by 2%.
    """
    if not edges or sum(t.trained for t in trials) < _LEAST_TRIALS:
        return None
    pulls = {name: _pull(trials, name, side) for name, side, _ in edges}
    strong = [name for name, pull in pulls.items() if pull >= 0.02]
    listed = ", ".join(f"{name} = {bound:g} ({side}est)" for name, side, bound in edges)
    wider = "; ".join(f"{name} {'below' if side == 'low' else 'above'} {bound:g}" for name, side, bound in edges)
    return Finding(
        code="space_edge",
        severity="warn" if strong else "info",
        evidence={
            "edges": {name: {"side": side, "bound": bound} for name, side, bound in edges},
            "better_near_bound": {name: plain(pull, 3) for name, pull in pulls.items() if math.isfinite(pull)},
        },
        says=f"The best value of {_counted(len(edges), 'parameter')} lies on a bound of the search space: {listed}.",
        advice=f"Let the space reach further: {wider} (lstm-tune spaces show NAME prints a space to copy and change).",
    )


def widenable(edges: Sequence[tuple[str, str, float]], limits: Limits) -> list[tuple[str, str, float]]:
    """Leave out the bounds that the data set, not the space (`Space.cut`)."""
    tops = {
        "lookback": limits.max_lookback,
        "patch": max(1, limits.max_lookback // 2),
        "batch_size": limits.max_batch_size,
    }
    return [edge for edge in edges if edge[1] == "low" or edge[2] < tops.get(edge[0], math.inf)]


def _pull(trials: Sequence[Trial], name: str, side: str) -> float:
    """Return by how much the trials nearest to a bound are better than the others, in the median; NaN of too few."""
    pairs = [(float(t.settings[name]), t.value) for t in trials if t.trained and _is_number(t.settings.get(name))]
    pairs.sort(reverse=side == "high")
    few = max(3, round(_OUTER * len(pairs)))
    if len(pairs) < 3 * few:
        return math.nan
    while few < len(pairs) and pairs[few][0] == pairs[few - 1][0]:  # no value on both sides
        few += 1
    near, far = (
        median([v for _, v in pairs[:few] if v is not None]),
        median([v for _, v in pairs[few:] if v is not None]),
    )
    return 1 - near / far if far > 0 else math.nan


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def go_on_or_stop(trials: Sequence[Trial], searched: Sequence[str]) -> Finding | None:
    """Advise to go on or to stop, with the gain to expect of as many trials again.

    The gain, on the logarithm of the value: the mean, over all orders in which the trials could have come, of what the
    second half of them took off the best value of the first, is known exactly from the ranks. So is that of the second
    quarter. The next doubling is taken to bring as much less than the last one as the last one than the one before, as
    it is where the values near the best follow a power law. Half of what the last third of the trials really took off
    counts where it is more: then the sampler is still learning. Pruned trials count as the worst completed one.
    """
    ended = [t for t in trials if t.state in ("COMPLETE", "PRUNED") and t.same_as is None]
    values = [t.value if t.trained and t.value is not None else math.inf for t in ended]
    finite = [v for v in values if 0 < v < math.inf]
    if not finite:
        return None
    if not searched:
        return Finding(
            code="stop_now",
            severity="info",
            evidence={"trials": len(ended), "searched": 0},
            says="The search space fixes every parameter, so that more trials would repeat this one.",
            advice="Open the space: --space default, or ranges in place of values.",
        )
    n = len(values)
    if n < _LEAST or len(finite) < 4:
        return Finding(
            code="more_trials",
            severity="info",
            evidence={"trials": n, "completed": len(finite)},
            says=f"{_counted(n, 'trial').capitalize()} {'is' if n == 1 else 'are'} too few to tell how much better the "
            f"model can get.",
            advice="Pass --trials 30 or more, or a --timeout, with --resume.",
        )
    worst = max(finite)
    logs = np.log([v if 0 < v < math.inf else worst for v in values])
    quarter, half = _expected_best(logs, max(1, n // 4)), _expected_best(logs, max(2, n // 2))
    last, before = half - float(logs.min()), quarter - half
    doubling = last * min(1.0, last / before) if before > 0 else last
    third = max(1, n // 3)
    lately = float(logs[:-third].min() - logs.min())
    gain = 1 - math.exp(-max(doubling, lately / 2))
    since = n - 1 - int(logs.argmin())
    evidence = {
        "trials": n,
        "expected_gain": plain(gain, 3),
        "for_trials": n,
        "trials_since_best": since,
        "gain_of_last_third": plain(1 - math.exp(-lately), 3),
    }
    if gain >= _GAIN[0]:
        return Finding(
            code="more_trials",
            severity="warn" if gain >= _GAIN[1] else "info",
            evidence=evidence,
            says=f"The search is not at its end: {n} more trials should take about {gain:.1%} off the best validation "
            f"score.",
            advice=f"Go on with --resume --trials {2 * n}.",
        )
    return Finding(
        code="stop_now",
        severity="info",
        evidence=evidence,
        says=f"More trials of this space are hardly worth it: {n} more should take "
        f"{f'about {gain:.1%}' if gain >= 0.0005 else 'nothing'} off the best validation score.",
        advice="Stop here; covariates (--past, --future, --calendar) or another --space may bring more.",
    )


def _expected_best(logs: np.ndarray, k: int) -> float:
    """Return the mean of the least of k values drawn without replacement: an exact sum over the ranks."""
    n = len(logs)
    chance, total = k / n, 0.0  # that the least of all is drawn; then that the next is, and none below it
    for i, value in enumerate(np.sort(logs)):
        total += chance * float(value)
        if n - i - 1 <= 0:
            break
        chance *= (n - i - k) / (n - i - 1)
        if chance <= 0:
            break
    return total


def _counted(n: int, noun: str) -> str:
    return f"one {noun}" if n == 1 else f"{n} {noun}s"


def _listed(numbers: Sequence[int], most: int = 4) -> str:
    if len(numbers) == 1:
        return f"trial {numbers[0]}"
    shown = ", ".join(str(n) for n in numbers[:most])
    return f"trials {shown}" + (f" and {len(numbers) - most} more" if len(numbers) > most else "")


def _only(code: str) -> Callable[[Search], Finding | None]:
    def look(search: Search) -> Finding | None:
        finding = go_on_or_stop(search.trials, search.searched)
        return finding if finding is not None and finding.code == code else None

    return look


CHECKS: tuple[Check[Search], ...] = (
    Check(
        code="validation_overfit",
        look=lambda s: validation_overfit(s.scores),
        cause="the winner fits the validation rows too well",
    ),
    Check(
        code="winner_within_seed_noise",
        look=lambda s: winner_within_seed_noise(s.trials, s.retrain),
        cause=None,
    ),
    Check(code="space_edge", look=lambda s: space_edge(s.trials, s.edges), cause=None),
    Check(code="more_trials", look=_only("more_trials"), cause=None),
    Check(code="stop_now", look=_only("stop_now"), cause=None),
)
