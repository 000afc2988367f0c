"""Storage URLs that can be shown: a password in one reaches no file, no screen and no log."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

_MASK = "***"
# Up to the last @, so that a password which should have been quoted is hidden whole. Better too much than too little.
_USER = re.compile(r"(?P<before>^[^:/]*://[^:@/]*:)(?P<secret>.*)(?=@)", re.DOTALL)
_QUERY = re.compile(r"(?P<before>[?&][^=&]*(?:pass|pwd|secret|token)[^=&]*=)(?P<secret>[^&]*)", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Return whether a storage is named by a URL, not by a path."""
    return "://" in text


def is_memory(url: str) -> bool:
    """Return whether a URL names an SQLite database in memory, which ends with its process."""
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        return False
    path, _, query = rest.partition("?")
    return path in ("", "/") or ":memory:" in path or "mode=memory" in query


def mask_password(url: str) -> str:
    """Return a storage URL that can be shown: its passwords are ***."""
    if not is_url(url):
        return url
    for pattern in (_USER, _QUERY):
        url = pattern.sub(rf"\g<before>{_MASK}", url)
    return url


def mask_argument(argument: str) -> str:
    """Return an argument of a command line that can be shown: URL, --option=URL, or anything else as it is."""
    option, equals, value = argument.partition("=")
    if equals and option.startswith("--") and is_url(value):
        return f"{option}={mask_password(value)}"
    return mask_password(argument)


def without_secrets(text: str, url: str) -> str:
    """Return a text, such as an error's, in which neither the URL's passwords stand nor the URL with them."""
    text = text.replace(url, mask_password(url))
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return text


def _secrets(url: str) -> set[str]:
    found = {match["secret"] for pattern in (_USER, _QUERY) for match in pattern.finditer(url)}
    return {form for secret in found for form in (secret, unquote(secret), unquote_plus(secret)) if form}
