"""Storage URLs, and how they are shown: a password reaches no file, no screen and no log."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

from lstm_tune.errors import StudyError

ENVIRONMENT = "OPTUNA_STORAGE"  # the variable that names a storage, as it does for Optuna's command line
_MASK = "***"
# Up to the last @, so that a password which should have been quoted is hidden whole. Better too much than too little.
_USER = re.compile(r"(?P<before>^(?!sqlite[^:]*:///)[^:/]*://[^:]*:)(?P<secret>.*)(?=@)", re.DOTALL)
_QUERY = re.compile(r"(?P<before>[?&][^=&]*(?:pass|pwd|secret|token)[^=&]*=)(?P<secret>[^&]*)", re.IGNORECASE)
_LONG = 12  # letters, which are hardly a word of a message
_SHORT = 4  # characters
_QUERY_START = re.compile(r"\?[\w.]+=")


def is_url(text: str) -> bool:
    """Return whether a storage is named by a URL, not by a path."""
    return "://" in text


def or_of_environment(storage: Any) -> Any:
    """Return a storage, or, if it is None, the one that the environment names; None: it names none."""
    return (os.environ.get(ENVIRONMENT) or None) if storage is None else storage


def check_file_there(storage: str) -> None:
    """Refuse the path of a study's file that is not there, for whoever only opens a study; a URL is not looked at.

    Raises:
        StudyError: it does not exist.
    """
    if not is_url(storage) and not Path(storage).exists():
        raise StudyError(
            f"the study file {storage!r} does not exist; check the path, or begin the study with tune first"
        )


def scheme_of(url: str) -> str:
    """Return "postgresql" of "postgresql+psycopg://…", and "" of a path."""
    return url.partition("://")[0].partition("+")[0].lower() if is_url(url) else ""


def mask_password(url: str) -> str:
    """Return a storage URL that can be shown: its passwords are ***."""
    if not is_url(url):
        return url
    address, query = _split(url)
    return _USER.sub(rf"\g<before>{_MASK}", address) + _QUERY.sub(rf"\g<before>{_MASK}", query)


def _split(url: str) -> tuple[str, str]:
    """Return what stands before the query of a URL, and the query with its question mark."""
    start = _QUERY_START.search(url)
    return (url, "") if start is None else (url[: start.start()], url[start.start() :])


def mask_argument(argument: str) -> str:
    """Return an argument of a command line that can be shown: URL, --option=URL, or anything else as it is."""
    option, equals, value = argument.partition("=")
    if equals and option.startswith("--") and is_url(value):
        return f"{option}={mask_password(value)}"
    return mask_password(argument)


def without_secrets(text: str, url: str) -> str:
    """Return a text, such as an error's, without the URL's passwords, and without the URL if it holds one."""
    text = text.replace(url, mask_password(url))
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = re.sub(_shown(secret), _MASK, text, flags=re.IGNORECASE)
    return text


def _shown(secret: str) -> str:
    """Return a pattern of a password within a text.

    A short word or a number is masked only where a password stands: masked elsewhere, it would spoil what the text
    says, and would tell the password.
    """
    exact = f"(?-i:{re.escape(secret)})"
    if len(secret) < _SHORT or (len(secret) < _LONG and (secret.isalpha() or secret.isdigit())):
        return rf"(?<=:){exact}(?=@)|(?:(?<=pass=)|(?<=passwd=)|(?<=password=)){exact}(?!\w)"
    return exact


def reads_as_meant(url: str, password: str | None) -> bool:
    """Return whether the password that a parser found in a URL is all that stands where a password may stand.

    Otherwise an @ in it was not %-encoded, and what follows was taken for the host.
    """
    meant = _USER.search(_split(url)[0])
    return meant is None or password in (None, meant["secret"], unquote(meant["secret"]))


def _secrets(url: str) -> set[str]:
    address, query = _split(url)
    found = [*_USER.finditer(address), *_QUERY.finditer(query)]
    secrets = [match["secret"] for match in found]
    return {form for secret in secrets for form in (secret, unquote(secret), unquote_plus(secret)) if form}
