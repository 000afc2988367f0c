"""Findings on training, from the learning curves of a study's trials. Pure functions of records.

A finding on training is about the winner, and only one that at least half of the best three trials bear out: a search
tries poor values on purpose, so a poor trial says nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.evidence import Scores, median, plain
from lstm_tune.diagnosis.finding import Finding, Severity
from lstm_tune.evaluation.baseline_labels import label_of
from lstm_tune.evaluation.recorded_forecasts import Floats
from lstm_tune.search.trials import Curve, Trial, distinct
from lstm_tune.training.optimizers import is_adaptive

_SLOW = 0.2  # of the untrained value: training that takes off less, and steadily so, crawls
_MORE = 1.02  # times a baseline's validation MSE: there is more to gain
_REACH = 0.03  # the sum of all steps, below which no weight can have moved by as much as it began with
_LATE = 0.02, 0.1  # taken off by the last quarter of the epochs: warn, high
_OSCILLATES = 0.05, 0.15  # mean upward move from epoch to epoch, of the median: warn, high
_JUMPS = 0.3  # mean upward move that needs no more than a jump and back
_RISES = 0.2, 0.5  # of validation after its best epoch, while the training loss goes on falling: info, warn
_PERFECT = 0.02  # of the variance of the train rows: an error of less is none to mend
_GAP = 2.0, 4.0  # test over fitted rows, in units of the baselines' own: warn, high
_WASTED = 0.5  # of all epochs, after the best one
_MANY_AFTER = 8  # epochs after the best one that are no patience any more
_DIVERGED = 0.2, 0.5  # of the trials: warn, high
_FEW_STEPS = 8  # in an epoch
_LEADERS = 3  # trials that a finding on training looks at: the winner, and those that must bear it out


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """The trials of a study that have ended, and the scores of the model and the baselines."""

    trials: Sequence[Trial]
    scores: Scores

    @property
    def lead(self) -> Lead:
        """The best trials with their learning curves, the winner first."""
        return leaders(self.trials)


Lead = Sequence[tuple[Trial, Curve]]


def leaders(trials: Sequence[Trial]) -> Lead:
    """Return the best trained trials that have a curve, the winner first; of equal values the first one."""
    found = [(t, t.curve()) for t in distinct(trials)]
    return [(t, curve) for t, curve in found if curve is not None][:_LEADERS]


def _borne_out(lead: Lead, shows: Callable[[Trial, Curve], float], least: float) -> float:
    """Return the winner's strength of a symptom, or 0 where under half of the best trials show `least` of it."""
    strengths = [shows(trial, curve) for trial, curve in lead]
    if not strengths or strengths[0] < least or 2 * sum(s >= least for s in strengths) < len(strengths):
        return 0.0
    return strengths[0]


def _severity(strength: float, high: float) -> Severity:
    return "high" if strength >= high else "warn"


def underfit(scores: Scores) -> Finding | None:
    """Not even the rows that were trained on are fitted: a baseline fits them better, and noise explains far less.

    Raised where a baseline has at least 20% less error than the model both on fitted rows and, by 10%, on test rows, or
    where the model's error on fitted rows is twice the noise estimate (five times: high), so is that on test rows, and
    it is 2% of the variance at least. High, too, where the baseline's error is less by a third.
    """
    better = {
        name: scores.fit / fit
        for name, fit in scores.fit_baselines.items()
        if fit > 0 and scores.fit / fit >= 1.2 and scores.test >= 1.1 * scores.test_baselines.get(name, math.inf)
    }
    known = scores.noise > 0 and scores.fit >= _PERFECT
    over_noise = min(scores.fit, scores.test) / scores.noise if known else math.nan
    if not better and not over_noise >= 2:
        return None
    evidence: dict[str, float | str | None] = {"fitted_mse_scaled": plain(scores.fit)}
    if better:
        name = max(better, key=lambda n: better[n])
        evidence |= {"baseline": name, "baseline_fitted_mse_scaled": plain(scores.fit_baselines[name])}
        times = f"{_times(better[name])} as much as {label_of(name).sentence}"
        says = f"Even on the rows it was trained on the model errs {times}."
    else:
        evidence |= {"noise_estimate": plain(scores.noise)}
        says = (
            f"On the rows it was trained on the model still errs {_times(over_noise)} as much as what follows similar "
            f"windows differs: it has not learned what is there."
        )
    return Finding(
        code="underfit",
        severity="high" if max([*better.values(), 0.0]) >= 1.5 or over_noise >= 5 else "warn",
        evidence=evidence,
        says=says,
        advice="Give it more capacity and time: higher hidden_units, layers, lookback and epochs, lower dropout and "
        "weight_decay, or skip = linear; --space thorough searches them.",
    )


def overfit(lead: Lead, scores: Scores) -> Finding | None:
    """Training rows are learned by heart.

    Raised where the error on test rows over that on fitted rows is 2 times (4: high) the largest such ratio of the
    forecasts that fit nothing, which tell how much harder the period is (the parts that a changed level or swing makes
    do not count). Or, a lesser sign, since the best epoch's weights are kept: validation rises by a fifth after the
    best epoch (a half: warn) while the training loss falls by a tenth and more.
    """
    gaps = {
        name: scores.test_baselines[name] / fit
        for name, fit in scores.fit_baselines.items()
        if name != "ridge" and fit > 0 and name in scores.test_baselines
    }
    gap = scores.noisy_test / scores.fit if scores.fit > 0 else math.nan
    excess = gap / max(1.0, *gaps.values()) if gaps else math.nan
    rises = _borne_out(lead, lambda _, curve: _rise(curve), _RISES[0])
    advice = _less_capacity(lead[0][0].settings if lead else {})
    if excess >= _GAP[0]:
        return Finding(
            code="overfit",
            severity=_severity(excess, _GAP[1]),
            evidence={
                "fitted_mse_scaled": plain(scores.fit),
                "test_mse_scaled": plain(scores.test),
                "of_it_unexplained": plain(scores.noisy_test),
                "gap": plain(gap),
                "gap_of_naive_forecasts": plain(max(gaps.values())),
            },
            says=f"The error on test rows is {gap:.1f} times that on the rows that were trained on, that of naive "
            f"forecasts only {max(gaps.values()):.1f} times: the model has learned its training rows by heart.",
            advice=advice,
        )
    if not rises:
        return None
    curve = lead[0][1]
    return Finding(
        code="overfit",
        severity="warn" if rises >= _RISES[1] else "info",
        evidence={"best_epoch": curve.best, "epochs": curve.epochs, "validation_rise": plain(rises, 3)},
        says=f"After epoch {curve.best} of the best trial validation got worse by {rises:.0%} while the training loss "
        f"went on falling; the weights of epoch {curve.best} were kept.",
        advice=advice,
    )


def _less_capacity(config: Mapping[str, object]) -> str:
    """Return what takes capacity from a configuration, without what it has already."""
    ways = ["raise dropout or weight_decay", "lower hidden_units"]
    ways += ["lower layers"] if config.get("layers") != 1 else []
    ways += ["use skip = linear"] if config.get("skip") != "linear" else []
    return f"To learn less by heart, {', '.join(ways[:-1])} or {ways[-1]}."


def _rise(curve: Curve) -> float:
    """Return by how much validation lies above its best at the end, where the training loss fell meanwhile; else 0."""
    after = curve.epochs - curve.best
    if after < 3:
        return 0.0
    before = curve.loss[max(0, curve.best - 1)]
    if not curve.loss[-1] <= 0.9 * before:
        return 0.0
    best = curve.val[curve.best]
    rise = float((np.median(curve.val[-max(3, after // 3) :]) - best) / (best + _PERFECT * curve.val[0]))
    return rise if rise >= 2 * _oscillation(curve) and _swing(curve.loss, curve.loss[0]) < 2 * _OSCILLATES[0] else 0.0


def _flips(values: Floats) -> float:
    """Return the share of steps at which the values turn from falling to rising or back."""
    moves = np.sign(np.diff(values))
    return float(np.mean(moves[1:] != moves[:-1])) if len(moves) > 1 else 0.0


def learning_rate_too_high(lead: Lead) -> Finding | None:
    """Steps overshoot: validation jumps up and down, or training makes the model worse than untrained, or stalls.

    Oscillating: it turns at 40% of the epochs at least, and the mean upward move is 5% of the median (15%: high), or
    the training loss does so by twice as much.
    """
    ups = _borne_out(lead, lambda _, curve: _oscillation(curve), _OSCILLATES[0])
    worse = _borne_out(lead, _thrown_off, 1.5)
    if not ups and not worse:
        return None
    trial, curve = lead[0]
    rate = trial.settings.get("learning_rate")
    if worse:
        says = f"Training at a learning rate of {rate:g} only made the best trial worse: no epoch beats its start."
    else:
        says = f"From epoch to epoch the error jumps up by {ups:.0%} on average, and down again: steps overshoot."
    return Finding(
        code="learning_rate_too_high",
        severity="high" if worse else _severity(ups, _OSCILLATES[1]),
        evidence={
            "learning_rate": rate,
            "optimizer": trial.settings.get("optimizer"),
            "mean_rise": plain(_oscillation(curve), 3),
            "turns": plain(_flips(curve.val[1:]), 3),
            "best_epoch": curve.best,
        },
        says=says,
        advice=f"Lower learning_rate (try {rate / 10:g}), or use schedule = cosine and weight_average = 0.99."
        if isinstance(rate, float)
        else "Lower learning_rate, or use schedule = cosine.",
    )


def _oscillation(curve: Curve) -> float:
    """Return the larger of the oscillations of validation and, at half its size, of the training loss."""
    return max(_swing(curve.val[1:], curve.val[0]), _swing(curve.loss, curve.loss[0]) / 2)


def _swing(values: Floats, first: float) -> float:
    """Return the mean upward move, over the median, of values that turn often, or jump far and come back; else 0."""
    values = values[np.isfinite(values)]
    moves = np.diff(values)
    if len(moves) < 3:
        return 0.0
    # Where next to nothing is left of the error, a part of nothing is no reason to worry.
    swing = float(np.maximum(moves, 0).mean() / (np.median(values) + _PERFECT * abs(first)))
    return swing if _flips(values) >= (0.4 if swing < _JUMPS else 0.25) else 0.0


def _thrown_off(trial: Trial, curve: Curve) -> float:
    """Return how many times its untrained value validation has after the first epoch, if no epoch recovers."""
    stalls = curve.epochs >= 2 and curve.loss[-1] >= 0.97 * curve.loss[0]
    limit = 0.05 if is_adaptive(trial.settings.get("optimizer")) else 0.5
    if stalls and curve.lr.max() >= limit and curve.val[-1] >= 0.8 * curve.val[0]:
        return 2.0
    return float(curve.val[1] / curve.val[0]) if curve.best == 0 else 0.0


def learning_rate_too_low(lead: Lead, trials: Sequence[Trial], scores: Scores) -> Finding | None:
    """Training crawls: small gains that stay as large to the end, or steps too small to move a weight.

    The former only while a baseline shows that there is more to gain: noise is learned slowly, too. Neither where
    another trial learned three times as fast and ended no better: then slow steps are what the data want.
    """
    if not lead or not _borne_out(lead, _crawls, 1.0):
        return None
    trial, curve = lead[0]
    more = scores.val >= _MORE * min(scores.val_baselines.values(), default=math.inf)
    if not more and not _cannot_move(trial, curve):
        return None
    rate, value = trial.settings.get("learning_rate"), trial.value
    faster = [
        t
        for t in trials
        if t.trained
        and t.settings.get("optimizer") == trial.settings.get("optimizer")
        and t.settings.get("learning_rate", 0) >= 3 * curve.lr.max()
    ]
    if value is None or any(t.value is not None and t.value >= value for t in faster):
        return None
    gain = 1 - curve.val.min() / curve.val[0]
    return Finding(
        code="learning_rate_too_low",
        severity="high",
        evidence={
            "learning_rate": rate,
            "optimizer": trial.settings.get("optimizer"),
            "epochs": curve.epochs,
            "gain_over_untrained": plain(gain, 3),
            "steps_per_epoch": plain(curve.steps, 3),
        },
        says=f"In {curve.epochs} epochs training took {gain:.2%} off the untrained model's validation MSE, and was no "
        f"slower at the end than at the beginning: at a learning rate of {rate:g} it crawls.",
        advice=f"Raise learning_rate (try {min(0.003, max(10 * rate, 3e-4)):g})."
        if isinstance(rate, float)
        else "Raise learning_rate.",
    )


def _crawls(trial: Trial, curve: Curve) -> float:
    """Return 1 where the trial crawls, else 0."""
    gain = 1 - curve.val.min() / curve.val[0]
    if curve.epochs < 2 or gain >= _SLOW or curve.val.max() > 1.5 * curve.val[0]:
        return 0.0
    if _cannot_move(trial, curve):
        return 1.0
    plain_start = all(trial.settings.get(name) == "none" for name in ("skip", "window_norm", "difference"))
    if plain_start and curve.epochs >= 3 and np.abs(curve.val / curve.val[0] - 1).max() < 1e-3:
        return 1.0
    if curve.epochs < 3 or curve.best < curve.epochs - 1 or curve.stopped == "patience":
        return 0.0
    # Time is counted in learning rate, so that a schedule that ends at 0 does not look like training that has ended.
    spent = np.concatenate([[0.0], np.cumsum(curve.lr)])
    middle = int(np.searchsorted(spent, spent[-1] / 2))
    first, second = curve.val[0] - curve.val[middle], curve.val[middle] - curve.val[-1]
    if first <= 0 or not 0 < spent[middle] < spent[-1]:
        return 0.0
    return float(second / (spent[-1] - spent[middle]) >= 0.5 * first / spent[middle])


def _cannot_move(trial: Trial, curve: Curve) -> bool:
    """Return whether all steps that were planned are together too short for any weight to change by much."""
    reach = trial.settings.get("learning_rate", math.nan) * curve.steps * trial.settings.get("epochs", math.nan)
    return is_adaptive(trial.settings.get("optimizer")) and bool(reach < _REACH)


def too_few_epochs(lead: Lead) -> Finding | None:
    """The best trial was still getting better when its epochs, or the time, ran out.

    Its last quarter of the epochs took 2% off validation (10%: high), twice that under a schedule that ends at 0.
    """
    late = _borne_out(lead, _late_gain, _LATE[0])
    if not late:
        return None
    curve = lead[0][1]
    k = max(1, curve.epochs // 4)
    cause = (
        "the time limit ended it" if curve.stopped == "time" else f"it ended after {_counted(curve.epochs, 'epoch')}"
    )
    return Finding(
        code="too_few_epochs",
        severity=_severity(late, _LATE[1]),
        evidence={
            "epochs": curve.epochs,
            "best_epoch": curve.best,
            "late_gain": plain(late, 3),
            "stopped": curve.stopped,
        },
        says=f"The best trial was still improving when {cause}: the last {_counted(k, 'epoch')} took "
        f"{1 - curve.val[-1] / curve.val[-1 - k]:.1%} off its validation MSE.",
        advice="Give it longer: a higher --timeout."
        if curve.stopped == "time"
        else f"Raise epochs (try {3 * max(10, curve.epochs)}; patience ends a trial that no longer improves).",
    )


def _late_gain(trial: Trial, curve: Curve) -> float:
    if curve.best < curve.epochs or curve.stopped == "patience":
        return 0.0
    gain = float(1 - curve.val[-1] / curve.val[-1 - max(1, curve.epochs // 4)])
    return gain / 2 if trial.settings.get("schedule") in ("cosine", "one_cycle") and curve.epochs > 1 else gain


def too_many_epochs(trials: Sequence[Trial]) -> Finding | None:
    """Most epochs came long after the best one: time that more trials could have had."""
    curves = [curve for t in trials if t.trained and (curve := t.curve()) is not None]
    after = [curve.epochs - curve.best for curve in curves]
    ran = sum(curve.epochs for curve in curves)
    if not ran or sum(after) < _WASTED * ran or median(after) < _MANY_AFTER:
        return None
    best = median([curve.best for curve in curves])
    return Finding(
        code="too_many_epochs",
        severity="info",
        evidence={
            "share_after_best": plain(sum(after) / ran, 3),
            "median_best_epoch": best,
            "median_epochs": median([curve.epochs for curve in curves]),
        },
        says=f"{sum(after) / ran:.0%} of all epochs came after a trial's best one (epoch {best:.0f} in the median); "
        f"they cost time, no accuracy, since the best epoch's weights are kept.",
        advice="Lower patience (4 suffices mostly) or epochs, and spend the time on more --trials.",
    )


def batch_size(lead: Lead, trials: Sequence[Trial]) -> Finding | None:
    """The batches are too large for the rows, too small for calm steps, or of a size that the trials speak against.

    Too large: under 8 steps in an epoch and still improving at the end. Too small: at most 8 windows, and validation
    oscillates. By the trials: those with the smaller, or the larger half of the sizes are better by 10% in the median,
    by a rank test at 1%, and the winner's is the last size on that side.
    """
    if not lead:
        return None
    trial, curve = lead[0]
    size = trial.settings.get("batch_size")
    evidence: dict[str, float | str | None] = {"batch_size": size}
    if curve.steps < _FEW_STEPS and (_late_gain(trial, curve) >= _LATE[0] or _crawls(trial, curve)):
        return Finding(
            code="batch_size",
            severity="warn",
            evidence=evidence | {"steps_per_epoch": plain(curve.steps, 3)},
            says=f"With batches of {size} an epoch has only {curve.steps:.0f} steps, and the best trial was still "
            f"improving at its end.",
            advice="Lower batch_size (try 32), or raise epochs.",
        )
    if size is not None and size <= 8 and _oscillation(curve) >= _OSCILLATES[0]:
        return Finding(
            code="batch_size",
            severity="warn",
            evidence=evidence | {"mean_rise": plain(_oscillation(curve), 3)},
            says=f"Batches of {size} windows make noisy steps: validation jumps from epoch to epoch.",
            advice="Raise batch_size (try 32 or 64), or set weight_average = 0.99.",
        )
    trained = [t for t in trials if t.trained and "batch_size" in t.settings]
    sizes = sorted({t.settings["batch_size"] for t in trained})
    if len(sizes) < 3 or size not in (sizes[0], sizes[-1]):
        return None
    border = sizes[len(sizes) // 2]
    sided = [((t.settings["batch_size"] < border) == (size == sizes[0]), t.completed().value) for t in trained]
    near, far = ([value for beside, value in sided if beside is wanted] for wanted in (True, False))
    if len(near) < 5 or len(far) < 5:
        return None
    ratio = median(far) / median(near) if median(near) > 0 else math.nan
    if not ratio >= 1.1 or _rank_z(near, far) > -2.6:
        return None
    side = "smaller" if size == sizes[0] else "larger"
    return Finding(
        code="batch_size",
        severity="info",
        evidence=evidence | {"median_ratio": plain(ratio, 3), "trials": len(near) + len(far), "better": side},
        says=f"Trials with the {side} batch sizes were better by {1 - 1 / ratio:.0%} in the median, and the best one "
        f"has the {side[:-1]}st that was tried, {size}.",
        advice=f"Search {side} values of batch_size.",
    )


def _rank_z(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the z value of the rank sum of `a` among both (Mann and Whitney 1947); negative where `a` is less."""
    order = np.argsort(np.argsort(np.concatenate([a, b]), kind="stable")) + 1.0
    n, m = len(a), len(b)
    return float((order[:n].sum() - n * (n + m + 1) / 2) / math.sqrt(n * m * (n + m + 1) / 12))


def diverged_trials(trials: Sequence[Trial]) -> Finding | None:
    """A fifth of the trials (half: high) ended because a loss was no longer finite, or exploded; two at least."""
    ended = [t for t in trials if t.state in ("COMPLETE", "PRUNED") and t.same_as is None]
    lost = [t for t in ended if _diverged(t)]
    if len(lost) < 2 or len(lost) < _DIVERGED[0] * len(ended):
        return None
    kept = [t for t in ended if not _diverged(t)]
    share = len(lost) / len(ended)
    common = _in_common(lost, kept)
    what = f"; they have in common: {', '.join(f'{k} {v}' for k, v in common.items())}" if common else ""
    least = min(float(t.settings.get("learning_rate", math.nan)) for t in lost)
    return Finding(
        code="diverged_trials",
        severity=_severity(share, _DIVERGED[1]),
        evidence={"diverged": len(lost), "trials": len(ended), "in_common": dict(common)},
        says=f"{len(lost)} of {len(ended)} trials diverged: their loss grew without bound{what}.",
        advice=f"Lower the upper bound of learning_rate below {least:g}, or set gradient_clip = 1."
        if "learning_rate" in common
        else "Set gradient_clip = 1, lower learning_rate, and take out of the space what they have in common.",
    )


def _diverged(trial: Trial) -> bool:
    reason = trial.pruned_because or ""
    return trial.state == "PRUNED" and reason.startswith("diverged") and "no training window" not in reason


def _in_common(lost: Sequence[Trial], kept: Sequence[Trial]) -> Mapping[str, str]:
    """Return {parameter: value or range} that most diverged trials share and most others do not."""
    found: dict[str, str] = {}
    rates = [float(t.settings["learning_rate"]) for t in lost if "learning_rate" in t.settings]
    others = [float(t.settings["learning_rate"]) for t in kept if "learning_rate" in t.settings]
    if rates and (not others or np.mean([r < min(rates) for r in others]) >= 0.6):
        found["learning_rate"] = f"of {min(rates):g} or more"
    for name in ("optimizer", "cell_activation", "activation", "transform", "gradient_clip", "layers"):
        value, count = Counter(t.settings.get(name) for t in lost).most_common(1)[0]
        rest = np.mean([t.settings.get(name) == value for t in kept]) if kept else 1.0
        if value is not None and count >= 0.8 * len(lost) and rest <= 0.5:
            found[name] = str(value)
    return found


def _counted(n: int, noun: str) -> str:
    return f"one {noun}" if n == 1 else f"{n} {noun}s"


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 100 else "over 100 times"


CHECKS: tuple[Check[Training], ...] = (  # causes before effects
    Check(
        code="learning_rate_too_low",
        look=lambda t: learning_rate_too_low(t.lead, t.trials, t.scores),
        cause="the learning rate is too low",
        explains=("too_few_epochs",),
    ),
    Check(
        code="learning_rate_too_high",
        look=lambda t: learning_rate_too_high(t.lead),
        cause="the learning rate is too high",
    ),
    Check(code="too_few_epochs", look=lambda t: too_few_epochs(t.lead), cause="training ended too early"),
    Check(
        code="batch_size",
        look=lambda t: batch_size(t.lead, t.trials),
        cause="the batch size does not suit the data",
    ),
    Check(code="diverged_trials", look=lambda t: diverged_trials(t.trials), cause="many trials diverged"),
    Check(
        code="overfit",
        look=lambda t: overfit(t.lead, t.scores),
        cause="the model overfits its training rows",
        explains=("underfit",),
    ),
    Check(
        code="underfit",
        look=lambda t: underfit(t.scores),
        cause="the model does not even fit the rows that it was trained on",
    ),
    Check(code="too_many_epochs", look=lambda t: too_many_epochs(t.trials), cause=None),
)
