"""Who may ask the dashboard what, and what comes back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from lstm_tune.dashboard.access_guard import Guard

TOKEN = "correct-horse-battery"


def page(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """What is guarded: says how it was asked, and lets everybody in."""
    content = "text/csv" if environ["PATH_INFO"].startswith("/csv") else "text/html"
    body = environ.get("test.body", f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode())
    headers = [("Content-Type", content), ("Content-Length", str(len(body))), ("Access-Control-Allow-Origin", "*")]
    headers += [("Content-Security-Policy", "script-src 'unsafe-eval'"), ("X-Frame-Options", "ALLOWALL")]
    start_response("200 OK", headers)
    return [body]


def ask(
    guard: Guard, method: str = "GET", path: str = "/dashboard", query: str = "", **headers: Any
) -> tuple[int, dict[str, str], bytes]:
    """Ask through the validator of the WSGI standard; return status, headers and body."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "localhost:8080"}
    environ |= {key if "." in key else f"HTTP_{key.upper()}": value for key, value in headers.items()}
    environ = {key: value for key, value in environ.items() if value is not None}
    answer: list[Any] = []
    body = validator(guard)(environ, lambda status, given, exc_info=None: answer.extend([status, dict(given)]))  # type: ignore[arg-type, return-value, func-returns-value]
    content = b"".join(body)
    body.close()  # type: ignore[attr-defined]
    return int(answer[0][:3]), answer[1], content


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:65535", "[::1]:80", "LOCALHOST:1"])
def test_this_machine_by_any_of_its_names_is_served(host: str) -> None:
    assert ask(Guard(page), host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8080", "localhost@evil", "localhost:8080:1"),
        *("", None, "0.0.0.0:8080", "192.168.0.2", "localhost:8080\n", "127.0.0.1:８０"),
    ],
)
def test_other_names_are_refused(host: str | None) -> None:
    status, _, body = ask(Guard(page), host=host)
    assert status == 403
    assert b"localhost" in body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://localhost:8080"}, 200),
        ({"origin": "http://localhost:8081"}, 403),
        ({"origin": "http://127.0.0.1:8080"}, 403),
        ({"origin": "https://localhost:8080"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none", "sec_fetch_mode": "navigate"}, 200),
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}, 200),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}, 403),
    ],
    ids=str,
)
def test_pages_of_another_address_are_refused_and_links_to_here_are_not(headers: dict[str, str], status: int) -> None:
    assert ask(Guard(page), **headers)[0] == status


def test_form_of_another_page_that_posts_here_is_refused_even_where_writing_is_allowed() -> None:
    headers = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert ask(Guard(page, writable=True), "POST", **headers)[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_changes_need_the_permission(method: str) -> None:
    status, headers, body = ask(Guard(page), method)
    assert status == 403
    assert "--writable" in json.loads(body)["reason"]
    assert headers["Content-Type"] == "application/json"
    assert ask(Guard(page, writable=True), method)[0] == 200


def test_methods_that_no_dashboard_needs_are_refused() -> None:
    for method in ("OPTIONS", "TRACE"):
        assert ask(Guard(page, writable=True), method)[0] == 405


def test_token_comes_as_a_header() -> None:
    guard = Guard(page, token=TOKEN)
    assert ask(guard)[0] == 401
    assert ask(guard, authorization=f"Bearer {TOKEN}")[0] == 200
    assert ask(guard, authorization=f"bearer  {TOKEN}")[0] == 200
    for wrong in ("Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer caf\xe9"):
        status, headers, body = ask(guard, authorization=wrong)
        assert status == 401
        assert headers["WWW-Authenticate"] == "Bearer"
        assert TOKEN.encode() not in body


def test_token_comes_once_in_the_address_and_a_cookie_replaces_it() -> None:
    guard = Guard(page, token=TOKEN, start_page=lambda: "/dashboard/studies/3")
    status, headers, _ = ask(guard, path="/", query=f"token={TOKEN}")
    assert (status, headers["Location"]) == (303, "/dashboard/studies/3")
    assert ask(guard, path="/")[0] == 401
    cookie, *flags = headers["Set-Cookie"].split("; ")
    assert flags == ["HttpOnly", "SameSite=Strict", "Path=/"]
    assert TOKEN not in cookie
    assert ask(guard, cookie=cookie)[0] == 200
    assert ask(guard, cookie=f"other=1; {cookie}")[0] == 200
    assert ask(guard, cookie=cookie[:-1])[0] == 401
    assert ask(guard, cookie="=;;\x01=")[0] == 401
    assert ask(Guard(page, token=TOKEN), cookie=cookie)[0] == 401  # another dashboard


def test_token_counts_nowhere_else_in_the_address() -> None:
    guard = Guard(page, token=TOKEN)
    assert ask(guard, path="/api/studies", query=f"token={TOKEN}")[0] == 401
    assert ask(guard, path="/", query="token=wrong")[0] == 401
    assert ask(guard, "POST", path="/", query=f"token={TOKEN}")[0] == 401


def test_every_answer_forbids_sniffing_framing_and_reading_by_others() -> None:
    guard = Guard(page, token=TOKEN)
    bearer = f"Bearer {TOKEN}"
    answers = [ask(guard), ask(guard, authorization=bearer), ask(guard, "POST", authorization=bearer)]
    answers += [ask(guard, host="evil"), ask(guard, path="/", query=f"token={TOKEN}")]
    for _, headers, _ in answers:
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


def test_artifacts_are_shown_in_a_sandbox() -> None:
    _, headers, _ = ask(Guard(page), path="/artifacts/0/1/abc")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("sandbox;")
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert ask(Guard(page))[1]["Content-Security-Policy"] == "script-src 'unsafe-eval'"


def test_table_of_trials_holds_no_formula() -> None:
    rows = [["Number", "name"], ["0", "=cmd()|' /C calc'!A0"], ["-1.5", "@x"], ["2", 'a "quoted", one'], ["3", "é"]]
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    _, headers, body = ask(Guard(page), path="/csv/0", **{"test.body": out.getvalue().encode()})
    assert int(headers["Content-Length"]) == len(body)
    read = list(csv.reader(io.StringIO(body.decode())))
    assert read[1][1] == "'=cmd()|' /C calc'!A0"
    assert read[2] == ["-1.5", "'@x"]
    assert read[3:] == rows[3:]
