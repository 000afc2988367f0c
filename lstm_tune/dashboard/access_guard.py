"""A WSGI application that decides who may ask the dashboard what, and makes the answers safe to show.

- Who may ask: a browser or program that names this machine as localhost, which a page of another host name that points
  here (DNS rebinding) does not; a page of the same address or none (`Origin`, `Sec-Fetch-Site`); with the token, if
  there is one.
- What may be asked: reading only, unless writing is allowed.
- What is answered: never sniffed, framed or read by other pages. Uploaded files are shown in a sandbox, and tables hold
  no formulas. Pages are given styles that keep them within the screen and hide the buttons that would be refused.
"""

from __future__ import annotations

import csv
import hmac
import io
import json
import re
import secrets
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from lstm_tune.utils.escaping import cell

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_OTHER_HOST = "this server answers to localhost and 127.0.0.1 only; open it by one of these names"
_OTHER_PAGE = "requests from pages of another address are refused; open the dashboard in a tab of its own"
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
_STYLES = Path(__file__).parent / "styles"
_UNEDITED = ("content-length", "last-modified", "etag", "cache-control")  # headers of an answer before it was edited
_REPLACED = ("access-control-allow-origin", *(name.lower() for name, _ in _ALWAYS))


class Guard:
    """Passes on the requests that are allowed, and answers the others itself.

    Args:
        app: the dashboard.
        writable: whether requests that change something are passed on.
        token: that each request must carry, as `Authorization: Bearer TOKEN` or, after one visit of `/?token=TOKEN`,
            as a cookie. None: no token is needed.
        start_page: returns the path that `/` leads to.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        writable: bool = False,
        token: str | None = None,
        start_page: Callable[[], str] = lambda: "/dashboard",
    ) -> None:
        self._app = app
        self._writable = writable
        self._token = token
        self._start_page = start_page
        self._cookie = f"lstm_tune_{secrets.token_hex(4)}"  # a name of its own: cookies are shared by all ports
        self._session = secrets.token_urlsafe(32)
        sheets = ("page.css",) if writable else ("page.css", "read_only.css")
        styles = "\n".join((_STYLES / sheet).read_text(encoding="utf-8") for sheet in sheets)
        self._styles = f"<style>\n{styles}</style></head>".encode()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        host = str(environ.get("HTTP_HOST", ""))
        path = str(environ.get("PATH_INFO", ""))
        method = str(environ.get("REQUEST_METHOD", ""))
        if not _HERE.fullmatch(host):
            return _answer(start_response, "403 Forbidden", _OTHER_HOST)
        if not _same_page(environ, host):
            return _answer(start_response, "403 Forbidden", _OTHER_PAGE)
        start = path in ("", "/") and method in ("GET", "HEAD")
        if self._token is not None:
            given = parse_qs(str(environ.get("QUERY_STRING", ""))).get("token", [])
            if start and any(_equal(g, self._token) for g in given):
                cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/"
                there = ("Location", self._start_page()), ("Set-Cookie", cookie)
                return _answer(start_response, "303 See Other", "welcome", *there)
            if not self._is_known(environ, self._token):
                return _answer(
                    start_response,
                    "401 Unauthorized",
                    "the token is missing or wrong; open the address with /?token=TOKEN once",
                    ("WWW-Authenticate", "Bearer"),
                )
        if start:
            return _answer(start_response, "302 Found", "the dashboard", ("Location", self._start_page()))
        if method not in ("GET", "HEAD"):
            if method not in _WRITING:
                return _answer(
                    start_response,
                    "405 Method Not Allowed",
                    "the dashboard knows no such method; use GET, POST, PUT or DELETE",
                )
            if not self._writable:
                reason = "this dashboard is read-only; start it with --writable to allow changes"
                return _answer(start_response, "403 Forbidden", reason)
        return self._pass_on(environ, start_response, path)

    def _is_known(self, environ: WSGIEnvironment, token: str) -> bool:
        scheme, _, given = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        if scheme.lower() == "bearer" and _equal(given.strip(), token):
            return True
        try:
            morsel = SimpleCookie(str(environ.get("HTTP_COOKIE", ""))).get(self._cookie)
        except CookieError:
            return False
        return morsel is not None and _equal(morsel.value, self._session)

    def _pass_on(self, environ: WSGIEnvironment, start_response: StartResponse, path: str) -> Iterable[bytes]:
        """Let the dashboard answer, and make the answer safe."""
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # the dashboard expects it
        edit = _without_formulas if path.startswith("/csv/") else self._styled if _is_page(environ, path) else None
        if edit is not None:
            environ.pop("HTTP_IF_MODIFIED_SINCE", None)  # what was edited is never answered from a cache
        held: list[tuple[str, list[tuple[str, str]], Any]] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept = [(name, value) for name, value in headers if name.lower() not in _REPLACED]
            if path.startswith("/artifacts/"):
                kept = [(name, value) for name, value in kept if name.lower() != "content-security-policy"]
                kept.append(("Content-Security-Policy", _SANDBOX))
            kept += _ALWAYS
            if edit is None:
                return start_response(status, kept, exc_info)
            held.append((status, kept, exc_info))
            return lambda data: None

        body = self._app(environ, start)
        if edit is None:
            return body
        try:
            content = b"".join(body)
        finally:
            getattr(body, "close", lambda: None)()
        status, headers, exc_info = held[-1]
        if status.startswith("200"):
            content = edit(content)
        headers = [(name, value) for name, value in headers if name.lower() not in _UNEDITED]
        edited = ("Content-Length", str(len(content))), ("Cache-Control", "no-store")
        start_response(status, [*headers, *edited], exc_info)
        return [content]

    def _styled(self, page: bytes) -> bytes:
        """Return a page of the dashboard with the styles of this package."""
        return page.replace(b"</head>", self._styles, 1)


def _is_page(environ: WSGIEnvironment, path: str) -> bool:
    """Return whether a request asks for a page of the dashboard, and not for its data, scripts or files."""
    return environ.get("REQUEST_METHOD") == "GET" and (path == "/dashboard" or path.startswith("/dashboard/"))


def _same_page(environ: WSGIEnvironment, host: str) -> bool:
    """Return whether a request comes from a page of the same address, from a person or from a program."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and str(origin).lower() != f"http://{host.lower()}":
        return False
    site = environ.get("HTTP_SEC_FETCH_SITE", "none")
    visit = environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ.get("REQUEST_METHOD") == "GET"
    return site in ("same-origin", "none") or (visit and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document")


def _equal(a: str, b: str) -> bool:
    """Compare in a time that does not depend on how many characters are right."""
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
