"""Building blocks of figures: traces, axes and labels as plotly.js reads them.

A figure is a dict of `data`, `layout` and `height` in pixels. A colour that begins with "@" is a role ("@forecast");
`palette` has its shades in light and in dark mode. Plotly interprets tags in text, so every name is escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

Figure = dict[str, Any]
Trace = dict[str, Any]

_NEAR_LEVEL = 4.0  # ratio of the largest to the smallest value above which an axis becomes logarithmic


def cut(text: str, most: int = 40) -> str:
    """Return a name of at most `most` characters. The middle is left out, because names differ at their ends."""
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - tail - 1]}…{text[-tail:]}"


def label(text: str, most: int = 40) -> str:
    """Return a name that plotly shows as it is, of at most `most` characters."""
    return html.escape(cut(text, most), quote=False)


def figure(
    traces: list[Trace], *, x: dict[str, Any], y: dict[str, Any], height: int = 340, legend: bool = True
) -> Figure:
    """Put traces into a figure.

    Args:
        traces: to draw, the last one on top.
        x: options of the x axis; a `title` may be plain text.
        y: options of the y axis.
        height: in pixels.
        legend: whether a legend is shown if there are several traces.
    """
    layout = {"xaxis": axis(x), "yaxis": axis(y), "showlegend": legend and len(traces) > 1}
    return {"data": traces, "layout": layout, "height": height}


def axis(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of an axis whose `title` may be plain text."""
    title = {"title": {"text": options["title"]}} if "title" in options else {}
    return options | {"automargin": True} | title


def line(
    x: Sequence[Any], y: Sequence[Any], name: str, colour: str, *, width: float, dash: str = "solid", hover: str = ""
) -> Trace:
    """Return a line through points; a single point is drawn as a dot."""
    trace = {
        "type": "scatter",
        "mode": "lines" if len(x) > 1 else "lines+markers",
        "x": list(x),
        "y": list(y),
        "name": name,
        "line": {"color": colour, "width": width, "dash": dash},
    }
    return trace | _hover(hover)


def dots(
    x: Sequence[Any], y: Sequence[Any], name: str, colour: str, *, size: float, hover: str = "", **marker: Any
) -> Trace:
    """Return points; `marker` holds further options of plotly's markers."""
    marks = {"color": colour, "size": size} | marker
    trace = {"type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "name": name, "marker": marks}
    return trace | _hover(hover)


def bars(names: Sequence[str], lengths: Sequence[Any], colour: str | list[str], *, hover: str = "") -> Trace:
    """Return horizontal bars, one for each name."""
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": list(names),
        "x": list(lengths),
        "marker": {"color": colour},
    }
    return trace | _hover(hover)


def ranking(traces: list[Trace], title: str, rows: int, *, row_height: int = 24) -> Figure:
    """Put horizontal bars into a figure, the first name at the top."""
    return figure(
        traces,
        x={"title": title, "rangemode": "tozero"},
        y={"autorange": "reversed", "type": "category"},
        height=90 + row_height * rows,
        legend=False,
    )


def _hover(template: str) -> dict[str, str]:
    return {"hovertemplate": f"{template}<extra></extra>"} if template else {}


def joined(
    lines: Iterable[tuple[Sequence[Any], Sequence[Any], Sequence[str]]],
) -> tuple[list[Any], list[Any], list[str | None]]:
    """Put many lines (x, y, text) into one trace, with a gap between them."""
    xs: list[Any] = []
    ys: list[Any] = []
    texts: list[str | None] = []
    for x, y, text in lines:
        xs += [*x, None]
        ys += [*y, None]
        texts += [*text, None]
    return xs, ys, texts


def score_axis(values: Iterable[float | None], title: str) -> dict[str, Any]:
    """Return the axis of a score: logarithmic if the scores are far apart."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known or min(known) <= 0 or max(known) <= _NEAR_LEVEL * min(known):
        return {"title": title}
    return {"title": title, "type": "log"} | log_ticks(min(known), max(known))


def log_ticks(low: float, high: float, most: int = 7) -> dict[str, Any]:
    """Return ticks of a logarithmic axis with their full text: plotly alone writes 2 and 5 for .02 and .05."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [d * 10.0**p for p in decades for d in digits if low * 0.9 <= d * 10.0**p <= high * 1.1]
        if len(ticks) <= most:
            break
    return {"tickvals": ticks, "ticktext": [f"{tick:.6g}" for tick in ticks]} if len(ticks) > 1 else {}


def unique(names: Sequence[str]) -> list[str]:
    """Number names that occur more than once: plotly would stack their bars."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result
