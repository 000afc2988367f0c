"""Blocks of HTML and of text with which objects show themselves in a notebook or at a Python prompt."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

_CARD = "border: 1px solid rgba(128,128,128,.4); border-radius: 8px; padding: .6em 1em; max-width: 60em"
_CELL = "text-align: {side}; padding: .15em .8em .15em 0; white-space: nowrap"
_MOST = 72  # characters of a fact in text


def card(title: str, *parts: str) -> str:
    """Return a framed block of HTML: a title, then parts that are HTML already; empty ones are left out."""
    return f'<div style="{_CARD}"><strong>{html.escape(title)}</strong>{"".join(parts)}</div>'


def paragraph(text: str) -> str:
    """Return text as a paragraph of HTML."""
    return f'<p style="margin: .5em 0">{html.escape(text)}</p>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, side: str = "right") -> str:
    """Return a table of HTML, "" if it has no rows; all columns but the first are aligned to a side."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f'<{tag} style="{_CELL.format(side=side if i else "left")}">{html.escape(text)}</{tag}>'
            for i, text in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    head = f"<thead><tr>{line(header, 'th')}</tr></thead>" if any(header) else ""
    return f"<table>{head}<tbody>{body}</tbody></table>" if rows else ""


def listing(items: Sequence[tuple[str, str]]) -> str:
    """Return a list of HTML, each item with a word in bold before its text; "" if there is none."""
    entries = "".join(f"<li><b>{html.escape(word)}</b>: {html.escape(text)}</li>" for word, text in items)
    return f'<ul style="margin: .5em 0; padding-left: 1.4em">{entries}</ul>' if items else ""


def lines(name: str, facts: Mapping[str, str]) -> str:
    """Return what Python prints for an object: its class, then one fact a line, cut to the width of a screen."""
    wide = max(map(len, facts), default=0)
    cut = {key: text if len(text) <= _MOST else f"{text[: _MOST - 1]}…" for key, text in facts.items()}
    return "\n".join([name, *(f"  {key:<{wide}}  {text}" for key, text in cut.items())])
