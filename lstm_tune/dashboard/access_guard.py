"""What stands between a web page on this machine and whoever asks for it: a WSGI application around another.

Who may ask: a browser or program that names this machine as this machine (a page of a foreign name that was made to
point here does not: DNS rebinding), from a page of the same address or from none (`Origin`, `Sec-Fetch-Site`), with
the token where there is one. What may be asked: reading alone, unless writing is allowed. What comes back: never
sniffed, framed or read by other pages; uploaded files in a sandbox; CSV without formulas.
"""

from __future__ import annotations

import csv
import hmac
import io
import json
import re
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from lstm_tune.utils.escaping import cell

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_WRITING = ("POST", "PUT", "DELETE", "PATCH")
_ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_SANDBOX = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'"
_REPLACED = ("access-control-allow-origin", *(name.lower() for name, _ in _ALWAYS))


class Guard:
    """A WSGI application that passes on what is allowed, and answers the rest itself.

    Args:
        app: the application.
        writable: whether requests that change something are passed on.
        token: that must come along: as `Authorization: Bearer TOKEN`, or once as `/?token=TOKEN`, which sets a cookie.
    """

    def __init__(self, app: WSGIApplication, *, writable: bool = False, token: str | None = None) -> None:
        self._app = app
        self._writable = writable
        self._token = token
        self._cookie = f"lstm_tune_{secrets.token_hex(4)}"  # cookies do not tell ports apart
        self._session = secrets.token_urlsafe(32)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        host = str(environ.get("HTTP_HOST", ""))
        path = str(environ.get("PATH_INFO", ""))
        method = str(environ.get("REQUEST_METHOD", ""))
        if not _HERE.fullmatch(host):
            return _answer(start_response, "403 Forbidden", "this address serves localhost and 127.0.0.1 alone")
        if not _same_page(environ, host):
            return _answer(start_response, "403 Forbidden", "requests from pages of another address are refused")
        if self._token is not None:
            given = parse_qs(str(environ.get("QUERY_STRING", ""))).get("token", [])
            if path in ("", "/") and method == "GET" and any(_equal(g, self._token) for g in given):
                cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/"
                return _answer(
                    start_response, "303 See Other", "welcome", ("Location", "/dashboard"), ("Set-Cookie", cookie)
                )
            if not self._known(environ, self._token):
                return _answer(
                    start_response,
                    "401 Unauthorized",
                    "the token is missing or wrong: open the address with /?token=TOKEN once",
                    ("WWW-Authenticate", "Bearer"),
                )
        if method not in ("GET", "HEAD"):
            if method not in _WRITING:
                return _answer(start_response, "405 Method Not Allowed", "this method is not known here")
            if not self._writable:
                reason = "this dashboard is read-only; start it with --writable to allow changes"
                return _answer(start_response, "403 Forbidden", reason)
        return self._pass_on(environ, start_response, path)

    def _known(self, environ: WSGIEnvironment, token: str) -> bool:
        scheme, _, given = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        if scheme.lower() == "bearer" and _equal(given.strip(), token):
            return True
        try:
            morsel = SimpleCookie(str(environ.get("HTTP_COOKIE", ""))).get(self._cookie)
        except CookieError:
            return False
        return morsel is not None and _equal(morsel.value, self._session)

    def _pass_on(self, environ: WSGIEnvironment, start_response: StartResponse, path: str) -> Iterable[bytes]:
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # the dashboard takes it for granted
        table = path.startswith("/csv/")
        held: list[tuple[str, list[tuple[str, str]], Any]] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept = [(name, value) for name, value in headers if name.lower() not in _REPLACED]
            if path.startswith("/artifacts/"):
                kept = [(name, value) for name, value in kept if name.lower() != "content-security-policy"]
                kept.append(("Content-Security-Policy", _SANDBOX))
            kept += _ALWAYS
            if not table:
                return start_response(status, kept, exc_info)
            held.append((status, kept, exc_info))
            return lambda data: None

        body = self._app(environ, start)
        if not table:
            return body
        content = b"".join(body)
        status, headers, exc_info = held[-1]
        if status.startswith("200"):
            content = _without_formulas(content)
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, [*headers, ("Content-Length", str(len(content)))], exc_info)
        return [content]


def _same_page(environ: WSGIEnvironment, host: str) -> bool:
    """Return whether a request comes from a page of the same address, from a person, or from a program."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and str(origin).lower() != f"http://{host.lower()}":
        return False
    site = environ.get("HTTP_SEC_FETCH_SITE", "none")
    visit = environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ.get("REQUEST_METHOD") == "GET"
    return site in ("same-origin", "none") or (visit and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document")


def _equal(a: str, b: str) -> bool:
    """Compare in a time that does not tell how much is right."""
    return hmac.compare_digest(a.encode("utf-8", "surrogateescape"), b.encode("utf-8", "surrogateescape"))


def _answer(start_response: StartResponse, status: str, reason: str, *headers: tuple[str, str]) -> list[bytes]:
    body = json.dumps({"reason": reason}).encode()
    plain = ("Content-Type", "application/json"), ("Content-Length", str(len(body)))
    start_response(status, [*plain, *headers, *_ALWAYS])
    return [body]


def _without_formulas(content: bytes) -> bytes:
    """Return a CSV file in which no cell is a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    limit = csv.field_size_limit(max(csv.field_size_limit(), len(content) + 1))
    try:
        for row in csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline="")):
            writer.writerow([cell(value) for value in row])
    finally:
        csv.field_size_limit(limit)
    return out.getvalue().encode()
