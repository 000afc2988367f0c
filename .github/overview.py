"""Draw overview.svg, the picture of the front page, from a finished run.

python .github/overview.py runs/sunspots > .github/overview.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from lstm_tune.data.examples import find_example
from lstm_tune.evaluation.baseline_labels import table_label

WIDTH, HEIGHT = 960, 330
LEFT, RIGHT, TOP, BOTTOM = 28, 590, 92, 232  # of the curve
BARS = 640  # where the right half begins
GREY, BLUE, INK, PALE = "#8a8f98", "#0b63b0", "#1d2330", "#5b6472"
PARTS = (
    ("train", "#eef1f5", "each trial trains here"),
    ("val", "#dbe9f7", "each trial is scored here"),
    ("test", "#fdeccb", "read once"),
)


def text(
    x: float, y: float, words: str, *, size: int = 13, fill: str = INK, style: str = "", anchor: str = "start"
) -> str:
    """Return one line of text."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{fill}"{style}>{escape(words)}</text>'


def line(values: Sequence[float], first: int, rows: int, highest: float, colour: str) -> str:
    """Return a curve whose first value belongs to row `first` of `rows`."""
    step = (RIGHT - LEFT) / (rows - 1)
    points = (
        f"{LEFT + (first + i) * step:.1f},{BOTTOM - value / highest * (BOTTOM - TOP - 8):.1f}"
        for i, value in enumerate(values)
    )
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.4"/>'


def left_half(result: dict, forecast: pd.DataFrame) -> Iterator[str]:
    """Yield the series in its three parts, and the forecast of the test rows."""
    example = find_example(result["data"]["path"].removeprefix("example:"))
    values = example.read()[example.target].tolist()
    yield text(LEFT, 36, "1. Search, then retrain", size=17, style=' font-weight="600"')
    yield text(
        LEFT, 58, f"{example.target.title()}, {len(values)} rows; {result['study']['n_trials']} trials", fill=PALE
    )
    begin = 0
    scale = (RIGHT - LEFT) / len(values)
    for name, colour, words in PARTS:
        rows = result["data"]["split"][name]["rows"]
        x, width = LEFT + begin * scale, rows * scale
        yield f'<rect x="{x:.1f}" y="{TOP - 16}" width="{width:.1f}" height="{BOTTOM - TOP + 24}" fill="{colour}"/>'
        lift = 40 if name == "val" else 20
        centre = x + width / 2
        yield f'<path d="M{centre:.1f} {BOTTOM + 8} v{lift - 14}" stroke="{GREY}" fill="none"/>'
        title = {"val": "validation"}.get(name, name)
        yield text(centre, BOTTOM + 8 + lift, f"{title}: {words}", anchor="middle", fill=PALE)
        begin += rows
    yield line(values, 0, len(values), max(values), GREY)
    ahead = forecast[forecast["step"] == 1]["forecast"].tolist()
    yield line(ahead, len(values) - len(ahead), len(values), max(values), BLUE)
    yield text(RIGHT, 36, "blue: the forecast, one row ahead", anchor="end", fill=BLUE)


def right_half(result: dict) -> Iterator[str]:
    """Yield one bar for each forecast's test MSE."""
    period = result["data"]["period"]
    scores = {table_label(name, period): b["test_mse"] for name, b in result["baselines"].items()}
    bars = {"saved model": result["test"]["mse"], **scores}
    longest = max(bars.values())
    yield text(BARS, 36, "2. Score once, then explain", size=17, style=' font-weight="600"')
    yield text(BARS, 58, f"test MSE over {result['test']['windows']} windows, lower is better", fill=PALE)
    for i, (name, mse) in enumerate(bars.items()):
        y = 84 + i * 35
        colour, style = (BLUE, ' font-weight="600"') if not i else (GREY, "")
        yield text(BARS, y, name, style=style)
        width = mse / longest * 220
        yield f'<rect x="{BARS}" y="{y + 6}" width="{width:.1f}" height="11" rx="2" fill="{colour}"/>'
        yield text(BARS + width + 8, y + 16, f"{mse:,.0f}", style=style)
    yield text(BARS, 306, "Findings say why the MSE is what it is.", fill=PALE)


def main(folder: str) -> None:
    """Print the picture."""
    result = json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))
    forecast = pd.read_csv(Path(folder) / "forecast.csv")
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="system-ui, -apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif" role="img">'
    )
    title = "A series in train, validation and test rows; test MSE of the saved model and of the baselines"
    print(f"<title>{title}</title>")
    print(f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8" fill="#fff" stroke="#d5d9e0"/>')
    for part in (*left_half(result, forecast), *right_half(result)):
        print(part)
    print("</svg>")


if __name__ == "__main__":
    main(sys.argv[1])
