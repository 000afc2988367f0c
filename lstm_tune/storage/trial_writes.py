"""What a running trial writes: gathered, and stored at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialEnd:
    """How a trial ends."""

    state: TrialState
    values: Sequence[float] | None


@dataclass(kw_only=True, slots=True)
class TrialWrites:
    """What is still to be stored of a trial.

    Attributes:
        params: value, as Optuna stores it, and distribution by name.
        reports: value by step.
        user: user attributes.
        system: system attributes.
    """

    params: dict[str, tuple[float, BaseDistribution]] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.params or self.reports or self.user or self.system)

    def added_to(self, trial: FrozenTrial) -> FrozenTrial:
        """Return the trial as it will be when this is stored."""
        if not self:
            return trial
        trial = copy.copy(trial)
        trial.distributions = trial.distributions | {name: kind for name, (_, kind) in self.params.items()}
        trial.params = trial.params | {name: kind.to_external_repr(v) for name, (v, kind) in self.params.items()}
        trial.intermediate_values = trial.intermediate_values | self.reports
        trial.user_attrs = trial.user_attrs | self.user
        trial.system_attrs = trial.system_attrs | self.system
        return trial
