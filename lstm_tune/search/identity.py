"""What makes two studies the same: kept with the study, and compared when it is resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from lstm_tune.errors import StudyError

_SETTINGS = "lstm_tune"
_ABOUT = "lstm_tune:about"
OWN_ERRORS = {"errors_over": "the variance of each series"}  # setting of studies of several series
# Settings of studies that were begun before these were settings.
_BEFORE = {"precision": "fp32", "metric": "mse", "errors_over": "the variance of all series"}
_OPTIONS = "lstm_tune:options"
_MOST = 3  # differences that a message names


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyIdentity:
    """The settings of a study, and what helps a person to find them again.

    Attributes:
        settings: data (a fingerprint), target, horizon, split, folds, metric, space, …; they must be the same.
        before: values of settings as old versions kept them; they are accepted, too.
        data: the data in words.
        command: that began the study; None: a command line cannot say it.
    """

    settings: Mapping[str, Any]
    before: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""
    command: str | None = None

    def keep(self, study: optuna.Study) -> None:
        """Keep it with a new study."""
        study.set_user_attr(_ABOUT, {"data": self.data, "command": self.command})
        study.set_user_attr(_SETTINGS, json.loads(json.dumps(self.settings)))

    def check(self, study: optuna.Study) -> None:
        """Refuse a study that was begun with other settings.

        Raises:
            StudyError: says which, what they were, and the command that began the study.
        """
        kept = kept_settings(study)
        if kept is None:
            raise StudyError(f"study {study.study_name!r} was not made by lstm_tune; use another study_name=")
        now = json.loads(json.dumps(self.settings))
        same = [key for key, value in now.items() if kept.get(key) in (value, self.before.get(key, value))]
        changed = [key for key in now if key not in same]
        if "data" in changed and "space" in changed:
            changed.remove("space")  # it is cut to what the data allow
        if changed:
            differences = [self._difference(study, key, kept.get(key), now[key]) for key in changed[:_MOST]]
            raise StudyError(
                f"study {study.study_name!r} was made with {', '.join(differences)}; "
                f"{first_command(study)}; or use another study_name= or out="
            )

    def _difference(self, study: optuna.Study, key: str, before: Any, now: Any) -> str:
        if key == "data":
            then = _about(study).get("data")
            if not then or not self.data:
                return "other data"
            same = "the same rows with other values" if then == self.data else f"{then}, now {self.data}"
            return f"other data ({same})"
        if isinstance(before, dict) and isinstance(now, dict):
            before, now = (one | _parameters(one) | {"parameters": None} for one in (before, now))
            parts = [
                f"{name} {_short(before.get(name))}, now {_short(now.get(name))}"
                for name in {**before, **now}
                if before.get(name) != now.get(name)
            ]
            return f"another {key} ({'; '.join(parts[:_MOST])})"
        return f"another {key} ({_short(before)}, now {_short(now)})"


def _parameters(space: dict[str, Any]) -> dict[str, Any]:
    found = space.get("parameters")
    return found if isinstance(found, dict) else {}


def kept_settings(study: optuna.Study) -> dict[str, Any] | None:
    """Return the settings that a study was begun with; None: it is not ours.

    Raises:
        StudyError: they are damaged.
    """
    kept = study.user_attrs.get(_SETTINGS)
    if kept is None:
        return None
    if not isinstance(kept, dict):
        raise StudyError(
            f"study {study.study_name!r} is damaged, or was edited: its settings must be values by their names; "
            f"restore it from a copy, or use another study_name= or out="
        )
    return _BEFORE | kept


def keep_worker_options(study: optuna.Study, options: Mapping[str, Any] | None) -> None:
    """Keep the options that workers on other machines need; None: they cannot take part."""
    if study.user_attrs.get(_OPTIONS) != options:
        study.set_user_attr(_OPTIONS, options)


def worker_options(study: optuna.Study) -> dict[str, Any]:
    """Return the options that `keep_worker_options` kept.

    Raises:
        StudyError: there are none.
    """
    options = study.user_attrs.get(_OPTIONS)
    if not isinstance(options, dict):
        raise StudyError(
            f"study {study.study_name!r} has a sampler or a pruner of its own, or was begun by an older version: "
            f"workers cannot take part; begin or resume it with named ones"
        )
    return options


def data_in_words(study: optuna.Study) -> str:
    """Return the size of the data of a study, and the time that they span."""
    return str(_about(study).get("data") or "other rows")


def first_command(study: optuna.Study) -> str:
    """Return how to go on with a study: by the command that began it."""
    command = _about(study).get("command")
    return "repeat the first command with resume=True" + (f": {command} --resume" if command else "")


def _about(study: optuna.Study) -> dict[str, Any]:
    about = study.user_attrs.get(_ABOUT)
    return about if isinstance(about, dict) else {}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
