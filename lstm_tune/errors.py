"""What can go wrong, as exceptions that a person can act on.

LstmTuneError          anything below; its text is one line: the rule, the name, the value, the remedy
├── UsageError         an option or argument is wrong                         (exit status 2)
│   └── SpaceError     a search-space file or preset is wrong                 (exit status 2)
├── DataError          the data cannot be used as they are                    (exit status 2)
├── RunError           a run folder or model is missing, damaged or foreign   (exit status 1)
└── StudyError         the study could not be carried out                     (exit status 1)
"""

from __future__ import annotations


class LstmTuneError(Exception):
    """Base of every error that this package raises on purpose; the text is one line."""

    exit_status = 1


class LstmTuneWarning(UserWarning):
    """Something in the data was repaired, left out or assumed; the text is one sentence."""


class UsageError(LstmTuneError):
    """An option or argument is wrong."""

    exit_status = 2


class SpaceError(UsageError):
    """A search-space file or preset is wrong."""


class DataError(LstmTuneError):
    """The data cannot be used as they are.

    Attributes:
        code: of the finding that this is, where `diagnose` can tell it instead.
    """

    exit_status = 2

    def __init__(self, *args: object, code: str | None = None) -> None:
        super().__init__(*args)
        self.code = code


class RunError(LstmTuneError):
    """A run folder or a saved model is missing, damaged or of another schema."""


class StudyError(LstmTuneError):
    """The study could not be carried out."""
