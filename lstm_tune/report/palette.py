"""The colours of figures by their roles, in light and in dark: "@forecast" in a figure is `forecast` here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHADES: Mapping[str, Mapping[str, Any]] = {
    "light": {
        "ink": "#18202b",
        "card": "#ffffff",
        "rule": "#dfe3e8",
        "soft": "#566273",
        "muted": "#97a1ad",
        "actual": "#5c6773",
        "forecast": "#0072b2",
        "band": "rgba(0,114,178,0.17)",
        "train": "#d55e00",
        "better": "#009e73",
        "worse": "#d55e00",
        "other": "rgba(86,180,233,0.55)",
        "pruned": "rgba(120,130,142,0.35)",
        "baseline0": "#b06a00",
        "baseline1": "#008a63",
        "baseline2": "#b0588f",
        "baseline3": "#7a6a00",
        "baseline4": "#6a4fb3",
        "shade0": "#08519c",
        "shade1": "#3182bd",
        "shade2": "#6baed6",
        "shade3": "#a6bddb",
        "shade4": "#cdd5de",
        "parts": {"train": "rgba(0,114,178,0.10)", "val": "rgba(230,159,0,0.22)", "test": "rgba(0,158,115,0.20)"},
    },
    "dark": {
        "ink": "#e7ebf0",
        "card": "#191f28",
        "rule": "#2e3744",
        "soft": "#a3afbd",
        "muted": "#7d8896",
        "actual": "#aab4c0",
        "forecast": "#56b4e9",
        "band": "rgba(86,180,233,0.20)",
        "train": "#ff8a4c",
        "better": "#22b98b",
        "worse": "#ff8a4c",
        "other": "rgba(86,180,233,0.40)",
        "pruned": "rgba(140,150,162,0.35)",
        "baseline0": "#e69f00",
        "baseline1": "#2fc296",
        "baseline2": "#dd94c1",
        "baseline3": "#d6c84a",
        "baseline4": "#b39ddb",
        "shade0": "#9fd6ff",
        "shade1": "#5aaee6",
        "shade2": "#3a86bd",
        "shade3": "#33638a",
        "shade4": "#35475a",
        "parts": {"train": "rgba(86,180,233,0.14)", "val": "rgba(230,159,0,0.26)", "test": "rgba(47,194,150,0.22)"},
    },
}


def painted(node: Any, shades: Mapping[str, Any] = SHADES["light"]) -> Any:
    """Return a figure, or a part of one, with a colour in the place of each role."""
    match node:
        case str():
            return shades.get(node[1:], node) if node.startswith("@") else node
        case list() | tuple():
            return [painted(part, shades) for part in node]
        case dict():
            return {key: painted(value, shades) for key, value in node.items()}
    return node
