"""Waits for a database that does not answer, and says so once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sql
from optuna.exceptions import StorageInternalError

from lstm_tune.errors import StudyError
from lstm_tune.storage.database_errors import Outage, is_outage, reason
from lstm_tune.storage.remedies import remedy_for_message
from lstm_tune.storage.urls import mask_password

T = TypeVar("T")

LIMIT = 300.0  # seconds that an outage may last
_FIRST, _LONGEST = 0.1, 10.0  # seconds between attempts
_LOOK = 0.5  # seconds between looks at whether the user wants to stop


class Outages:
    """Repeats calls of a database until it answers.

    Args:
        url: as the user wrote it.
        info: told when an outage begins and ends.
        stop: whether the user wants to stop; then an outage is not waited for.

    Attributes:
        limit: seconds that an outage may last.
        attempts: that failed; the supervisor takes them as a sign of life.
        up_since: when the last outage ended, on the clock of `time.monotonic`.
    """

    def __init__(self, url: str, info: Callable[[str], None], stop: Callable[[], bool]) -> None:
        self.url = url
        self.limit = LIMIT
        self.attempts = 0
        self.up_since = time.monotonic()
        self._info, self._stop = info, stop
        self._down = self._gave_up = False

    def retry(self, call: Callable[[], T], again: Callable[[], T] | None = None) -> T:
        """Call until the database answers.

        Args:
            call: the first attempt.
            again: every further one, if the first may have been carried out although no answer came; by default `call`.

        Raises:
            StudyError: the outage lasts too long, or the database refuses.
            KeyboardInterrupt: the user wants to stop during an outage.
        """
        began, pause = time.monotonic(), _FIRST
        while True:
            try:
                result = call()
            except (Outage, StorageInternalError, sql.exc.SQLAlchemyError) as error:
                if not is_outage(error):
                    failure = self._failure("an error of", error)
                    raise StudyError(f"{failure}; {remedy_for_message(str(failure))}") from None
                self.mark_down()
                if self._gave_up or time.monotonic() - began > self.limit:
                    self._gave_up = True  # what is still to be tidied up need not wait as long again
                    raise StudyError(
                        f"{self._failure('no answer from', error)}; what was finished is kept: when the database is "
                        f"back, repeat tune with resume=True"
                    ) from None
            else:
                self.mark_up()
                return result
            self.attempts += 1
            self.wait(random.uniform(0.5, 1.0) * pause)
            pause = min(2 * pause, _LONGEST)
            call = again or call

    def _failure(self, what: str, error: BaseException) -> StudyError:
        return StudyError(f"{what} the storage {mask_password(self.url)!r}: {reason(error, self.url)}")

    def wait(self, seconds: float) -> None:
        """Wait.

        Raises:
            KeyboardInterrupt: the user wants to stop.
        """
        while seconds > 0:
            if self._stop():
                raise KeyboardInterrupt
            time.sleep(min(seconds, _LOOK))
            seconds -= _LOOK

    def mark_down(self) -> None:
        """Note that the database does not answer."""
        if not self._down:
            self._down = True
            self._info("the storage does not answer; waiting for it")

    def mark_up(self) -> None:
        """Note that the database answers."""
        if self._down:
            self._down = self._gave_up = False
            self.up_since = time.monotonic()
            self._info("the storage answers again")
